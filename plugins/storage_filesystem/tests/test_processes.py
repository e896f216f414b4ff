"""Several processes on one directory, and processes that are killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from pyreg.testing.storage.harness import content, keys, pieces
from pyreg_storage_filesystem import FilesystemStorage, tree

pytestmark = pytest.mark.anyio

WORKER = Path(__file__).with_name("worker.py")
_spec = importlib.util.spec_from_file_location("filesystem_worker", WORKER)
assert _spec is not None
assert _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


def start(job: str, root: Path, name: str, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, WORKER, job, root, name], stdout=output)


def lines(path: Path) -> list[list[Any]]:
    """What a worker said; a last line that it could not end does not count."""
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


async def test_counting_in_three_processes(driver: FilesystemStorage, root: Path) -> None:
    await driver.put("counter", b"0")
    workers = [start("count", root, str(number), subprocess.DEVNULL) for number in range(3)]
    assert [process.wait(60) for process in workers] == [0, 0, 0]
    assert await content(driver, "counter") == b"300"


async def test_each_claim_has_one_owner(
    driver: FilesystemStorage, root: Path, tmp_path: Path
) -> None:
    logs = [tmp_path / str(number) for number in range(3)]
    workers = []
    for number, log in enumerate(logs):
        with log.open("wb") as output:
            workers.append(start("claim", root, str(number), output))
    assert [process.wait(60) for process in workers] == [0, 0, 0]
    won = [[turn for _, turn in lines(log)] for log in logs]
    assert sorted(turn for turns in won for turn in turns) == list(range(200))
    for number, turns in enumerate(won):
        for turn in turns:
            assert await content(driver, f"claims/{turn}/x") == b"%d" % number


async def test_a_condition_never_covers_an_unconditional_write(
    driver: FilesystemStorage, root: Path
) -> None:
    """Two processes compare and swap; what a third one puts is never lost to them."""
    await driver.put("value", b"0")
    workers = [start("decorate", root, str(number), subprocess.DEVNULL) for number in range(2)]
    decorated = turn = 0
    while decorated < 30:  # so the others are at work
        turn += 1
        if turn % 2:
            await driver.put("value", b"%d" % turn, durable=False)
        else:
            state, _ = await driver.append(
                await driver.begin_upload("value"), 0, pieces(b"%d" % turn)
            )
            await driver.finish(state)
        await asyncio.sleep(random.random() / 200)
        found = (await content(driver, "value")).split(b"+")
        assert found[0] == b"%d" % turn
        decorated += len(found) > 1
    await driver.put("value", b"stop")
    while (await content(driver, "value")) != b"stop":
        await driver.put("value", b"stop")
    assert [process.wait(60) for process in workers] == [0, 0]
    assert decorated > 10, "the others were at work all the time"


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.soak, id="soak")])
async def test_sudden_death(
    root: Path, tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged is there and whole, nothing unfinished shows, uploads go on."""
    monkeypatch.setattr(tree, "STALE", -1.0)
    there: set[str] = set()
    last: dict[str, int] = {}
    states: dict[str, tuple[str, int]] = {}
    for kill in range(kills):
        logs = [tmp_path / f"{kill}-{number}" for number in range(2)]
        victims = []
        for number, log in enumerate(logs):
            with log.open("wb") as output:
                victims.append(start("write", root, f"{kill}-{number}", output))
        while any(log.stat().st_size == 0 for log in logs):
            await asyncio.sleep(0.01)
        await asyncio.sleep(random.random() * 0.3)
        for process in victims:
            process.kill()
        for process in victims:
            process.wait(60)

        for what, name, *rest in [line for log in logs for line in lines(log)]:
            if what == "there":
                there.add(name)
            elif what == "gone":
                there.discard(name)
            elif what == "put":
                last[name] = rest[0]
            else:
                states[name] = (rest[0], rest[1])
        await check(root, kill, there, last, states)


async def check(
    root: Path,
    kill: int,
    there: set[str],
    last: dict[str, int],
    states: dict[str, tuple[str, int]],
) -> None:
    driver = FilesystemStorage(str(root))
    await driver.open()
    assert list((root / "+pyreg" / "tmp").iterdir()) == [], "dead writers' files are gone"
    listed = await keys(driver)
    missing = there.difference(listed)
    # The step after the last one that was said may have begun: it takes away at most the last
    # link of each worker.
    assert len(missing) <= 2
    assert all(name.startswith(f"links/{kill}-") for name in missing)
    there -= missing
    for name in listed:
        data = await content(driver, name)
        assert worker.whole(data), f"{name} is damaged"
        assert name.startswith(("tags/", "links/", "moved/", "blobs/"))
    for name, turn in last.items():
        seen = int((await content(driver, name))[32:].split(b":")[0].rsplit(b"-", 1)[1])
        assert seen in (turn, turn + 1)
    for name, (state, offset) in states.items():
        data = worker.sealed(name, 400_000)
        if offset < len(data):
            try:
                state, _ = await driver.append(state, offset, pieces(data[offset:]))
            except Exception as error:
                raise AssertionError(f"{name} does not go on at {offset}") from error
        await driver.finish(state, key=f"blobs/{name}/data")
        assert await content(driver, f"blobs/{name}/data") == data
        there.add(f"blobs/{name}/data")
    states.clear()
    await driver.close()
