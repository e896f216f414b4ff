# ruff: noqa: D102 - the name of a test says what it tests
"""Races between replicas, and calls that are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from pyreg.errors import ObjectNotFound, PreconditionFailed
from pyreg.hooks import ABSENT, Condition, Match, StorageDriver
from pyreg.testing.storage.harness import Harness, content, keys, noise

YIELDS = (0, 1, 2, 3, 5, 8, 13)
"""How many times the loop turns before a call is cancelled."""


class Races(Harness):
    """Races and cancellation."""

    async def test_one_wins_among_absent(self, replicas: Sequence[StorageDriver]) -> None:
        for turn in range(5):
            key = f"locks/{turn}/lease"
            assert len(await self._winners(replicas, key, ABSENT)) == 1

    async def test_one_wins_among_match(self, replicas: Sequence[StorageDriver]) -> None:
        info = await replicas[0].put("a/b", b"first")
        for _ in range(5):
            assert info.etag is not None
            assert len(await self._winners(replicas, "a/b", Match(info.etag))) == 1
            info = await replicas[0].stat("a/b")

    async def _winners(
        self, replicas: Sequence[StorageDriver], key: str, when: Condition
    ) -> list[int]:
        async def racer(number: int) -> int | None:
            try:
                await replicas[number % 2].put(key, b"%d" % number, when=when)
            except PreconditionFailed:
                return None
            return number

        found = await asyncio.gather(*map(racer, range(self.racers)))
        winners = [number for number in found if number is not None]
        assert await content(replicas[1], key) == b"%d" % winners[0]
        return winners

    async def test_no_update_is_lost(self, replicas: Sequence[StorageDriver]) -> None:
        """Counting by compare-and-swap."""
        await replicas[0].put("counter", b"0")

        async def count(driver: StorageDriver, times: int) -> None:
            while times:
                found = await driver.get("counter")
                assert found is not None
                assert found.info.etag is not None
                more = b"%d" % (int(found.data) + 1)
                try:
                    await driver.put("counter", more, when=Match(found.info.etag), durable=False)
                except PreconditionFailed:
                    continue
                times -= 1

        await asyncio.gather(*(count(replicas[n % 2], 10) for n in range(4)))
        assert await content(replicas[0], "counter") == b"40"

    async def test_a_lease_is_held_by_one(self, replicas: Sequence[StorageDriver]) -> None:
        """`ABSENT` and `delete` make a lock."""
        inside = 0

        async def worker(driver: StorageDriver) -> None:
            nonlocal inside
            done = 0
            while done < 5:
                try:
                    await driver.put("lease", b"x", when=ABSENT, durable=False)
                except PreconditionFailed:
                    await asyncio.sleep(0.001)
                    continue
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1
                await driver.delete("lease")
                done += 1

        await asyncio.gather(*(worker(replicas[n % 2]) for n in range(4)))

    async def test_readers_see_whole_objects(self, replicas: Sequence[StorageDriver]) -> None:
        contents = [noise(size, size) for size in (1, 50_000, 200_000)]
        await replicas[0].put("a", contents[0])
        writing = True

        async def read() -> None:
            while writing:
                found = await replicas[1].get("a")
                assert found is not None
                assert found.data in contents
                assert found.info.size == len(found.data)
                await asyncio.sleep(0)

        reader = asyncio.create_task(read())
        for turn in range(30):
            await replicas[0].put("a", contents[turn % 3], durable=False)
        writing = False
        await reader

    async def test_neighbours_come_and_go(self, replicas: Sequence[StorageDriver]) -> None:
        """Writers and deleters in one prefix do not disturb each other."""

        async def worker(number: int) -> None:
            driver = replicas[number % 2]
            for turn in range(10):
                key = f"deep/er/and/deeper/{number}"
                await driver.put(key, b"%d" % turn, durable=False)
                assert await content(driver, key) == b"%d" % turn
                await driver.delete(key)

        await asyncio.gather(*map(worker, range(self.racers)))
        assert await keys(replicas[0]) == []

    async def test_a_cancelled_put(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        old, new = noise(100_000, 1), noise(100_000, 2)
        for yields in YIELDS:
            await first.put("a/b", old)
            await _cancelled(first.put("a/b", new), yields)
            assert await content(second, "a/b") in (old, new)
            await second.put("a/b", b"last")
            await asyncio.sleep(0.01)
            assert await content(first, "a/b") == b"last", "nothing happens after the fact"

    async def test_a_cancelled_delete(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        for yields in YIELDS:
            await first.put("a/b", b"old")
            await _cancelled(first.delete("a/b"), yields)
            try:
                assert await content(second, "a/b") == b"old"
            except ObjectNotFound:
                assert await keys(second) == []
            await second.put("a/b", b"last")
            await asyncio.sleep(0.01)
            assert await content(first, "a/b") == b"last"

    async def test_a_cancelled_rename(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        if not first.capabilities.rename:
            pytest.skip("the driver cannot rename")
        for yields in YIELDS:
            await first.put("a/b", b"new")
            await first.put("c", b"old")
            await _cancelled(first.rename("a/b", "c"), yields)
            if await keys(second) == ["c"]:
                assert await content(second, "c") == b"new"
            else:
                assert await keys(second) == ["a/b", "c"]
                assert await content(second, "c") == b"old"

    async def test_a_cancelled_copy(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        data = noise(self.large)
        await first.finish(await self.upload(first, "a", data))
        for yields in YIELDS:
            await second.put("b", b"old")
            await _cancelled(first.copy("a", "b"), yields)
            assert await content(second, "b") in (b"old", data)
        await first.copy("a", "b")
        assert await keys(second) == ["a", "b"]


async def _cancelled(call: Coroutine[Any, Any, object], yields: int) -> None:
    task = asyncio.create_task(call)
    for _ in range(yields):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled() or task.exception() is None
