"""Uploads: from the first byte of a blob to its commit.

An upload is resumable by any process: what is known of it lies in the store. After each append
the digest so far is stored with its offset, so that an empty closing request is verified without
reading anything back. The hasher itself cannot be stored; it stays in the memory of the process
that has it, and an upload whose pieces went to several processes is read back once.

OCI distribution specification, "Pushing blobs".
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pyreg.content import layout
from pyreg.content.digest import (
    ALGORITHMS,
    CANONICAL,
    Digest,
    Hasher,
    same,
    unsupported_algorithm,
)
from pyreg.content.journal import Caller
from pyreg.content.memory import Memory
from pyreg.content.store import Store
from pyreg.errors import (
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    RANGE_INVALID,
    SIZE_INVALID,
    ObjectNotFound,
    OffsetMismatch,
    RegistryError,
    UploadNotFound,
)
from pyreg.hooks.events import Descriptor, Operation

PIECE = 512 * 1024
"""Bytes that are hashed and written at once: large enough that the work is in C, small enough
that 64 uploads at a time fit into memory."""

OCTETS = "application/octet-stream"

_INLINE = 32 * 1024  # bytes that are hashed sooner than a thread is woken
_HASHERS = 4096  # uploads whose hashers a process remembers


class Interrupted(Exception):
    """The client went away in the middle; what it had sent is kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload has come.

    Attributes:
        offset: Bytes received and kept.
        algorithm: The digest algorithm that was announced.
        digest: Of everything so far, where it is known.
        state: The driver's state; "" before the first byte.
    """

    offset: int
    algorithm: str
    digest: Digest | None
    state: str


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload of one repository."""

    repository: str
    id: str

    @property
    def key(self) -> str:
        """Where its bytes lie until they are a blob."""
        return layout.upload_data(self.repository, self.id)


