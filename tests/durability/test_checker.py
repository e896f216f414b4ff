"""The proof of the proof: what watches over durability notices when it is broken."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.durability.disk import Disk
from tests.durability.inspection import check_directory
from tests.durability.registers import Event, Impossible, Operation, Register
from tests.durability.target import Target
from tests.durability.test_kill_loop import torment
from tests.fixtures.distributions import install
from tests.fixtures.wire import sha256

# -- registers -----------------------------------------------------------------------------

Step = tuple[Literal["begin", "end", "lost"], str]


def settled(register: Register, story: str) -> Register:
    """Tell a register a story.

    Args:
        register: Which.
        story: Words `w1+` (the write of "1" begins), `w1-` (it is acknowledged), `w1?` (its
            answer is lost), `r1+`, `r1-` (a read of "1"); "0" stands for nothing. Letters behind
            the digit tell operations with one value apart.
    """
    operations: dict[str, Operation] = {}
    events: list[Event] = []
    for word in story.split():
        name, sign = word[:-1], word[-1]
        if sign == "+":
            value = None if name[1] == "0" else name[1]
            kind: Literal["write", "read"] = "write" if name[0] == "w" else "read"
            operations[name] = Operation(len(operations), kind, value)
            events.append(("begin", operations[name]))
        else:
            operations[name].outcome = "sure" if sign == "-" else "lost"
            events.append(("end", operations[name]))
    register.settle(events)
    return register


@pytest.mark.parametrize(
    "story",
    [
        "w1+ w1- r1+ r1-",
        "r0+ r0- w1+ w1-",
        # Under way, a write may or may not be seen, by some and by others.
        "w1+ r0+ r0- r1+ r1- w1-",
        "w1+ w1? r0+ r0- r0b+ r0b-",
        "w1+ w1? r1+ r1- r1b+ r1b-",
        # Of two at once either may be last.
        "w1+ w2+ w1- w2- r1+ r1-",
        "w1+ w2+ w1- w2- r2+ r2-",
        # A lost write has its moment between others, or never.
        "w1+ w1- w2+ w3+ w3- w2? r3+ r3-",
        "w1+ w1- w2+ w3+ w3- w2? r2+ r2-",
        "w1+ w1- w0+ w0- r0+ r0- w1b+ w1b- r1+ r1-",
    ],
)
def test_what_can_be_explained_is(story: str) -> None:
    settled(Register("tag"), story)


@pytest.mark.parametrize(
    "story",
    [
        "w1+ w1- r0+ r0-",  # acknowledged, and lost
        "w1+ w1- w2+ w2- r1+ r1-",  # moved, and moved back
        "w1+ w1- w0+ w0- r1+ r1-",  # deleted, and back again
        "r1+ r1- w1+ w1-",  # seen before it was written
        "r2+ r2-",  # never written
        "w1+ r1+ r1- r0+ r0- w1-",  # seen, and gone
        "w1+ w1- w2+ w2? r2+ r2- r1+ r1-",  # lost, seen, and gone
        "w1+ w1? r0+ r0- r1+ r1-",  # lost, not seen when it was over, and there all the same
        "w1+ w2+ w1- w2- r1+ r1- r2+ r2-",  # first the one is last, then the other
    ],
)
def test_what_cannot_be_explained_is_impossible(story: str) -> None:
    with pytest.raises(Impossible, match="tag: "):
        settled(Register("tag"), story)


def test_what_is_possible_is_carried_over() -> None:
    register = settled(Register("tag"), "w1+ w1- w2+ w2?")
    assert register.values == {"1", "2"}
    settled(register, "r2+ r2-")
    assert register.values == {"2"}
    with pytest.raises(Impossible):
        settled(register, "r1+ r1-")


# -- the directory -------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A directory with one blob."""
    name = sha256(b"blob").partition(":")[2]
    data = tmp_path / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"
    revisions = "docker/registry/v2/repositories/a/_manifests/revisions"
    link = tmp_path / f"{revisions}/sha256/{name}/link"
    for path, text in ((data, "blob"), (link, f"sha256:{name}")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "+pyreg" / "tmp").mkdir(parents=True)
    check_directory(tmp_path)
    return tmp_path


def test_a_damaged_blob_is_noticed(stored: Path) -> None:
    [data] = stored.rglob("data")
    data.write_bytes(b"blub")
    with pytest.raises(AssertionError, match="has other bytes"):
        check_directory(stored)


def test_a_link_to_nothing_is_noticed(stored: Path) -> None:
    [data] = stored.rglob("data")
    data.unlink()
    with pytest.raises(AssertionError, match="link leads to"):
        check_directory(stored)


@pytest.mark.parametrize(
    "name",
    [
        "+pyreg/tmp/0123",
        "docker/registry/v2/repositories/a/_uploads/1/data+0123",
        "docker/registry/v2/repositories/a/_layers/link",
    ],
)
def test_a_leftover_is_noticed(stored: Path, name: str) -> None:
    path = stored / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    with pytest.raises(AssertionError, match=path.name.replace("+", r"\+")):
        check_directory(stored)


# -- broken registries ---------------------------------------------------------------------

HASTY = """
    import asyncio
    from pydantic import BaseModel
    from pyreg.hooks import hookimpl
    from pyreg.instrument import Instrumented

    class Hasty(Instrumented):
        '''Acknowledges a link first, and writes it a moment later.'''

        async def put(self, key, data, **how):
            if not key.endswith("/link"):
                return await self.driver.put(key, data, **how)
            task = asyncio.create_task(self.write(key, data, how))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def write(self, key, data, how):
            await asyncio.sleep(0.03)
            await self.driver.put(key, data, **how)

    tasks = set()

    class Plugin:
        api_version = (1, 0)
        Options = BaseModel

        def __init__(self, options): ...

        @hookimpl
        def pyreg_storage_wrapper(self, driver):
            return Hasty(driver)
"""

CARELESS = """
    import os
    from pydantic import BaseModel

    os.fsync = os.fdatasync = lambda descriptor: None  # the disk will see to that

    class Plugin:
        api_version = (1, 0)
        Options = BaseModel

        def __init__(self, options): ...
"""


def broken(directory: Path, source: str, disk: Disk | None = None) -> Target:
    """A pyreg with a plugin that breaks it."""
    site = directory / "site"
    site.mkdir()
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    points = {"pyreg.extension": {"broken": "broken_plugin:Plugin"}}
    install(site, "broken", points, {"broken_plugin": source})
    return Target(
        directory,
        random.Random(1),
        disk,
        config={"extensions": {"broken": {}}},
        env={"PYTHONPATH": os.pathsep.join(paths)},
    )


@pytest.fixture
def disk(short_dir: Path) -> Iterator[Disk]:
    """A disk whose power can be cut."""
    disk = Disk(short_dir, 8192)
    yield disk
    disk.remove()


def test_a_write_that_is_acknowledged_too_early_is_noticed(tmp_path: Path) -> None:
    target = broken(tmp_path, HASTY)
    try:
        with pytest.raises(AssertionError, match=r"cannot be explained|expected 20\d, got 40\d"):
            torment(target, 20, "1", [(1, target.kill_server)])
    finally:
        target.end()


def test_a_write_that_is_not_on_the_disk_is_noticed(tmp_path: Path, disk: Disk) -> None:
    target = broken(tmp_path, CARELESS, disk)
    try:
        with pytest.raises(
            AssertionError,
            match=r"cannot be explained|damaged|is lost|stands at|expected 20\d, got",
        ):
            torment(target, 20, "1", [(1, target.cut_power)])
    finally:
        target.end()
