# ruff: noqa: D102 - the name of a test says what it tests
"""Small objects: put, get, stat, delete, copy, rename; errors, and what `close` leaves."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from pyreg.errors import ObjectNotFound, PreconditionFailed, StorageError
from pyreg.hooks import ABSENT, ANY, Match, StorageDriver
from pyreg.instrument import Instrumented
from pyreg.testing.storage.harness import KIB, Harness, content, keys, noise, pieces

LONG = "/".join(["x" * 100] * 10)  # 1,009 bytes

SHAPES = (
    "a",
    "A",
    "docker/registry/v2/blobs/sha256/ab/ab12/data",
    "dots/a..b/.hidden/c.",
    "dots/...",
    "_layers/-dash/--/_",
    "0/1/2/3/4/5/6/7/8/9",
    LONG,
)


class Objects(Harness):
    """Small objects."""

    @pytest.mark.parametrize("size", [0, 1, 4 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1])
    async def test_put_and_get(self, driver: StorageDriver, size: int) -> None:
        data = noise(size)
        written = await driver.put("a/b", data)
        found = await driver.get("a/b")
        assert found is not None
        assert found.data == data
        assert found.info == written == await driver.stat("a/b")
        assert written.size == size
        assert abs(written.modified - time.time()) < 900
        assert await content(driver, "a/b") == data

    async def test_largest_put(self, driver: StorageDriver) -> None:
        data = noise(self.largest_put)
        await driver.put("a", data)
        found = await driver.get("a")
        assert found is not None
        assert found.data == data

    async def test_every_shape_of_key(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        for key in SHAPES:
            await first.put(key, key.encode())
        for key in SHAPES:
            found = await second.get(key)
            assert found is not None
            assert found.data == key.encode()
        assert await keys(second) == sorted(SHAPES)

    async def test_what_is_missing(self, driver: StorageDriver) -> None:
        await driver.put("a/b/c", b"x")
        for key in ("b", "a", "a/b", "a/b/d", "a/b/c/d", "x/y/z"):
            with pytest.raises(ObjectNotFound):
                await driver.stat(key)
            with pytest.raises(ObjectNotFound):
                await driver.get(key)
            with pytest.raises(ObjectNotFound):
                await driver.get(key, unless="etag")
            with pytest.raises(ObjectNotFound):
                async with driver.read(key):
                    pass
            with pytest.raises(ObjectNotFound):
                await driver.copy(key, "elsewhere")
        assert await keys(driver) == ["a/b/c"]

    async def test_get_unless(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        info = await first.put("tag", b"one")
        if info.etag is None:
            pytest.skip("the service has no etags")
        assert await first.get("tag", unless=info.etag) is None
        assert await second.get("tag", unless=info.etag) is None
        await second.put("tag", b"two")
        found = await first.get("tag", unless=info.etag)
        assert found is not None
        assert found.data == b"two"
        assert found.info.etag != info.etag
        await first.delete("tag")
        with pytest.raises(ObjectNotFound):
            await second.get("tag", unless=found.info.etag)

    async def test_etags_tell_contents_apart(self, replicas: Sequence[StorageDriver]) -> None:
        etags = set()
        for number in range(self.rewrites):
            info = await replicas[number % 2].put("tag", b"%09d" % number, durable=False)
            if info.etag is None:
                pytest.skip("the service has no etags")
            etags.add(info.etag)
        assert len(etags) == self.rewrites

    async def test_overwrite(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        await first.put("a", noise(100 * KIB))
        await second.put("a", b"short")
        assert await content(first, "a") == b"short"
        assert (await first.stat("a")).size == 5

    @pytest.mark.parametrize("durable", [True, False])
    async def test_put_if_absent(self, replicas: Sequence[StorageDriver], durable: bool) -> None:
        first, second = replicas
        await first.put("a/b", b"one", when=ABSENT, durable=durable)
        with pytest.raises(PreconditionFailed):
            await second.put("a/b", b"two", when=ABSENT, durable=durable)
        assert await content(second, "a/b") == b"one"
        await second.delete("a/b")
        await first.put("a/b", b"three", when=ABSENT, durable=durable)
        assert await content(second, "a/b") == b"three"

    @pytest.mark.parametrize("durable", [True, False])
    async def test_put_if_unchanged(self, replicas: Sequence[StorageDriver], durable: bool) -> None:
        first, second = replicas
        with pytest.raises(PreconditionFailed):
            await first.put("a/b", b"x", when=Match("no-such-etag"), durable=durable)
        assert await keys(first) == []
        one = await first.put("a/b", b"one", durable=durable)
        assert one.etag is not None, "conditional puts need etags"
        two = await second.put("a/b", b"two", when=Match(one.etag), durable=durable)
        assert two.etag is not None
        with pytest.raises(PreconditionFailed):
            await first.put("a/b", b"three", when=Match(one.etag), durable=durable)
        assert await content(first, "a/b") == b"two"
        await first.delete("a/b")
        with pytest.raises(PreconditionFailed):
            await second.put("a/b", b"four", when=Match(two.etag), durable=durable)
        with pytest.raises(ObjectNotFound):
            await first.stat("a/b")

    async def test_delete(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        await first.put("a/b/c", b"x")
        await first.put("a/d", b"x")
        await first.delete("a/b/c")
        with pytest.raises(ObjectNotFound):
            await second.stat("a/b/c")
        assert await keys(second) == ["a/d"]
        for key in ("a/b/c", "never/was", "a/d/below", "a"):
            await second.delete(key)
        assert await keys(first) == ["a/d"]
        await second.delete("a/d", durable=False)
        assert await keys(first) == []
        await second.put("a/b/c", b"again")
        assert await content(first, "a/b/c") == b"again"

    async def test_delete_many(self, driver: StorageDriver) -> None:
        names = [f"d{number % 7}/k{number}" for number in range(50)]
        for name in names:
            await driver.put(name, b"x", durable=False)
        await driver.delete_many([])
        await driver.delete_many(names[:10], durable=False)
        await driver.delete_many(["d0/missing", *names[:-1], names[0]])
        assert await keys(driver) == [names[-1]]

    async def test_a_place_is_free_again(self, driver: StorageDriver) -> None:
        """What was a prefix becomes an object, and back."""
        for _ in range(2):
            await driver.put("a/b", b"x")
            await driver.delete("a/b")
            await driver.put("a", b"x")
            await driver.delete("a")
        assert await keys(driver) == []

    async def test_copy(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        info = await first.put("a/b", b"one")
        await first.copy("a/b", "c/d/e")
        assert await content(second, "c/d/e") == b"one"
        await first.put("a/b", b"two")
        assert await content(second, "c/d/e") == b"one", "a copy is an object of its own"
        await second.copy("a/b", "c/d/e")
        assert await content(first, "c/d/e") == b"two"
        await first.delete("a/b")
        assert await content(second, "c/d/e") == b"two"
        assert (await second.stat("c/d/e")).etag != info.etag

    @pytest.mark.parametrize("size", [0, 1])
    async def test_copy_of_little(self, driver: StorageDriver, size: int) -> None:
        await driver.put("a", noise(size))
        await driver.copy("a", "b")
        assert await content(driver, "b") == noise(size)

    async def test_copy_of_a_large_object(self, driver: StorageDriver) -> None:
        data = noise(self.large)
        await driver.finish(await self.upload(driver, "a/b", data))
        await driver.copy("a/b", "c")
        assert (await driver.stat("c")).size == len(data)
        assert await content(driver, "c") == data

    async def test_rename(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        await first.put("a/b", b"one")
        if not first.capabilities.rename:
            with pytest.raises(NotImplementedError):
                await first.rename("a/b", "c")
            assert await content(first, "a/b") == b"one"
            return
        await first.rename("a/b", "c/d/e")
        with pytest.raises(ObjectNotFound):
            await second.stat("a/b")
        assert await content(second, "c/d/e") == b"one"
        before = await second.put("x", b"other")
        await first.rename("c/d/e", "x")
        assert await content(second, "x") == b"one"
        assert (await second.stat("x")).etag != before.etag
        assert await keys(second) == ["x"]
        with pytest.raises(ObjectNotFound):
            await second.rename("a/b", "x")
        assert await content(first, "x") == b"one"

    async def test_redirect(self, driver: StorageDriver) -> None:
        await driver.put("a/b", b"x")
        for method in ("GET", "HEAD"):
            address = await driver.redirect_url("a/b", method=method, expires=60.0)
            if driver.capabilities.redirect:
                assert address is not None
                assert address.startswith(("http://", "https://"))
            else:
                assert address is None

    async def test_capabilities(self, driver: StorageDriver) -> None:
        assert driver.name
        assert driver.capabilities.min_part >= 0

    async def test_errors_name_driver_and_key(self, driver: StorageDriver) -> None:
        storage = Instrumented(driver)
        await storage.put("there", b"x")

        async def read() -> None:
            async with storage.read("a/b"):
                pass

        failures: list[tuple[Callable[[], Awaitable[object]], str]] = [
            (lambda: storage.stat("a/b"), "a/b"),
            (lambda: storage.get("a/b"), "a/b"),
            (read, "a/b"),
            (lambda: storage.copy("a/b", "c"), "a/b"),
            (lambda: storage.put("there", b"y", when=ABSENT), "there"),
            (lambda: storage.put("a/b", b"y", when=Match("none")), "a/b"),
        ]
        for call, key in failures:
            with pytest.raises(StorageError) as caught:
                await call()
            assert caught.value.driver == driver.name
            assert caught.value.key == key

    async def test_it_outlives_its_driver(self, anyio_backend: str) -> None:
        async with self.store() as make:
            for number in range(3):
                driver = make()
                await driver.open()
                if number:
                    assert await content(driver, "a") == b"%d" % (number - 1)
                await driver.put("a", b"%d" % number, when=ANY)
                await driver.close()
                await driver.close()

    async def test_nothing_is_left_open(self, anyio_backend: str) -> None:
        async with self.store() as make:

            async def life() -> None:
                driver = make()
                await driver.open()
                state = await self.upload(driver, "a/b", noise(300 * KIB))
                await driver.finish(state)
                await content(driver, "a/b")
                state = await driver.begin_upload("c")
                state, _ = await driver.append(state, 0, pieces(noise(10 * KIB)))
                await driver.abort(state)
                await driver.copy("a/b", "d")
                await keys(driver)
                with pytest.raises(StorageError):
                    await driver.get("missing")
                await driver.close()

            await life()  # whatever is made once in a process
            threads, descriptors = threading.active_count(), _descriptors()
            for _ in range(3):
                await life()
            assert threading.active_count() == threads
            assert _descriptors() == descriptors

    async def test_states_are_short_strings(self, driver: StorageDriver) -> None:
        state = await driver.begin_upload(LONG)
        for offset in range(3):
            assert isinstance(state, str)
            assert len(state.encode()) <= 64 * KIB
            assert json.loads(json.dumps(state)) == state
            if driver.capabilities.min_part:
                break
            state, _ = await driver.append(state, offset, pieces(b"x"))
        await driver.abort(state)


def _descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except FileNotFoundError:
        return 0
