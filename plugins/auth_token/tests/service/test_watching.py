"""Keys that follow their directory."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyreg.errors import PluginError
from pyreg_auth_token.service.watching import WatchedKeys

pytestmark = pytest.mark.anyio

Command = Callable[..., Result]


@pytest.fixture
async def watched(anyio_backend: str, keys: Path) -> AsyncIterator[WatchedKeys]:
    watched = WatchedKeys(keys, interval=0.01)
    await watched.start()
    yield watched
    await watched.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_new_and_removed_keys_are_noticed(
    watched: WatchedKeys, keys: Path, command: Command
) -> None:
    before = await watched.current()
    assert await watched.current() is before, "what is remembered of tokens depends on it"
    [old] = [key.name for key in watched.signing.keys]
    await asyncio.to_thread(command, "rotate", keys, "--delay", "0")
    await until(lambda: len(watched.signing.keys) == 2)
    assert len((await watched.current()).named) == 4
    await asyncio.to_thread(command, "remove", keys, old)
    await until(lambda: len(watched.signing.keys) == 1)
    assert await watched.current() is not before


async def test_a_token_of_a_key_that_is_not_known_yet_makes_it_look(
    keys: Path, command: Command
) -> None:
    watched = WatchedKeys(keys, interval=3600)
    await watched.start()
    command("rotate", keys, "--delay", "0")
    assert len((await watched.current()).named) == 2
    assert len((await watched.renewed()).named) == 4
    command("rotate", keys, "--delay", "0")
    assert len((await watched.renewed()).named) == 4, "but not at every token"
    await watched.stop()


async def test_whatever_happens_to_the_directory_the_last_good_keys_stay(
    watched: WatchedKeys, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = watched.signing
    [path] = keys.iterdir()
    data = path.read_bytes()
    for trouble in (
        lambda: path.write_text("nothing"),
        lambda: path.chmod(0o666),
        lambda: path.unlink(),
        lambda: shutil.rmtree(keys),
    ):
        trouble()
        await until(lambda: watched.trouble is not None)
        await asyncio.sleep(0.05)
        assert watched.signing is before
        keys.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        await until(lambda: watched.trouble is None)
        before = watched.signing
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) <= 6, "each trouble is said once, and not every time"


async def test_a_server_does_not_start_without_keys(tmp_path: Path) -> None:
    watched = WatchedKeys(tmp_path / "none")
    with pytest.raises(PluginError, match="pyreg token-keys init"):
        await watched.start()
    await watched.stop()
