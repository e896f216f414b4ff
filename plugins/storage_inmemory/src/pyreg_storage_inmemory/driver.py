"""The storage driver `inmemory`."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from pyreg.errors import (
    ObjectNotFound,
    OffsetMismatch,
    PreconditionFailed,
    StorageUnavailable,
    UploadNotFound,
)
from pyreg.hooks import (
    ABSENT,
    ANY,
    Capabilities,
    Condition,
    Match,
    ObjectInfo,
    Page,
    StorageDriver,
    StoredObject,
)
from pyreg_storage_inmemory.store import Chunks, InMemoryStore, Object, Upload, Version

NAME = "inmemory"

PIECE = 512 * 1024
"""Bytes in a piece that is read, and the least that is kept together of one that is written."""
WHOLE = 8 * 1024 * 1024
"""Bytes that `get` answers at the most."""


class InMemoryStorage(StorageDriver):
    """Objects in memory.

    Args:
        store: Where; a new one when left out. Two drivers on one store see the same objects.
    """

    name = NAME
    capabilities = Capabilities(rename=True, local=True)

    def __init__(self, store: InMemoryStore | None = None) -> None:
        self._store = InMemoryStore() if store is None else store

    async def stat(self, key: str) -> ObjectInfo:
        """A look into a dictionary."""
        return self._find(key).info

    async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
        """The chunks, joined."""
        found = self._find(key)
        if found.info.etag == unless:
            return None
        if found.info.size > WHOLE:
            raise StorageUnavailable(
                f"{found.info.size} bytes are too many to be read whole", driver=NAME, key=key
            )
        return StoredObject(found.info, b"".join(found.chunks))

    @asynccontextmanager
    async def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[_Reader]:
        """A view of the object as it is now; objects are replaced, never changed."""
        yield _Reader(self._find(key), start, stop)

    def _find(self, key: str) -> Object:
        found = self._store.objects.get(key)
        if found is None:
            raise ObjectNotFound("there is no such object", driver=NAME, key=key)
        return found

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        """Nothing here outlives the process, so `durable` means nothing."""
        found = self._store.objects.get(key)
        if when == ABSENT and found is not None:
            raise PreconditionFailed("the object exists already", driver=NAME, key=key)
        if isinstance(when, Match) and (found is None or found.info.etag != when.etag):
            raise PreconditionFailed("the object has changed", driver=NAME, key=key)
        return self._store.set(key, (bytes(data),))

    async def delete(self, key: str, *, durable: bool = True) -> None:
        """Forget an object."""
        self._store.remove(key)

    async def list(
        self, prefix: str, *, delimiter: str | None = None, after: str = "", limit: int = 1000
    ) -> Page:
        """A page from the sorted index; costs the page and two binary searches."""
        return self._store.page(prefix, delimiter is not None, after, limit)

    async def rename(self, src: str, dst: str) -> None:
        """Move an object in the index."""
        self._find(src)
        self._store.move(src, dst)

    async def copy(self, src: str, dst: str) -> None:
        """Both objects share the bytes."""
        self._store.set(dst, self._find(src).chunks)

    # -- uploads: a state is the upload's id, its key, the version's number and its size -----

    async def begin_upload(self, key: str) -> str:
        """An upload in the shared store."""
        name = secrets.token_hex(8)
        self._store.uploads[name] = Upload()
        return json.dumps([name, key, 0, 0])

    async def append(
        self, state: str, offset: int, pieces: AsyncIterator[bytes], *, durable: bool = True
    ) -> tuple[str, int]:
        """A new version of the upload; a torn one leaves none."""
        name, key, number, _ = _parse(state)
        upload = self._upload(name, key)
        if upload.busy:
            raise OffsetMismatch(
                "another request is appending to this upload", driver=NAME, key=key
            )
        base = upload.versions[number]
        if base.size < offset:
            raise OffsetMismatch(
                f"the upload holds {base.size} bytes, not {offset}",
                offset=base.size,
                driver=NAME,
                key=key,
            )
        upload.busy = True
        try:
            chunks = await _gather(pieces)
        finally:
            upload.busy = False
        if self._store.uploads.get(name) is not upload:
            raise UploadNotFound("the upload was aborted", driver=NAME, key=key)
        size = offset + sum(map(len, chunks))
        upload.versions.append(Version(base, offset, chunks, size))
        return json.dumps([name, key, len(upload.versions) - 1, size]), size

    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        """Publish one version of the upload, and forget the others."""
        name, own, number, size = _parse(state)
        target = key or own
        if name not in self._store.uploads:
            # Finished before, if there is an object of this size: true of what is stored under
            # its own digest.
            found = self._store.objects.get(target)
            if found is not None and found.info.size == size:
                return found.info
        upload = self._upload(name, own)
        if upload.busy:
            raise OffsetMismatch("a request is appending to this upload", driver=NAME, key=own)
        del self._store.uploads[name]
        return self._store.set(target, upload.versions[number].content())

    async def abort(self, state: str) -> None:
        """Forget an upload."""
        try:
            name = _parse(state)[0]
        except UploadNotFound:
            return
        self._store.uploads.pop(name, None)

    def _upload(self, name: str, key: str) -> Upload:
        found = self._store.uploads.get(name)
        if found is None:
            raise UploadNotFound("there is no such upload", driver=NAME, key=key)
        return found


def _parse(state: str) -> tuple[str, str, int, int]:
    try:
        name, key, number, size = json.loads(state)
    except (ValueError, TypeError):
        name = key = number = size = None
    if not (isinstance(name, str) and isinstance(key, str)):
        raise UploadNotFound("this is not the state of an upload", driver=NAME)
    return name, key, int(number), int(size)


async def _gather(pieces: AsyncIterator[bytes]) -> Chunks:
    """The pieces, small ones put together."""
    chunks: list[bytes] = []
    rest = bytearray()
    async for piece in pieces:
        if rest or len(piece) < PIECE:
            rest += piece
            if len(rest) >= PIECE:
                chunks.append(bytes(rest))
                rest.clear()
        else:
            chunks.append(bytes(piece))
    if rest:
        chunks.append(bytes(rest))
    return tuple(chunks)


class _Reader:
    """Cuts the chunks of an object into pieces."""

    def __init__(self, found: Object, start: int, stop: int | None) -> None:
        self.info = found.info
        self._chunks = found.chunks
        self._start = start
        self._stop = self.info.size if stop is None else min(stop, self.info.size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece = bytearray()
        for part in self._parts():
            if not piece and len(part) == PIECE:
                yield part
            else:
                piece += part
                while len(piece) >= PIECE:
                    yield bytes(piece[:PIECE])
                    del piece[:PIECE]
            await asyncio.sleep(0)  # a large object must not keep everybody else waiting
        if piece:
            yield bytes(piece)

    def _parts(self) -> Iterator[bytes]:
        """The bytes from start to stop, no part longer than a piece."""
        begin = 0
        for chunk in self._chunks:
            first = max(self._start - begin, 0)
            last = min(self._stop - begin, len(chunk))
            for position in range(first, last, PIECE):
                yield chunk[position : min(position + PIECE, last)]
            begin += len(chunk)
            if begin >= self._stop:
                return
