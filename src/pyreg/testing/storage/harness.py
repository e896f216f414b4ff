"""What the parts of the suite share: drivers on a fresh store, and ways to feed and read them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest

from pyreg.hooks import Entry, StorageDriver

KIB = 1024
MIB = 1024 * 1024


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that look random and are the same for the same arguments."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - nothing secret


async def pieces(data: bytes, size: int = 256 * KIB) -> AsyncIterator[bytes]:
    """The pieces that an `append` is fed with."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Torn(Exception):
    """What a client that goes away raises in the middle of its upload."""


async def torn(data: bytes, size: int = 64 * KIB) -> AsyncIterator[bytes]:
    """Pieces that end with an exception."""
    async for piece in pieces(data, size):
        yield piece
    raise Torn


async def content(
    driver: StorageDriver, key: str, *, start: int = 0, stop: int | None = None
) -> bytes:
    """What `read` gives, with a check of the pieces' sizes."""
    parts: list[bytes] = []
    async with driver.read(key, start=start, stop=stop) as reader:
        async for piece in reader:
            parts.append(piece)
    for part in parts[:-1]:
        assert 64 * KIB <= len(part) <= MIB, "a piece has 64 KiB to 1 MiB, save the last"
    if parts:
        assert 0 < len(parts[-1]) <= MIB, "a piece is not empty, and at most 1 MiB"
    return b"".join(parts)


async def pages(
    driver: StorageDriver,
    prefix: str = "",
    *,
    delimiter: str | None = None,
    after: str = "",
    limit: int = 1000,
) -> list[Entry]:
    """All entries of a listing, page by page, with checks of each page."""
    entries: list[Entry] = []
    while True:
        page = await driver.list(prefix, delimiter=delimiter, after=after, limit=limit)
        assert len(page.entries) <= limit
        for entry in page.entries:
            assert entry.key.encode() > after.encode(), "behind `after`, and in order"
            after = entry.key
        entries.extend(page.entries)
        if page.after is None:
            return entries
        assert len(page.entries) == limit, "only the last page is shorter"
        assert page.after == page.entries[-1].key
        after = page.after


async def keys(driver: StorageDriver, prefix: str = "", delimiter: str | None = None) -> list[str]:
    """The keys of a listing."""
    return [entry.key for entry in await pages(driver, prefix, delimiter=delimiter)]


class Harness:
    """What a driver's test class says about its driver.

    Attributes:
        large: Bytes of a large object.
        largest_put: Bytes of the largest `put` that is tried; the contract allows 8 MiB.
        many: Keys in the longest listing; more than a page of 1,000.
        racers: How many calls race for one object.
        crowd: How many uploads go on at once.
        examples: How many runs hypothesis makes of each property.
        steps: How many steps it takes in each run of the state machine.
        rewrites: How often an object is overwritten in quick succession.
    """

    large: int = 20 * MIB + 4321
    largest_put: int = 8 * MIB
    many: int = 1_234
    racers: int = 8
    crowd: int = 32
    examples: int = 25
    steps: int = 25
    rewrites: int = 100

    def store(self) -> AbstractAsyncContextManager[Callable[[], StorageDriver]]:
        """A fresh, empty store: gives a function that makes a driver on it, not yet opened."""
        raise NotImplementedError("say how to get drivers on a fresh store")

    @asynccontextmanager
    async def opened(self, count: int = 1) -> AsyncIterator[Sequence[StorageDriver]]:
        """Open drivers on one fresh store."""
        async with self.store() as make, AsyncExitStack() as stack:
            drivers = [make() for _ in range(count)]
            for driver in drivers:
                await driver.open()
                stack.push_async_callback(driver.close)
            yield drivers

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The suite runs on asyncio, as drivers do."""
        return "asyncio"

    @pytest.fixture
    async def driver(self, anyio_backend: str) -> AsyncIterator[StorageDriver]:
        """A driver on a fresh store."""
        async with self.opened() as (driver,):
            yield driver

    @pytest.fixture
    async def replicas(self, anyio_backend: str) -> AsyncIterator[Sequence[StorageDriver]]:
        """Two drivers on one fresh store."""
        async with self.opened(2) as drivers:
            yield drivers

    def part(self, driver: StorageDriver, size: int, seed: int = 0) -> bytes:
        """Bytes for one `append` that is not the last: at least `min_part` of them."""
        return noise(max(size, driver.capabilities.min_part), seed)

    async def upload(self, driver: StorageDriver, key: str, *parts: bytes) -> str:
        """Upload parts, one `append` each; the state before `finish`."""
        state = await driver.begin_upload(key)
        offset = 0
        for part in parts:
            state, offset = await driver.append(state, offset, pieces(part))
        assert offset == sum(map(len, parts))
        return state
