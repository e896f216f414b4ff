"""Files that change: how often they are looked at and read, and what the log says."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from pyreg_notify_webhook.watched import LOOK_EVERY, UnusableFile, Watched, read
from tests.server.authorities import put

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def later(self) -> None:
        """It is time to look again."""
        self.now += LOOK_EVERY


class Reader:
    """Reads a file, which must not be empty, and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        data = read(self.path)
        if not data:
            raise UnusableFile(f"{self.path} is empty")
        return data


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(put(tmp_path / "file", b"first"))


@pytest.fixture
async def watched(anyio_backend: str, reader: Reader, clock: Clock) -> Watched[bytes]:
    made = Watched("tests", [reader.path], reader, clock=clock)
    await made.start()
    return made


async def test_what_does_not_change_is_read_once(
    watched: Watched[bytes], reader: Reader, clock: Clock
) -> None:
    for _ in range(5):
        clock.later()
        assert await watched.current() == b"first"
    assert reader.count == 1


async def test_it_is_not_looked_at_all_the_time(
    watched: Watched[bytes], reader: Reader, clock: Clock
) -> None:
    put(reader.path, b"second")
    assert await watched.current() == b"first"
    clock.later()
    assert await watched.current() == b"second"


async def test_many_who_ask_at_once_look_once(
    watched: Watched[bytes], reader: Reader, clock: Clock
) -> None:
    put(reader.path, b"second")
    clock.later()
    found = await asyncio.gather(*(watched.current() for _ in range(50)))
    assert set(found) <= {b"first", b"second"}
    assert reader.count == 2
    assert await watched.current() == b"second"


async def test_the_same_trouble_is_told_once(
    watched: Watched[bytes], reader: Reader, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def told(times: int) -> list[str]:
        caplog.clear()
        for _ in range(times):
            clock.later()
            assert await watched.current() == b"first"
        return [record.getMessage() for record in caplog.records]

    put(reader.path, b"")
    expected = f"tests: {reader.path} is empty; what it was before stays in force"
    assert await told(3) == [expected]
    reader.path.unlink()
    [gone] = await told(3)
    assert "no such file or directory" in gone
    put(reader.path, b"")
    assert await told(3) == [expected]
    put(reader.path, b"first")
    assert await told(3) == ["tests: a file has changed and was read again"]
    assert await told(3) == []
