# ruff: noqa: D102 - the name of a test says what it tests
"""`read`: ranges at all edges, and readers that outlive what they read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest

from pyreg.errors import StorageError
from pyreg.hooks import FileSpan, StorageDriver
from pyreg.testing.storage.harness import KIB, MIB, Harness, content, keys, noise


class Reading(Harness):
    """Ranges and long reads."""

    @pytest.mark.parametrize("size", [0, 1, 1000])
    async def test_ranges_of_a_small_object(self, driver: StorageDriver, size: int) -> None:
        data = noise(size)
        await driver.put("a", data)
        edges = sorted({0, 1, max(size - 1, 0), size, size + 1, size + 1000})
        for start in edges:
            for stop in (*edges, None):
                assert await content(driver, "a", start=start, stop=stop) == data[start:stop]

    async def test_ranges_of_a_large_object(self, driver: StorageDriver) -> None:
        data = noise(self.large)
        await driver.finish(await self.upload(driver, "a", data))
        assert await content(driver, "a") == data
        for edge in (64 * KIB, 256 * KIB, 512 * KIB, MIB, self.large):
            for start, stop in (
                (edge - 1, edge),
                (edge, edge + 1),
                (edge - 1, edge + 1),
                (edge + 1, edge - 1),
                (0, edge),
                (1, edge + 1),
                (edge - 1, edge + 64 * KIB),
                (self.large - edge, None),
                (self.large - edge - 1 if edge < self.large else 0, self.large + 1),
            ):
                assert await content(driver, "a", start=start, stop=stop) == data[start:stop]

    async def test_the_size_comes_first(self, driver: StorageDriver) -> None:
        info = await driver.put("a", noise(100 * KIB))
        async with driver.read("a", start=10, stop=20) as reader:
            assert reader.info == info

    async def test_the_bytes_in_a_file(self, driver: StorageDriver) -> None:
        """A reader that says where its bytes lie tells the truth."""
        data = noise(100 * KIB)
        await driver.put("a", data)
        for start, stop in ((0, None), (10, 20), (20, 10), (len(data), None), (1, 10**9)):
            async with driver.read("a", start=start, stop=stop) as reader:
                span: FileSpan | None = getattr(reader, "file", None)
                if span is None:
                    pytest.skip("the driver's objects are not files")
                size = max(span.stop - span.start, 0)
                assert os.pread(span.descriptor, size, span.start) == data[start:stop]

    async def test_a_reader_may_stop_early(self, driver: StorageDriver) -> None:
        data = noise(self.large)
        await driver.finish(await self.upload(driver, "a", data))
        for _ in range(5):
            async with driver.read("a") as reader:
                async for piece in reader:
                    assert data.startswith(piece)
                    break
        async with driver.read("a"):
            pass
        with pytest.raises(ZeroDivisionError):
            async with driver.read("a"):
                raise ZeroDivisionError

    @pytest.mark.parametrize("change", ["overwrite", "delete", "finish", "rename"])
    async def test_a_reader_sees_one_content(
        self, replicas: Sequence[StorageDriver], change: str
    ) -> None:
        first, second = replicas
        if change == "rename" and not first.capabilities.rename:
            pytest.skip("the driver cannot rename")
        old, new = noise(self.large, 1), noise(self.large, 2)
        await first.finish(await self.upload(first, "a", old))
        got = bytearray()
        try:
            async with first.read("a") as reader:
                changed = False
                async for piece in reader:
                    got += piece
                    if not changed:
                        changed = True
                        if change == "overwrite":
                            await second.put("a", new[: self.largest_put])
                        elif change == "delete":
                            await second.delete("a")
                        elif change == "rename":
                            await second.put("b", new[: self.largest_put])
                            await second.rename("b", "a")
                        else:
                            await second.finish(await self.upload(second, "a", new))
            assert bytes(got) == old
        except StorageError:
            assert old.startswith(bytes(got)), "what came before the error is the old content"

    async def test_a_cancelled_read(self, driver: StorageDriver) -> None:
        data = noise(self.large)
        await driver.finish(await self.upload(driver, "a", data))
        for yields in (0, 1, 2, 5, 20):
            task = asyncio.create_task(content(driver, "a"))
            for _ in range(yields):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        assert await content(driver, "a") == data

    async def test_many_readers(self, driver: StorageDriver) -> None:
        data = noise(3 * MIB + 7)
        await driver.finish(await self.upload(driver, "a", data))
        found = await asyncio.gather(*(content(driver, "a", start=n) for n in range(self.crowd)))
        for start, part in enumerate(found):
            assert part == data[start:]
        assert await keys(driver) == ["a"]