class Uploads:
    """All uploads of a store, over all repositories.

    Attributes:
        store: Where they lie.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._hashers: Memory[str, Hasher] = Memory(_HASHERS)
        self._busy: set[str] = set()

    async def begin(self, repository: str, algorithm: str = CANONICAL) -> Upload:
        """Begin an upload.

        Args:
            repository: Where the blob will be.
            algorithm: Of the digest that it will be known by.

        Raises:
            RegistryError: DIGEST_INVALID for an unknown algorithm, UNSUPPORTED while read-only.
        """
        self.store.rules.require_writable()
        if algorithm not in ALGORITHMS:
            raise unsupported_algorithm(algorithm)
        upload = Upload(repository, str(uuid.uuid4()))
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        # Losing power loses uploads that nobody sent a byte for; that is no loss.
        await self.store.driver.put(
            layout.upload_started(repository, upload.id), started, durable=False
        )
        if algorithm != CANONICAL:
            await self._save(upload, Progress(0, algorithm, None, ""), durable=False)
        return upload

    async def status(self, upload: Upload) -> Progress:
        """How far an upload has come.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN.
        """
        driver = self.store.driver
        try:
            found = await driver.get(layout.upload_state(upload.repository, upload.id))
        except ObjectNotFound:
            found = None
        if found is not None:
            return _decode(found.data)
        try:
            await driver.get(layout.upload_started(upload.repository, upload.id))
        except ObjectNotFound:
            raise unknown(upload) from None
        return await self._adopt(upload)

    async def append(
        self,
        upload: Upload,
        pieces: AsyncIterator[bytes],
        *,
        start: int | None = None,
        size: int | None = None,
        whole: Callable[[], bool] = lambda: True,
    ) -> Progress:
        """Add bytes to an upload. What has arrived when `pieces` ends is kept.

        Args:
            upload: Which.
            pieces: The bytes, about `PIECE` at a time.
            start: Where the client believes to be; None means wherever the upload is.
            size: How many bytes the client announced; None if it did not.
            whole: Asked when `pieces` has ended: False if the client went away before the end.

        Raises:
            Interrupted: the client went away; what it had sent is kept.
            RegistryError: BLOB_UPLOAD_UNKNOWN; RANGE_INVALID for bytes out of order, or while
                another request sends some; SIZE_INVALID if another number of bytes came than was
                announced; UNSUPPORTED while read-only.
        """
        self.store.rules.require_writable()
        async with self._alone(upload):
            return await self._append(upload, pieces, start, size, whole)

    async def finish(
        self,
        upload: Upload,
        digest: Digest,
        caller: Caller,
        *,
        pieces: AsyncIterator[bytes] | None = None,
        start: int | None = None,
        size: int | None = None,
        whole: Callable[[], bool] = lambda: True,
    ) -> Digest:
        """Verify an upload and make it a blob of the repository, durably.

        Args:
            upload: Which.
            digest: Of all its bytes.
            caller: On whose behalf.
            pieces: The last bytes, as for `append`; None if all have been sent.
            start: As for `append`.
            size: As for `append`.
            whole: As for `append`.

        Raises:
            Interrupted: as `append`.
            RegistryError: as `append`; DIGEST_INVALID if the bytes are others, or whatever a
                guard refuses with. The upload is then thrown away.
        """
        self.store.rules.require_writable()
        async with self._alone(upload):
            if pieces is None:
                progress = await self.status(upload)
                if start is not None and start != progress.offset:
                    raise _out_of_order(progress)
            else:
                progress = await self._append(upload, pieces, start, size, whole, closing=digest)
            try:
                await self._commit(upload, progress, digest, caller)
            except RegistryError:
                await self._discard(upload, progress)
                raise
            except (UploadNotFound, ObjectNotFound):
                raise unknown(upload) from None
            await self._forget(upload)
        return digest

    async def _append(
        self,
        upload: Upload,
        pieces: AsyncIterator[bytes],
        start: int | None,
        size: int | None,
        whole: Callable[[], bool],
        *,
        closing: Digest | None = None,
    ) -> Progress:
        driver = self.store.driver
        before = await self.status(upload)
        if start is not None and start != before.offset:
            raise _out_of_order(before)
        algorithm = before.algorithm if before.offset or closing is None else closing.algorithm
        hasher = self._hasher(upload, before, algorithm)
        hashed = _Hashed(pieces, hasher)
        try:
            state = before.state or await driver.begin_upload(upload.key)
            state, offset = await driver.append(state, before.offset, aiter(hashed))
        except OffsetMismatch:
            raise _out_of_order(before) from None
        except UploadNotFound:
            raise unknown(upload) from None
        await hashed.settled()
        digest = None
        if hasher is not None and hasher.size == offset:
            self._hashers.put(upload.id, hasher, 1)
            digest = hasher.digest()
        after = Progress(offset, algorithm, digest, state)
        came = offset - before.offset
        if came == 0:
            after = replace(before, state=state)
        # More than was announced is forgotten: the next append begins at the old offset. Less
        # is what a client that went away had sent. A commit that follows needs no record.
        interrupted = not whole()
        exact = size is None or came == size
        if interrupted or (size is not None and came < size) or (exact and closing is None):
            await self._save(upload, after)
        if interrupted:
            raise Interrupted
        if not exact:
            raise RegistryError(
                SIZE_INVALID,
                f"{size} bytes were announced, {came} came",
                detail={"announced": size, "received": came},
            )
        return after

    def _hasher(self, upload: Upload, progress: Progress, algorithm: str) -> Hasher | None:
        """A hasher that stands at the upload's offset, if this process has one."""
        if progress.offset == 0:
            return Hasher(algorithm)
        kept = self._hashers.get(upload.id)
        if kept is None or kept.size != progress.offset or kept.algorithm != algorithm:
            return None
        return kept.copy()

    async def _commit(
        self, upload: Upload, progress: Progress, digest: Digest, caller: Caller
    ) -> None:
        store, driver = self.store, self.store.driver
        state = progress.state or await driver.begin_upload(upload.key)
        published = False
        if progress.offset == 0:
            found = Digest.of(b"", digest.algorithm)
        elif progress.digest and progress.digest.algorithm == digest.algorithm:
            found = progress.digest
        else:
            await driver.finish(state)
            published = True
            found = await self._read_back(upload, digest.algorithm)
        if not same(found, digest):
            raise RegistryError(
                DIGEST_INVALID,
                "the bytes that were uploaded have another digest",
                detail={"digest": digest, "computed": found, "size": progress.offset},
            )
        operation = Operation(
            "push", "blob", upload.repository, Descriptor(OCTETS, digest, progress.offset)
        )
        async with store.journal.writing(operation, caller):
            target = layout.blob_data(digest)
            if not driver.capabilities.rename:
                if not published:
                    await driver.finish(state)
                await driver.copy(upload.key, target)
            elif published:
                await driver.rename(upload.key, target)
            else:
                await driver.finish(state, key=target)
            await store.put_link(layout.layer_link(upload.repository, digest), digest)

    async def cancel(self, upload: Upload, *, missing_ok: bool = False) -> None:
        """Throw an upload away.

        Args:
            upload: Which.
            missing_ok: Whether it may be gone already.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN.
        """
        try:
            progress = await self.status(upload)
        except RegistryError:
            if missing_ok:
                return
            raise
        await self._discard(upload, progress)

    async def purge(self, upload: Upload) -> None:
        """Throw an upload away with everything that any registry left of it."""
        await self.cancel(upload, missing_ok=True)
        directory = layout.upload_directory(upload.repository, upload.id)
        after: str | None = ""
        while after is not None:
            page = await self.store.driver.list(directory, after=after)
            await self.store.driver.delete_many([entry.key for entry in page.entries])
            after = page.after

    async def _adopt(self, upload: Upload) -> Progress:
        """An upload without a state: a new one, or one that the Docker registry left behind."""
        driver = self.store.driver
        try:
            await driver.stat(upload.key)
        except ObjectNotFound:
            return Progress(0, CANONICAL, None, "")
        hasher = Hasher(CANONICAL)
        async with driver.read(upload.key) as reader:
            # Its bytes are an object of their own, which cannot be gone on with: take them over.
            state = await driver.begin_upload(upload.key)
            hashed = _Hashed(aiter(reader), hasher)
            state, offset = await driver.append(state, 0, aiter(hashed))
            await hashed.settled()
        progress = Progress(offset, CANONICAL, hasher.digest(), state)
        await self._save(upload, progress)
        self._hashers.put(upload.id, hasher, 1)
        return progress

    async def _read_back(self, upload: Upload, algorithm: str) -> Digest:
        hasher = Hasher(algorithm)
        async with self.store.driver.read(upload.key) as reader:
            async for piece in reader:
                await asyncio.to_thread(hasher.update, piece)
        return hasher.digest()

    async def _discard(self, upload: Upload, progress: Progress) -> None:
        if progress.state:
            await self.store.driver.abort(progress.state)
        await self._forget(upload)

    async def _forget(self, upload: Upload) -> None:
        self._hashers.forget(upload.id)
        await self.store.driver.delete_many(
            [
                layout.upload_state(upload.repository, upload.id),
                upload.key,
                layout.upload_started(upload.repository, upload.id),
            ]
        )

    async def _save(self, upload: Upload, progress: Progress, *, durable: bool = True) -> None:
        document = json.dumps(asdict(progress), separators=(",", ":")).encode()
        await self.store.driver.put(
            layout.upload_state(upload.repository, upload.id), document, durable=durable
        )

    @asynccontextmanager
    async def _alone(self, upload: Upload) -> AsyncIterator[None]:
        """One request at a time and upload; the driver sees to those of other processes."""
        if upload.id in self._busy:
            raise _out_of_order(await self.status(upload))
        self._busy.add(upload.id)
        try:
            yield
        finally:
            self._busy.discard(upload.id)


