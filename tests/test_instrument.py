"""`pyreg.instrument`: key checks, complete errors, timings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.errors import (
    ObjectNotFound,
    OffsetMismatch,
    StorageError,
    StorageUnavailable,
)
from pyreg.hooks import (
    ABSENT,
    ANY,
    Capabilities,
    Condition,
    ObjectInfo,
    Page,
    Reader,
    StorageDriver,
    StoredObject,
)
from pyreg.instrument import MAX_PUT, Instrumented, check_key

pytestmark = pytest.mark.anyio

INFO = ObjectInfo(3, "etag", 0.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Fake(StorageDriver):
    """A driver that does nothing, or fails in one way at every call."""

    name = "fake"
    capabilities = Capabilities(rename=True)

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.calls = 0

    def _fail(self) -> None:
        self.calls += 1
        if self.failure is not None:
            raise self.failure

    async def stat(self, key: str) -> ObjectInfo:
        self._fail()
        return INFO

    async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
        self._fail()
        return None if unless else StoredObject(INFO, b"abc")

    @asynccontextmanager
    async def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[Reader]:
        if key == "fails/at/once":
            self._fail()
        yield _Reader(self)

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        self._fail()
        return INFO

    async def begin_upload(self, key: str) -> str:
        self._fail()
        return "state"

    async def append(
        self, state: str, offset: int, pieces: AsyncIterator[bytes], *, durable: bool = True
    ) -> tuple[str, int]:
        async for piece in pieces:
            offset += len(piece)
        self._fail()
        return state, offset

    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        self._fail()
        return INFO

    async def abort(self, state: str) -> None:
        self._fail()

    async def delete(self, key: str, *, durable: bool = True) -> None:
        self._fail()

    async def list(
        self, prefix: str, *, delimiter: str | None = None, after: str = "", limit: int = 1000
    ) -> Page:
        self._fail()
        return Page((), None)

    async def rename(self, src: str, dst: str) -> None:
        self._fail()

    async def copy(self, src: str, dst: str) -> None:
        self._fail()


class _Reader:
    info = INFO

    def __init__(self, driver: Fake) -> None:
        self._driver = driver

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"abc"
        self._driver._fail()


async def pieces(failure: BaseException | None = None) -> AsyncIterator[bytes]:
    yield b"abc"
    if failure is not None:
        raise failure


async def content(storage: StorageDriver, key: str, **options: int) -> bytes:
    async with storage.read(key, **options) as reader:
        assert reader.info == INFO
        return b"".join([piece async for piece in reader])


Call = Callable[[StorageDriver, str], Awaitable[object]]

KEYED: dict[str, Call] = {
    "stat": lambda storage, key: storage.stat(key),
    "get": lambda storage, key: storage.get(key),
    "read": content,
    "put": lambda storage, key: storage.put(key, b"abc"),
    "begin_upload": lambda storage, key: storage.begin_upload(key),
    "finish": lambda storage, key: storage.finish("state", key=key),
    "delete": lambda storage, key: storage.delete(key),
    "delete_many": lambda storage, key: storage.delete_many([key]),
    "rename": lambda storage, key: storage.rename(key, "other"),
    "copy": lambda storage, key: storage.copy(key, "other"),
    "list": lambda storage, key: storage.list(key + "/"),
}
KEYLESS: dict[str, Call] = {
    "append": lambda storage, key: storage.append("state", 0, pieces()),
    "abort": lambda storage, key: storage.abort("state"),
}

GOOD = ("a", "docker/registry/v2/x", "...", "a/..b/c..", ".hidden", "-", "x" * 1024)
BAD = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/./b",
    "a/../b",
    "../a",
    "a/..",
    "a b",
    "a\0b",
    "a\n",
    "ä",
    "a+b",
    "a\\b",
    "%2e%2e",
    "x" * 1025,
)


@pytest.mark.parametrize("key", GOOD)
def test_good_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", BAD)
async def test_bad_keys_reach_no_driver(key: str) -> None:
    driver = Fake()
    storage = Instrumented(driver)
    others: dict[str, Call] = {
        "redirect_url": lambda storage, key: storage.redirect_url(key),
        "rename to": lambda storage, key: storage.rename("other", key),
        "copy to": lambda storage, key: storage.copy("other", key),
    }
    for call in [*KEYED.values(), *others.values()]:
        with pytest.raises(ValueError, match="not a storage key"):
            await call(storage, key)
    assert driver.calls == 0


@given(st.text(alphabet="ab./-_+ \n\0é", max_size=12))
def test_a_good_key_stays_below_the_root(key: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz._-")
    good = all(part and part not in (".", "..") and set(part) <= allowed for part in key.split("/"))
    try:
        check_key(key)
    except ValueError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("name", [*KEYED, *KEYLESS])
async def test_errors_are_completed(name: str) -> None:
    call = (KEYED | KEYLESS)[name]
    failure = ObjectNotFound("gone")
    with pytest.raises(ObjectNotFound) as caught:
        await call(Instrumented(Fake(failure)), "a/b")
    assert caught.value is failure
    assert failure.driver == "fake"
    assert failure.key in {"", "a/b", "a/b/"} if name in KEYLESS else failure.key.startswith("a/b")
    assert str(failure).startswith("fake: ")


async def test_complete_errors_stay_as_they_are() -> None:
    failure = ObjectNotFound("gone", driver="inner", key="x")
    with pytest.raises(ObjectNotFound):
        await Instrumented(Fake(failure)).stat("a")
    assert (failure.driver, failure.key) == ("inner", "x")


@pytest.mark.parametrize("name", [*KEYED, *KEYLESS])
async def test_what_the_contract_does_not_know_is_unavailable(name: str) -> None:
    failure = RuntimeError("SDK is confused")
    with pytest.raises(StorageUnavailable, match="SDK is confused") as caught:
        await (KEYED | KEYLESS)[name](Instrumented(Fake(failure)), "a/b")
    assert caught.value.__cause__ is failure
    assert caught.value.driver == "fake"


@pytest.mark.parametrize("failure", [ValueError("x"), NotImplementedError("x")])
async def test_mistakes_of_the_caller_pass(failure: Exception) -> None:
    for call in (KEYED | KEYLESS).values():
        with pytest.raises(type(failure)) as caught:
            await call(Instrumented(Fake(failure)), "a/b")
        assert caught.value is failure


@pytest.mark.parametrize("name", [*KEYED, *KEYLESS])
async def test_cancellation_passes(name: str) -> None:
    with pytest.raises(asyncio.CancelledError):
        await (KEYED | KEYLESS)[name](Instrumented(Fake(asyncio.CancelledError())), "a/b")


@pytest.mark.parametrize(
    "failure", [RuntimeError("torn"), ObjectNotFound("elsewhere"), KeyError("x"), OSError(5, "x")]
)
async def test_what_the_pieces_raise_passes(failure: Exception) -> None:
    with pytest.raises(type(failure)) as caught:
        await Instrumented(Fake()).append("state", 0, pieces(failure))
    assert caught.value is failure
    assert getattr(failure, "driver", "") == ""


async def test_an_error_of_the_driver_in_append_is_its_own() -> None:
    failure = OffsetMismatch("no")
    with pytest.raises(OffsetMismatch):
        await Instrumented(Fake(failure)).append("state", 0, pieces())
    assert failure.driver == "fake"


async def test_a_reader_that_cannot_be_opened() -> None:
    with pytest.raises(StorageUnavailable):
        await content(Instrumented(Fake(OSError(5, "I/O error"))), "fails/at/once")


async def test_what_the_body_raises_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Instrumented(Fake()).read("a"):
            raise ZeroDivisionError


async def test_wrong_arguments() -> None:
    storage = Instrumented(Fake())
    for call in (
        storage.put("a", bytes(MAX_PUT + 1), when=ABSENT),
        storage.append("state", -1, pieces()),
        storage.list("a"),
        storage.list("", delimiter="-"),
        storage.list("", limit=0),
        storage.list("", limit=1001),
        content(storage, "a", start=-1),
        content(storage, "a", stop=-1),
    ):
        with pytest.raises(ValueError, match=r"."):
            await call
    await storage.put("a", bytes(MAX_PUT))


async def test_timings() -> None:
    seen: list[tuple[str, float]] = []
    driver = Fake()
    storage = Instrumented(driver, lambda operation, seconds: seen.append((operation, seconds)))
    await storage.open()
    for call in (KEYED | KEYLESS).values():
        await call(storage, "a/b")
    driver.failure = ObjectNotFound()
    with pytest.raises(StorageError):
        await storage.stat("a")
    with pytest.raises(StorageError):
        await storage.get("a")
    await storage.close()
    assert [operation for operation, _ in seen] == [
        "open",
        *KEYED,
        *KEYLESS,
        "stat",
        "get",
        "close",
    ]
    assert all(0 <= seconds < 1 for _, seconds in seen)


async def test_it_looks_like_its_driver() -> None:
    driver = Fake()
    storage = Instrumented(driver)
    assert (storage.name, storage.capabilities) == ("fake", driver.capabilities)
    assert await storage.redirect_url("a") is None
    assert await storage.get("a", unless="etag") is None
    assert await storage.append("state", 4, pieces()) == ("state", 7)
