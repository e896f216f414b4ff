"""What is particular to memory: sharing, and what an upload costs."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from pyreg.errors import OffsetMismatch
from pyreg.testing.storage.harness import MIB, content, keys, pieces
from pyreg_storage_inmemory import InMemoryPlugin, InMemoryStorage, InMemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_stores_are_shared_only_on_purpose() -> None:
    store = InMemoryStore()
    one, same, other = InMemoryStorage(store), InMemoryStorage(store), InMemoryStorage()
    await one.put("a", b"x")
    assert await keys(same) == ["a"]
    assert await keys(other) == []


async def test_appends_exclude_each_other() -> None:
    driver = InMemoryStorage()
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"slow"
        await go.wait()

    state = await driver.begin_upload("a")
    task = asyncio.create_task(driver.append(state, 0, slow()))
    await asyncio.sleep(0)
    with pytest.raises(OffsetMismatch):
        await driver.append(state, 0, pieces(b"fast"))
    with pytest.raises(OffsetMismatch):
        await driver.finish(state)
    go.set()
    await driver.finish((await task)[0])
    assert await content(driver, "a") == b"slow"


async def test_an_upload_is_held_once() -> None:
    driver = InMemoryStorage()
    state, offset = await driver.begin_upload("a"), 0

    async def tiny() -> AsyncIterator[bytes]:
        for _ in range(MIB // 16):
            yield bytes(16)

    tracemalloc.start()
    for _ in range(20):
        state, offset = await driver.append(state, offset, tiny())
    await driver.finish(state)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (await driver.stat("a")).size == 20 * MIB
    assert peak < 24 * MIB


async def test_many_appends_do_not_slow_down() -> None:
    driver = InMemoryStorage()
    state, offset = await driver.begin_upload("a"), 0
    for number in range(3_000):
        state, offset = await driver.append(state, offset, pieces(b"%04d" % number))
    await driver.finish(state)
    expected = b"".join(b"%04d" % number for number in range(3_000))
    assert await content(driver, "a") == expected


async def test_a_page_costs_the_same_anywhere() -> None:
    best = []
    for count in (1_000, 50_000):
        driver = InMemoryStorage()
        for number in range(count):
            await driver.put(f"tags/{number}/link", b"")
        times = []
        for _ in range(10):
            began = time.perf_counter()
            page = await driver.list("tags/", delimiter="/", after="tags/5", limit=100)
            times.append(time.perf_counter() - began)
            assert len(page.entries) == 100
        best.append(min(times))
    assert best[1] < 3 * best[0] + 0.001


def test_the_plugin() -> None:
    plugin = InMemoryPlugin()
    assert plugin.Options is None
    assert isinstance(plugin.pyreg_storage(), InMemoryStorage)
    assert plugin.pyreg_storage() is not InMemoryPlugin().pyreg_storage()
