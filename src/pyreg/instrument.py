"""What every storage driver gets for nothing: key checks, complete errors, timings.

`Instrumented` stands between the core and a driver, so that the driver can stay dumb. It costs
about a microsecond a call.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from time import perf_counter
from types import TracebackType

from pyreg.errors import StorageError, StorageUnavailable
from pyreg.hooks.storage import (
    ANY,
    Condition,
    FileSpan,
    ObjectInfo,
    Page,
    Reader,
    StorageDriver,
    StoredObject,
)

OnCall = Callable[[str, float], None]
"""Told of each call: the operation's name, and how many seconds it took."""

MAX_KEY = 1024
MAX_PUT = 8 * 1024 * 1024
MAX_PAGE = 1000

_KEY = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_DOTS = frozenset({".", ".."})


def check_key(key: str) -> None:
    """Refuse what is no key by the contract.

    Raises:
        ValueError: the caller made a key that no driver has to take; a mistake in the core, as
            names that clients send are checked long before.
    """
    if len(key) > MAX_KEY or _KEY.fullmatch(key) is None:
        raise ValueError(f"not a storage key: {key[:MAX_KEY]!r}")
    if "." in key and not _DOTS.isdisjoint(key.split("/")):
        raise ValueError(f"not a storage key: {key!r}")


class Instrumented(StorageDriver):
    """A driver that checks its keys and completes its errors.

    Errors of the driver are told the driver's name and the key. An exception that the contract
    does not allow becomes `StorageUnavailable`, chained from it; `ValueError` and
    `NotImplementedError` pass, as they show a mistake of the caller.

    Args:
        driver: The driver that does the work.
        on_call: Told of each call.
    """

    def __init__(self, driver: StorageDriver, on_call: OnCall | None = None) -> None:
        self.driver = driver
        self.name = driver.name
        self.capabilities = driver.capabilities
        self._on_call = on_call

    async def open(self) -> None:
        """Open the driver."""
        with self._call("open", ""):
            await self.driver.open()

    async def close(self) -> None:
        """Close the driver."""
        with self._call("close", ""):
            await self.driver.close()

    # `stat` and `get` are called for each request, so what `_call` does is written out in them.

    async def stat(self, key: str) -> ObjectInfo:
        """See `StorageDriver.stat`."""
        check_key(key)
        started = perf_counter()
        try:
            return await self.driver.stat(key)
        except Exception as error:
            self._complete(error, key)
            raise
        finally:
            if self._on_call is not None:
                self._on_call("stat", perf_counter() - started)

    async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
        """See `StorageDriver.get`."""
        check_key(key)
        started = perf_counter()
        try:
            return await self.driver.get(key, unless=unless)
        except Exception as error:
            self._complete(error, key)
            raise
        finally:
            if self._on_call is not None:
                self._on_call("get", perf_counter() - started)

    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractAsyncContextManager[Reader]:
        """See `StorageDriver.read`. The time is that until the first byte may be asked for."""
        check_key(key)
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError(f"not a range of bytes: {start} to {stop}")
        return _Reading(self, self.driver.read(key, start=start, stop=stop), key)

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        """See `StorageDriver.put`."""
        check_key(key)
        if len(data) > MAX_PUT:
            raise ValueError(f"{len(data)} bytes are too many for `put`; upload them")
        with self._call("put", key):
            return await self.driver.put(key, data, when=when, durable=durable)

    async def begin_upload(self, key: str) -> str:
        """See `StorageDriver.begin_upload`."""
        check_key(key)
        with self._call("begin_upload", key):
            return await self.driver.begin_upload(key)

    async def append(
        self, state: str, offset: int, pieces: AsyncIterator[bytes], *, durable: bool = True
    ) -> tuple[str, int]:
        """See `StorageDriver.append`. The time includes waiting for the pieces."""
        if offset < 0:
            raise ValueError(f"not an offset: {offset}")
        watched = _Pieces(pieces)
        with self._call("append", "", watched):
            return await self.driver.append(state, offset, watched, durable=durable)

    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        """See `StorageDriver.finish`."""
        if key is not None:
            check_key(key)
        with self._call("finish", key or ""):
            return await self.driver.finish(state, key=key)

    async def abort(self, state: str) -> None:
        """See `StorageDriver.abort`."""
        with self._call("abort", ""):
            await self.driver.abort(state)

    async def delete(self, key: str, *, durable: bool = True) -> None:
        """See `StorageDriver.delete`."""
        check_key(key)
        with self._call("delete", key):
            await self.driver.delete(key, durable=durable)

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """See `StorageDriver.delete_many`."""
        for key in keys:
            check_key(key)
        with self._call("delete_many", keys[0] if keys else ""):
            await self.driver.delete_many(keys, durable=durable)

    async def list(
        self, prefix: str, *, delimiter: str | None = None, after: str = "", limit: int = 1000
    ) -> Page:
        """See `StorageDriver.list`."""
        if prefix:
            check_key(prefix.removesuffix("/"))
            if not prefix.endswith("/"):
                raise ValueError(f"a prefix ends with a slash: {prefix!r}")
        if delimiter not in (None, "/") or not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"not a listing: delimiter {delimiter!r}, limit {limit}")
        with self._call("list", prefix):
            return await self.driver.list(prefix, delimiter=delimiter, after=after, limit=limit)

    async def rename(self, src: str, dst: str) -> None:
        """See `StorageDriver.rename`."""
        check_key(src)
        check_key(dst)
        with self._call("rename", src):
            await self.driver.rename(src, dst)

    async def copy(self, src: str, dst: str) -> None:
        """See `StorageDriver.copy`."""
        check_key(src)
        check_key(dst)
        with self._call("copy", src):
            await self.driver.copy(src, dst)

    async def redirect_url(
        self, key: str, *, method: str = "GET", expires: float = 1200.0
    ) -> str | None:
        """See `StorageDriver.redirect_url`."""
        check_key(key)
        with self._call("redirect_url", key):
            return await self.driver.redirect_url(key, method=method, expires=expires)

    def _complete(self, error: Exception, key: str) -> None:
        """Complete an error of the driver; raise another one where the contract knows none."""
        if isinstance(error, StorageError):
            error.driver = error.driver or self.name
            error.key = error.key or key
        elif not isinstance(error, ValueError | NotImplementedError):
            raise StorageUnavailable(
                f"{type(error).__name__}: {error}", driver=self.name, key=key
            ) from error

    @contextmanager
    def _call(self, operation: str, key: str, pieces: _Pieces | None = None) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        except Exception as error:
            if pieces is None or error is not pieces.raised:
                self._complete(error, key)
            raise
        finally:
            if self._on_call is not None:
                self._on_call(operation, perf_counter() - started)


class _Pieces:
    """The pieces of an upload; remembers what they raised, which is none of the driver's."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.raised: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.raised = error
            raise


class _Reading:
    """A driver's reader, with complete errors. Errors of the body of `async with` pass."""

    def __init__(
        self,
        storage: Instrumented,
        opening: AbstractAsyncContextManager[Reader],
        key: str,
    ) -> None:
        self._storage = storage
        self._opening = opening
        self._key = key

    async def __aenter__(self) -> Reader:
        with self._storage._call("read", self._key):
            self._reader = await self._opening.__aenter__()
        self.info = self._reader.info
        self.file: FileSpan | None = getattr(self._reader, "file", None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._opening.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._pieces = aiter(self._reader)
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self._storage._complete(error, self._key)
            raise
