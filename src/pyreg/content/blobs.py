"""Blobs of one repository."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pyreg.content import layout
from pyreg.content.digest import CANONICAL, Digest
from pyreg.content.hashing import in_pieces
from pyreg.content.journal import Caller
from pyreg.content.listing import entries
from pyreg.content.media_types import OCTETS
from pyreg.content.store import SMALL_BLOB, Store
from pyreg.content.uploads import Uploads
from pyreg.errors import BLOB_UNKNOWN, ObjectNotFound, RegistryError
from pyreg.hooks.events import Descriptor, Operation
from pyreg.hooks.storage import Reader


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that a repository has.

    Attributes:
        digest: As it was asked for.
        size: Bytes.
        stored: Under which digest the bytes lie; another one only for what the Docker registry
            stored (it keeps sha512 blobs under their sha256 digest).
    """

    digest: Digest
    size: int
    stored: Digest


class Blobs:
    """The blobs of one repository; see `Repository.blobs`."""

    __slots__ = ("_caller", "_name", "_store", "_uploads")

    def __init__(self, store: Store, uploads: Uploads, name: str, caller: Caller) -> None:
        self._store = store
        self._uploads = uploads
        self._name = name
        self._caller = caller

    async def stat(self, digest: str) -> Blob:
        """What is known of a blob.

        Raises:
            RegistryError: DIGEST_INVALID, BLOB_UNKNOWN.
        """
        wanted = Digest.parse(digest)
        stored = await self._store.link(layout.layer_link(self._name, wanted))
        if stored is not None:
            info = await self._store.blob_info(stored)
            if info is not None:
                return Blob(wanted, info.size, stored)
        raise unknown(wanted)

    @asynccontextmanager
    async def open(
        self, digest: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[Reader]:
        """The bytes of a blob, in pieces: `async with blobs.open(d) as pieces`.

        Args:
            digest: Which.
            start: The first byte.
            stop: The byte behind the last; None for the end.

        Raises:
            RegistryError: DIGEST_INVALID, BLOB_UNKNOWN.
        """
        blob = await self.stat(digest)
        async with self.read(blob, start, stop) as pieces:
            yield pieces

    @asynccontextmanager
    async def read(
        self, blob: Blob, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[Reader]:
        """As `open`, for a blob that `stat` has found."""
        try:
            async with self._store.driver.read(
                layout.blob_data(blob.stored), start=start, stop=stop
            ) as reader:
                self.pulled(blob)
                yield reader
        except ObjectNotFound:
            raise unknown(blob.digest) from None

    async def small(self, blob: Blob) -> bytes | None:
        """The whole blob if it is small enough to be remembered, else None.

        Raises:
            RegistryError: BLOB_UNKNOWN.
        """
        if blob.size > SMALL_BLOB:
            return None
        data = await self._store.content(blob.stored)
        if data is None:
            raise unknown(blob.digest)
        self.pulled(blob)
        return data

    async def get(self, digest: str) -> bytes:
        """The whole blob, in memory."""
        async with self.open(digest) as pieces:
            return b"".join([piece async for piece in pieces])

    async def put(self, data: bytes | AsyncIterator[bytes], *, digest: str | None = None) -> Digest:
        """Store a blob, durably.

        Args:
            data: Its bytes, or pieces of them.
            digest: What they must be; None lets the registry name them by sha256.

        Raises:
            RegistryError: DIGEST_INVALID if the bytes are others, UNSUPPORTED while read-only,
                or whatever a guard refuses with.
        """
        expected = None if digest is None else Digest.parse(digest)
        pieces = in_pieces(data) if isinstance(data, bytes) else data
        upload = await self._uploads.begin(
            self._name, expected.algorithm if expected else CANONICAL
        )
        try:
            if expected is None:
                # All bytes went through this process, so that only none have no digest.
                expected = (await self._uploads.append(upload, pieces)).digest or Digest.of(b"")
                return await self._uploads.finish(upload, expected, self._caller)
            return await self._uploads.finish(upload, expected, self._caller, pieces=pieces)
        except BaseException:
            await self._uploads.cancel(upload, missing_ok=True)
            raise

    async def mount(self, digest: str, *, source: str | None = None) -> Blob | None:
        """Take a blob over from another repository, without its bytes being sent again.

        Args:
            digest: Which.
            source: Where it is; None for anywhere in the store. Whether the caller may read it
                there is for the one who calls this to know.

        Returns:
            None if it is not there, so that it must be uploaded.

        Raises:
            RegistryError: DIGEST_INVALID, UNSUPPORTED while read-only, or whatever a guard
                refuses with.
        """
        self._store.rules.require_writable()
        wanted = Digest.parse(digest)
        stored: Digest | None = wanted
        if source is not None:
            stored = await self._store.link(layout.layer_link(source, wanted))
        info = await self._store.blob_info(stored) if stored else None
        if stored is None or info is None:
            return None
        operation = Operation(
            "mount",
            "blob",
            self._name,
            Descriptor(OCTETS, wanted, info.size),
            from_repository=source or "",
        )
        async with self._store.journal.writing(operation, self._caller) as intent:
            await intent.recorded()
            await self._store.put_link(layout.layer_link(self._name, wanted), stored)
        return Blob(wanted, info.size, stored)

    async def delete(self, digest: str) -> None:
        """Take a blob out of the repository; its bytes stay until they are collected.

        Raises:
            RegistryError: DIGEST_INVALID, BLOB_UNKNOWN, UNSUPPORTED where deletes are disabled,
                or whatever a guard refuses with.
        """
        self._store.rules.require_deletable()
        blob = await self.stat(digest)
        operation = Operation(
            "delete", "blob", self._name, Descriptor(OCTETS, blob.digest, blob.size)
        )
        async with self._store.journal.writing(operation, self._caller) as intent:
            await intent.recorded()
            await self._store.driver.delete(layout.layer_link(self._name, blob.digest))

    async def list(self) -> AsyncIterator[Digest]:
        """Every blob of the repository, by algorithm and digits."""
        prefix = layout.layers(self._name)
        async for entry in entries(self._store.driver, prefix):
            digest = layout.parse_link(prefix, entry.key)
            if digest is not None:
                yield digest

    def pulled(self, blob: Blob) -> None:
        """Tell the journal that a client reads the blob."""
        if self._store.journal.wants_pulls:
            self._store.journal.pulled(
                Operation("pull", "blob", self._name, Descriptor(OCTETS, blob.digest, blob.size)),
                self._caller,
            )


def unknown(digest: Digest) -> RegistryError:
    """The error for a blob that the repository does not have."""
    return RegistryError(BLOB_UNKNOWN, detail={"digest": digest})
