"""Uploads: from the first byte of a blob to its commit.

An upload is resumable by any process: what is known of it lies in the store. After each append
the digest so far is stored with its offset, so that an empty closing request is verified without
reading anything back. The hasher itself cannot be stored; it stays in the memory of the process
that has it, and an upload whose pieces went to several processes is read back once.

OCI distribution specification, "Pushing blobs".
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from pyreg.content import layout
from pyreg.content.adopt import adopt, forget_hash_states
from pyreg.content.digest import (
    ALGORITHMS,
    CANONICAL,
    Digest,
    Hasher,
    same,
    unsupported_algorithm,
)
from pyreg.content.hashing import Hashed, digest_of, in_pieces, piece_size
from pyreg.content.journal import Caller
from pyreg.content.media_types import OCTETS
from pyreg.content.memory import Memory
from pyreg.content.progress import (
    Interrupted,
    Progress,
    Upload,
    decode,
    encode,
    out_of_order,
    unknown,
)
from pyreg.content.publish import publish
from pyreg.content.store import Store
from pyreg.errors import (
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    SIZE_INVALID,
    ObjectNotFound,
    OffsetMismatch,
    PreconditionFailed,
    RegistryError,
    UploadNotFound,
)
from pyreg.hooks.events import Descriptor, Operation
from pyreg.hooks.storage import ABSENT, ANY, Condition, Match

_HASHERS = 4096  # uploads whose hashers a process remembers


class Uploads:
    """All uploads of a store, over all repositories.

    Attributes:
        store: Where they lie.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._hashers: Memory[str, Hasher] = Memory(_HASHERS)
        self._busy: set[str] = set()

    def piece_size(self) -> int:
        """How many bytes to hand over at a time, now."""
        return piece_size(len(self._busy))

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
            await self._save(upload, Progress(0, algorithm, None, ""), ABSENT, durable=False)
        return upload

    async def status(self, upload: Upload) -> Progress:
        """How far an upload has come.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN.
        """
        return (await self._look(upload))[0]

    async def _load(self, upload: Upload) -> tuple[Progress, Condition]:
        """As `_look`, and ready to go on: what the Docker registry left behind is taken over."""
        progress, condition = await self._look(upload)
        if progress.offset and not progress.state:
            return await self._adopt(upload, condition)
        return progress, condition

    async def _look(self, upload: Upload) -> tuple[Progress, Condition]:
        """How far an upload has come, and under which condition that may be replaced."""
        driver = self.store.driver
        try:
            found = await driver.get(layout.upload_state(upload.repository, upload.id))
        except ObjectNotFound:
            found = None
        condition: Condition = ABSENT
        if found is not None:
            condition = ANY if found.info.etag is None else Match(found.info.etag)
            if found.data:  # a first record that is not durable yet loses them with the power
                return decode(found.data), condition
        await self._check_begun(upload)
        try:
            size = (await driver.stat(upload.key)).size
        except ObjectNotFound:
            size = 0
        return Progress(size, CANONICAL, None, ""), condition

    async def _check_begun(self, upload: Upload) -> None:
        """Whether an upload was begun, and not cancelled since.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN.
        """
        if not await self.store.has_link(layout.upload_started(upload.repository, upload.id)):
            raise unknown(upload)

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
            pieces: The bytes, about `piece_size()` at a time.
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
                progress, _ = await self._load(upload)
                if start is not None and start != progress.offset:
                    raise out_of_order(progress)
            else:
                progress = await self._append(upload, pieces, start, size, whole, closing=digest)
            try:
                await self._commit(upload, progress, digest, caller)
            except RegistryError:
                await self._discard(upload, progress)
                raise
            except (UploadNotFound, ObjectNotFound):
                raise unknown(upload) from None
            except OffsetMismatch:
                raise out_of_order(progress) from None
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
        before, condition = await self._load(upload)
        if start is not None and start != before.offset:
            raise out_of_order(before)
        algorithm = before.algorithm if before.offset or closing is None else closing.algorithm
        hasher = self._hasher(upload, before, algorithm)
        hashed = Hashed(pieces, hasher)
        state = before.state
        # A commit that follows needs no record, save where an older one names bytes that the
        # commit takes away: whoever was killed in between could not go on from there.
        recorded = closing is None or before.offset > 0
        try:
            if not state:
                # Recorded before the first byte, so that whatever a killed process leaves of
                # the upload can be found and purged.
                state = await driver.begin_upload(upload.key)
                condition = await self._save(
                    upload, replace(before, state=state), condition, durable=False
                )
                # Whoever cancels it from now on finds the record; who just has, did not.
                try:
                    await self._check_begun(upload)
                except RegistryError:
                    await self._forget(upload)
                    raise
            state, offset = await driver.append(
                state, before.offset, aiter(hashed), durable=recorded
            )
            await hashed.settled()
            came = offset - before.offset
            interrupted = not whole()
            if not recorded and (interrupted or (size is not None and came < size)):
                # No commit follows after all; what is recorded must be on stable storage.
                state, offset = await driver.append(state, offset, in_pieces(b""))
        except OffsetMismatch:
            raise out_of_order(before) from None
        except UploadNotFound:
            raise unknown(upload) from None
        digest = before.digest
        if came:
            digest = hasher.digest() if hasher and hasher.size == offset else None
        after = Progress(offset, algorithm, digest, state)
        # More than was announced is forgotten: the next append begins at the old offset. Less
        # is what a client that went away had sent.
        exact = size is None or came == size
        if interrupted or (size is not None and came < size) or (exact and recorded):
            try:
                await self._save(upload, after, condition)
            except RegistryError as error:
                if error.code is BLOB_UPLOAD_UNKNOWN:
                    await driver.abort(state)  # cancelled before the driver had made it
                raise
            if hasher is not None and digest is not None:
                self._hashers.put(upload.id, hasher, 1)
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
        # By its digest: another process may have gone on, even to the same offset.
        if kept is None or kept.algorithm != algorithm or kept.digest() != progress.digest:
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
            async with driver.read(upload.key) as reader:
                found = await digest_of(aiter(reader), digest.algorithm)
            # Whoever is killed now leaves it to be gone on with by `publish`, without the bytes.
            await self._save(upload, replace(progress, digest=found, state=state), ANY)
        if not same(found, digest):
            raise RegistryError(
                DIGEST_INVALID,
                "the bytes that were uploaded have another digest",
                detail={"digest": digest, "computed": found, "size": progress.offset},
            )
        operation = Operation(
            "push", "blob", upload.repository, Descriptor(OCTETS, digest, progress.offset)
        )
        async with store.journal.writing(operation, caller) as intent:
            # One after the other: the link of an upload that fails here would show the blob.
            await publish(driver, upload, replace(progress, state=state), digest, published)
            await intent.recorded()
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

    async def _adopt(self, upload: Upload, condition: Condition) -> tuple[Progress, Condition]:
        """Take over an upload that the Docker registry began."""
        progress, hasher = await adopt(self.store.driver, upload)
        try:
            condition = await self._save(upload, progress, condition)
        except RegistryError:  # another request was faster, or it was cancelled
            await self.store.driver.abort(progress.state)
            raise
        self._hashers.put(upload.id, hasher, 1)
        await forget_hash_states(self.store.driver, upload)
        return progress, condition

    async def _discard(self, upload: Upload, progress: Progress) -> None:
        if progress.state:
            await self.store.driver.abort(progress.state)
        await self._forget(upload)

    async def _forget(self, upload: Upload) -> None:
        self._hashers.forget(upload.id)
        # The state last: whoever asks in between hears of a finished upload, not of an empty one.
        await self.store.driver.delete_many(
            [
                layout.upload_started(upload.repository, upload.id),
                upload.key,
                layout.upload_state(upload.repository, upload.id),
            ],
            durable=False,
        )

    async def _save(
        self, upload: Upload, progress: Progress, when: Condition, *, durable: bool = True
    ) -> Condition:
        """Record how far an upload has come; the condition under which to replace that."""
        key = layout.upload_state(upload.repository, upload.id)
        try:
            info = await self.store.driver.put(key, encode(progress), when=when, durable=durable)
        except PreconditionFailed:  # another process was faster
            raise out_of_order(await self.status(upload)) from None
        return ANY if info.etag is None else Match(info.etag)

    @asynccontextmanager
    async def _alone(self, upload: Upload) -> AsyncIterator[None]:
        """One request at a time and upload; the driver sees to those of other processes."""
        if upload.id in self._busy:
            raise out_of_order(await self.status(upload))
        self._busy.add(upload.id)
        try:
            yield
        finally:
            self._busy.discard(upload.id)
