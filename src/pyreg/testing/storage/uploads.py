# ruff: noqa: D102 - the name of a test says what it tests
"""Uploads: whole, torn, cancelled, raced, taken over by another replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from pyreg.errors import (
    ObjectNotFound,
    OffsetMismatch,
    StorageError,
    UploadNotFound,
)
from pyreg.hooks import StorageDriver
from pyreg.testing.storage.harness import (
    KIB,
    MIB,
    Harness,
    Torn,
    content,
    keys,
    noise,
    pieces,
    torn,
)

KEY = "repository/_uploads/id/data"


class Uploads(Harness):
    """Uploads."""

    async def test_an_empty_upload(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        info = await second.finish(await first.begin_upload("never/appended"))
        assert info.size == 0
        assert await content(first, "never/appended") == b""
        state, offset = await first.append(await first.begin_upload("empty"), 0, pieces(b""))
        assert offset == 0
        assert (await second.finish(state)).size == 0
        assert await content(first, "empty") == b""
        assert await keys(first) == ["empty", "never/appended"]

    @pytest.mark.parametrize("size", [1, 2, 64 * KIB, MIB + 1])
    async def test_one_append(self, driver: StorageDriver, size: int) -> None:
        data = noise(size)
        info = await driver.finish(await self.upload(driver, KEY, data))
        assert info.size == size
        assert info == await driver.stat(KEY)
        assert await content(driver, KEY) == data

    async def test_around_the_smallest_part(self, driver: StorageDriver) -> None:
        part = max(driver.capabilities.min_part, 1000)
        for number, sizes in enumerate(
            [(part,), (part, part), (part, 1), (part, part, part - 1), (part + 1, part, 1)]
        ):
            parts = [noise(size, seed) for seed, size in enumerate(sizes)]
            key = f"u{number}"
            await driver.finish(await self.upload(driver, key, *parts))
            assert await content(driver, key) == b"".join(parts)

    async def test_pieces_of_all_sizes(self, driver: StorageDriver) -> None:
        sizes = (1, 10, 64 * KIB + 1, 3 * MIB, 7, 1, MIB, 100)
        parts = [noise(size, seed) for seed, size in enumerate(sizes)]

        async def uneven() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        state, offset = await driver.append(await driver.begin_upload(KEY), 0, uneven())
        assert offset == sum(sizes)
        await driver.finish(state)
        assert await content(driver, KEY) == b"".join(parts)

    async def test_a_large_upload(self, driver: StorageDriver) -> None:
        data = noise(self.large)
        await driver.finish(await self.upload(driver, KEY, data))
        assert await content(driver, KEY) == data

    @pytest.mark.parametrize("durable", [(False,), (False, True), (True, False)])
    async def test_appends_that_are_not_durable(
        self, replicas: Sequence[StorageDriver], durable: tuple[bool, ...]
    ) -> None:
        first, second = replicas
        state, offset, data = await first.begin_upload(KEY), 0, b""
        for number, flag in enumerate(durable):
            part = self.part(first, 1000, number)
            state, offset = await first.append(state, offset, pieces(part), durable=flag)
            data += part
        assert (await second.finish(state)).size == len(data)
        assert await content(first, KEY) == data

    async def test_each_step_on_another_replica(self, anyio_backend: str) -> None:
        """A state is all that goes from one process to the next."""
        async with self.store() as make:
            data = b""
            state, offset = "", 0
            for number in range(4):
                driver = make()
                await driver.open()
                if not state:
                    state = await driver.begin_upload(KEY)
                part = self.part(driver, 1000, number)
                state, offset = await driver.append(state, offset, pieces(part))
                data += part
                assert offset == len(data)
                await driver.close()
            driver = make()
            await driver.open()
            await driver.finish(state)
            assert await content(driver, KEY) == data
            await driver.close()

    async def test_nothing_shows_before_finish(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        state = await first.begin_upload(KEY)
        state, offset = await first.append(state, 0, pieces(self.part(first, 1000)))
        for driver in replicas:
            assert await keys(driver) == []
            assert await keys(driver, "repository/", "/") == []
            with pytest.raises(ObjectNotFound):
                await driver.stat(KEY)
        await second.put(KEY, b"old")
        state, _ = await second.append(state, offset, pieces(b"end"))
        assert await content(first, KEY) == b"old"
        await first.finish(state)
        assert (await content(second, KEY)).endswith(b"end")
        assert await keys(second) == [KEY]

    async def test_pieces_may_end_early(self, driver: StorageDriver) -> None:
        part = self.part(driver, 300 * KIB)
        state = await driver.begin_upload(KEY)
        state, offset = await driver.append(state, 0, pieces(part))
        assert offset == len(part)
        state, offset = await driver.append(state, offset, pieces(b"rest"))
        await driver.finish(state)
        assert await content(driver, KEY) == part + b"rest"

    async def test_a_gap_is_refused(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        state = await first.begin_upload(KEY)
        with pytest.raises(OffsetMismatch):
            await first.append(state, 1, pieces(b"x"))
        part = self.part(first, 1000)
        state, offset = await first.append(state, 0, pieces(part))
        with pytest.raises(OffsetMismatch) as caught:
            await second.append(state, offset + 1, pieces(b"x"))
        assert caught.value.offset in (None, offset)
        state, _ = await second.append(state, offset, pieces(b"end"))
        await first.finish(state)
        assert await content(first, KEY) == part + b"end"

    @pytest.mark.parametrize("size", [0, 1, 200 * KIB, 6 * MIB])
    async def test_torn_then_repeated(self, replicas: Sequence[StorageDriver], size: int) -> None:
        """What a torn `append` left behind the offset is dropped."""
        first, second = replicas
        start = self.part(first, 1000)
        state = await first.begin_upload(KEY)
        with pytest.raises(Torn):
            await first.append(state, 0, torn(noise(size, 1)))
        state, offset = await second.append(state, 0, pieces(start))
        for driver in (first, second):
            with pytest.raises(Torn):
                await driver.append(state, offset, torn(noise(size, 2)))
        end = noise(10, 3)
        state, offset = await first.append(state, offset, pieces(end))
        assert offset == len(start + end)
        await second.finish(state)
        assert await content(first, KEY) == start + end
        assert await keys(first) == [KEY]

    async def test_torn_then_finished(self, driver: StorageDriver) -> None:
        """Only what was acknowledged is published."""
        start = self.part(driver, 1000)
        state = await driver.begin_upload(KEY)
        state, offset = await driver.append(state, 0, pieces(start))
        with pytest.raises(Torn):
            await driver.append(state, offset, torn(noise(3 * MIB)))
        info = await driver.finish(state)
        assert info.size == len(start)
        assert await content(driver, KEY) == start

    async def test_storage_errors_of_the_pieces_pass(self, driver: StorageDriver) -> None:
        error = ObjectNotFound("not yours", driver="another", key="key")

        async def failing() -> AsyncIterator[bytes]:
            yield b"x"
            raise error

        state = await driver.begin_upload(KEY)
        with pytest.raises(ObjectNotFound) as caught:
            await driver.append(state, 0, failing())
        assert caught.value is error

    async def test_cancelled_then_repeated(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        data = self.part(first, 3 * MIB)
        start = self.part(first, 1000, 1)
        state = await first.begin_upload(KEY)
        state, offset = await first.append(state, 0, pieces(start))
        for yields in (0, 1, 2, 3, 5, 10, 30):
            task = asyncio.create_task(first.append(state, offset, pieces(data, 64 * KIB)))
            for _ in range(yields):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        stalled = asyncio.create_task(first.append(state, offset, _stall(b"beginning")))
        await asyncio.sleep(0.05)
        stalled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stalled
        state, offset = await second.append(state, offset, pieces(data))
        assert offset == len(start) + len(data)
        await second.finish(state)
        assert await content(first, KEY) == start + data

    async def test_racing_appends(self, replicas: Sequence[StorageDriver]) -> None:
        """Each state that comes back is whole, or cannot be finished: nothing is ever mixed."""
        first, second = replicas
        start = self.part(first, 1000)
        state = await first.begin_upload(KEY)
        state, offset = await first.append(state, 0, pieces(start))
        both = asyncio.Event()
        begun = 0

        async def racer(driver: StorageDriver, data: bytes) -> str | None:
            async def gated() -> AsyncIterator[bytes]:
                nonlocal begun
                begun += 1
                if begun == 2:
                    both.set()
                yield data[: 70 * KIB]
                try:
                    await asyncio.wait_for(both.wait(), 0.2)
                except TimeoutError:
                    pass  # the other one was refused before it asked for a piece
                yield data[70 * KIB :]

            try:
                new, end = await driver.append(state, offset, gated())
            except OffsetMismatch:
                return None
            assert end == offset + len(data)
            return new

        contents = [noise(300 * KIB, 1), noise(200 * KIB, 2)]
        states = await asyncio.gather(racer(first, contents[0]), racer(second, contents[1]))
        assert any(states), "one of them goes through"
        outcomes = 0
        for new, data in zip(states, contents, strict=True):
            if new is None:
                continue
            try:
                await second.finish(new, key=None)
            except StorageError:
                continue
            if outcomes == 0:
                assert await content(first, KEY) == start + data
            outcomes += 1
        assert outcomes >= 1

    async def test_an_older_state_takes_nothing_back(
        self, replicas: Sequence[StorageDriver]
    ) -> None:
        """A replica that knows only an older state must not damage what came after it."""
        first, second = replicas
        old = await first.begin_upload(KEY)
        one, two = self.part(first, 90 * KIB, 1), self.part(first, 90 * KIB, 2)
        kept, offset = await first.append(old, 0, pieces(one))
        try:
            await second.append(old, 0, pieces(two))
        except OffsetMismatch:
            pass
        try:
            kept, _ = await first.append(kept, offset, pieces(b"end"))
            await first.finish(kept)
        except StorageError:
            return  # refusing is fine, publishing something else is not
        assert await content(second, KEY) == one + b"end"

    async def test_finish_is_idempotent(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        state = await self.upload(first, KEY, noise(1000))
        info = await first.finish(state)
        assert (await first.finish(state)).size == info.size
        assert (await second.finish(state)).size == info.size
        assert await content(second, KEY) == noise(1000)
        await second.delete(KEY)
        with pytest.raises(UploadNotFound):
            await second.finish(state)
        assert await keys(first) == []

    async def test_finish_elsewhere(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        if not first.capabilities.rename:
            pytest.skip("the driver cannot rename")
        data = noise(self.large)
        state = await self.upload(first, KEY, data)
        await second.put("blobs/ab/data", b"old")
        for driver in (second, first):
            info = await driver.finish(state, key="blobs/ab/data")
            assert info.size == len(data)
        assert await content(first, "blobs/ab/data") == data
        assert await keys(first) == ["blobs/ab/data"]

    async def test_abort(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        part = self.part(first, 1000)
        state, offset = await first.append(await first.begin_upload(KEY), 0, pieces(part))
        await second.abort(state)
        await first.abort(state)
        with pytest.raises(UploadNotFound):
            await first.append(state, offset, pieces(b"x"))
        with pytest.raises(UploadNotFound):
            await second.finish(state)
        await first.abort(await first.begin_upload(KEY))
        assert await keys(first) == []

    async def test_an_upload_is_over_when_finished(self, driver: StorageDriver) -> None:
        state = await self.upload(driver, KEY, noise(1000))
        await driver.finish(state)
        await driver.abort(state)
        with pytest.raises(UploadNotFound):
            await driver.append(state, 1000, pieces(b"x"))
        assert await content(driver, KEY) == noise(1000)

    @pytest.mark.parametrize(
        "state", ["", "nonsense", "{}", "[]", "[1, 2, 3]", '["../../etc/passwd", "+", 1]', "null"]
    )
    async def test_what_is_no_state(self, driver: StorageDriver, state: str) -> None:
        with pytest.raises(UploadNotFound):
            await driver.append(state, 0, pieces(b"x"))
        with pytest.raises(UploadNotFound):
            await driver.finish(state)
        await driver.abort(state)

    async def test_uploads_of_one_key(self, replicas: Sequence[StorageDriver]) -> None:
        """Two uploads that began with one key do not see each other."""
        first, second = replicas
        one = await self.upload(first, KEY, noise(1000, 1))
        two = await self.upload(second, KEY, noise(2000, 2))
        await first.finish(one)
        assert await content(second, KEY) == noise(1000, 1)
        await second.finish(two)
        assert await content(first, KEY) == noise(2000, 2)

    async def test_many_uploads_at_once(self, replicas: Sequence[StorageDriver]) -> None:
        async def one(number: int) -> None:
            driver = replicas[number % 2]
            part = self.part(driver, 300 * KIB, number)
            state = await self.upload(driver, f"u/{number}/data", part, b"%d" % number)
            await replicas[(number + 1) % 2].finish(state)

        await asyncio.gather(*map(one, range(self.crowd)))
        assert len(await keys(replicas[0])) == self.crowd
        for number in range(self.crowd):
            assert (await content(replicas[0], f"u/{number}/data")).endswith(b"%d" % number)

    async def test_a_cancelled_finish(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        data = noise(300 * KIB)
        for yields in (0, 1, 2, 4, 8):
            key = f"u/{yields}"
            state = await self.upload(first, key, data)
            task = asyncio.create_task(first.finish(state))
            for _ in range(yields):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            try:
                assert await content(second, key) == data
            except ObjectNotFound:
                assert await keys(second, "u/") == [f"u/{n}" for n in (0, 1, 2, 4) if n < yields]
            await second.finish(state)
            assert await content(first, key) == data


async def _stall(data: bytes) -> AsyncIterator[bytes]:
    yield data
    await asyncio.Event().wait()