class _Hashed:
    """Pieces on their way to the driver; each is hashed in a thread while it is written."""

    def __init__(self, pieces: AsyncIterator[bytes], hasher: Hasher | None) -> None:
        self._pieces = pieces
        self._hasher = hasher
        self._hashing: asyncio.Future[None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        hasher = self._hasher
        loop = asyncio.get_running_loop()
        async for piece in self._pieces:
            if hasher is not None:
                await self.settled()
                if len(piece) <= _INLINE:
                    hasher.update(piece)
                else:
                    self._hashing = loop.run_in_executor(None, hasher.update, piece)
            yield piece

    async def settled(self) -> None:
        """Wait until every piece has been hashed."""
        if self._hashing is not None:
            hashing, self._hashing = self._hashing, None
            await hashing


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """Bytes in memory as an iterator of pieces."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def unknown(upload: Upload) -> RegistryError:
    """The error for an upload that is not there (any more)."""
    return RegistryError(BLOB_UPLOAD_UNKNOWN, detail={"upload": upload.id})


def _out_of_order(progress: Progress) -> RegistryError:
    return RegistryError(
        RANGE_INVALID,
        "bytes out of order, or sent by two requests at once; go on at the reported offset",
        detail={"offset": progress.offset},
    )


def _decode(data: bytes) -> Progress:
    document = json.loads(data)
    digest = document["digest"]
    return Progress(
        offset=document["offset"],
        algorithm=document["algorithm"],
        digest=None if digest is None else Digest.parse(digest),
        state=document["state"],
    )
