"""The contract of a storage driver.

A driver keeps objects: bytes under a key. It knows nothing of repositories, digests or HTTP;
`pyreg.content` is clever so that a driver can stay dumb. Everything a driver must promise is
written here and checked by `pyreg.testing.StorageContract`.

**Keys** are relative paths, `docker/registry/v2/blobs/sha256/ab/ab12/data`: segments of
`[A-Za-z0-9._-]`, none of them `.` or `..`, joined by `/`, at most 1,024 bytes. The core checks
keys before a driver sees them, so a driver may use any other character for files of its own.

**Errors** are those of `pyreg.errors`: `ObjectNotFound`, `PreconditionFailed`,
`OffsetMismatch`, `UploadNotFound`, `StorageUnavailable`, `StorageFull`, `StorageDenied`.
Nothing else leaves a driver, save `asyncio.CancelledError`. Driver name and key are filled in
by the core when a driver leaves them out.

**Cancellation** may strike any call. A cancelled `put`, `finish`, `rename` or `delete` has
happened or has not happened; there is nothing between.

**Several driver objects** may work on one store at the same time, in one process, in many, and
on many machines. All promises hold between them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do beyond the required. Each flag is honest: the contract suite checks it.

    Attributes:
        rename: `rename` exists, is atomic and costs the same for one byte and for 10 GiB, and
            `finish` can publish under another key than the upload began with.
        redirect: `redirect_url` can answer with an address that a client may use directly.
        min_part: The fewest bytes that one `append` takes, save the last of an upload. A client
            hears of it as `OCI-Chunk-Min-Length`. 0 means any.
        local: Reading a small object costs microseconds, so that the core need not remember it.
    """

    rename: bool = False
    redirect: bool = False
    min_part: int = 0
    local: bool = False


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object without reading it.

    Attributes:
        size: Bytes.
        etag: Changes whenever the content under the key changes; equal means unchanged.
            Opaque. None where the service has none.
        modified: When it was written, in seconds since the epoch.
    """

    size: int
    etag: str | None
    modified: float


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A small object, whole."""

    info: ObjectInfo
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: an object, or with a delimiter a common prefix.

    Attributes:
        key: The object's key, or the prefix including its final delimiter.
        info: None for a common prefix. A driver may leave `etag` None in listings.
    """

    key: str
    info: ObjectInfo | None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a listing.

    Attributes:
        entries: In the order of the bytes of their keys.
        after: Pass it as `after` for the next page; None when this is the last one.
    """

    entries: Sequence[Entry]
    after: str | None


@dataclass(frozen=True, slots=True)
class Match:
    """`put` only if the object exists and has this etag."""

    etag: str


ANY: Final = "any"
"""`put` whatever is there."""

ABSENT: Final = "absent"
"""`put` only if there is no object with this key."""

Condition = Literal["any", "absent"] | Match


class Reader(Protocol):
    """An object that is open for reading; iterate over it once.

    Attributes:
        info: Of the whole object, known before the first byte.
    """

    @property
    def info(self) -> ObjectInfo:
        """Of the whole object."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces of 64 KiB to 1 MiB, the last one shorter; none is empty."""
        ...


@dataclass(frozen=True, slots=True)
class FileSpan:
    """Where the bytes of a `Reader` lie in a file of this machine.

    A driver's reader may have an attribute `file` with one of these; the kernel can then send
    the bytes, and they need not pass through Python at all.

    Attributes:
        descriptor: Of the file; open as long as the reader is.
        start: The first byte in the file.
        stop: The byte behind the last.
    """

    descriptor: int
    start: int
    stop: int


class StorageDriver(ABC):
    """Keeps objects. See the module's text for keys, errors, cancellation and sharing.

    Attributes:
        name: The driver's word in the configuration.
        capabilities: What it can do beyond the required.
    """

    name: str
    capabilities: Capabilities = Capabilities()

    async def open(self) -> None:  # noqa: B027 - nothing to do is a fine default
        """Get ready; called once, in the event loop that will use the driver.

        Raises:
            StorageError: the store cannot be used; the message says why and what to do.
        """

    async def close(self) -> None:  # noqa: B027
        """Let go of everything; idempotent."""

    @abstractmethod
    async def stat(self, key: str) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectNotFound: there is none.
        """

    @abstractmethod
    async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
        """A small object (at most 8 MiB), whole.

        Args:
            key: Which.
            unless: An etag. While the object has it, the answer is None and nothing is read,
                which is how the core asks "has this tag moved?".

        Raises:
            ObjectNotFound: there is none.
        """

    @abstractmethod
    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractAsyncContextManager[Reader]:
        """An object of any size, in pieces: `async with driver.read(key) as reader`.

        Args:
            key: Which.
            start: The first byte; at or behind the end gives no pieces.
            stop: The byte behind the last; None, or more than the size, means the end.

        A reader goes on with the content it was opened on, even if the object is overwritten or
        deleted meanwhile, or fails with `StorageError`; it never mixes two contents.

        Raises:
            ObjectNotFound: there is none; raised on entering.
        """

    @abstractmethod
    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        """Write a small object, whole and atomically; readers see the old or the new one.

        Args:
            key: Which.
            data: At most 8 MiB.
            when: Under which condition. Among racing `ABSENT`, or racing `Match` with one etag,
                exactly one wins.
            durable: True: on stable storage when this returns. False: may be lost or empty
                after the machine lost power (not when a process dies), and nothing else.

        Raises:
            PreconditionFailed: `when` did not hold; nothing was written.
        """

    @abstractmethod
    async def begin_upload(self, key: str) -> str:
        """Begin to write a large object.

        Returns:
            A state: an opaque string of at most 64 KiB, from which any process can go on.
        """

    @abstractmethod
    async def append(
        self, state: str, offset: int, pieces: AsyncIterator[bytes], *, durable: bool = True
    ) -> tuple[str, int]:
        """Add to an upload at `offset`.

        What an earlier, torn attempt left behind `offset` is dropped. `pieces` may end early (a
        client that went away): what came is kept. A driver may ask for the next piece while it
        still writes the last one, but holds at most two.

        Args:
            state: As the last call returned it.
            offset: Where to go on.
            pieces: The bytes; none of them empty.
            durable: True: everything up to the returned offset is on stable storage when this
                returns. False: `finish` follows at once and sees to that.

        Returns:
            The new state, and the offset behind the last byte kept.

        Raises:
            OffsetMismatch: the upload holds fewer than `offset` bytes, or another `append` is
                under way; of two racing ones at most one goes through.
            UploadNotFound: the state names no upload.
            Whatever `pieces` raises; the upload can then be appended to at `offset` again.
        """

    @abstractmethod
    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        """Publish an upload: the object appears whole, at once, on stable storage.

        Idempotent: finishing again what was finished answers alike, as long as the object is
        there. An existing object is replaced.

        Args:
            state: As the last `append` returned it.
            key: Where to publish, instead of the key that the upload began with; only with the
                capability `rename`.

        Raises:
            UploadNotFound: the state names no upload and no finished object.
        """

    @abstractmethod
    async def abort(self, state: str) -> None:
        """Throw an upload away; idempotent, also for a state that names nothing."""

    @abstractmethod
    async def delete(self, key: str, *, durable: bool = True) -> None:
        """Delete an object; it is gone for every reader when this returns. Idempotent.

        This also ends unfinished uploads to the key, where a driver can tell them without being
        given their state.

        Args:
            key: Which.
            durable: True: it stays deleted when the machine loses power. False: it may be back.
        """

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """Delete several objects, in order where the service keeps one; override for a batch."""
        for key in keys:
            await self.delete(key, durable=durable)

    @abstractmethod
    async def list(
        self, prefix: str, *, delimiter: str | None = None, after: str = "", limit: int = 1000
    ) -> Page:
        """List keys that begin with `prefix`, in the order of their bytes.

        Args:
            prefix: "" or a key's beginning that ends with "/".
            delimiter: None, or "/": keys with a further "/" behind the prefix are then shown
                once, as their common prefix; it is shown only if an object is behind it.
            after: Only entries whose key (or common prefix) is greater than this string, which
                need not be a key.
            limit: At most so many entries, 1 to 1,000; fewer only on the last page.

        An object is listed as soon as its `put` or `finish` has returned, and no longer once its
        `delete` has. Unfinished uploads and files of the driver's own never show. The time and
        memory of a page do not grow with what lies before it or behind it.
        """

    async def rename(self, src: str, dst: str) -> None:
        """Move an object, replacing `dst`; only with the capability `rename`.

        Raises:
            ObjectNotFound: there is no `src`.
        """
        raise NotImplementedError(f"{self.name} cannot rename")

    @abstractmethod
    async def copy(self, src: str, dst: str) -> None:
        """Copy an object of any size inside the store, replacing `dst`, which appears at once.

        Raises:
            ObjectNotFound: there is no `src`.
        """

    async def redirect_url(
        self, key: str, *, method: str = "GET", expires: float = 1200.0
    ) -> str | None:
        """An address at which a client can read the object itself.

        Args:
            key: Which.
            method: `GET` or `HEAD`.
            expires: Seconds for which the address works.

        Returns:
            None where there is no such address; the core then streams the object.
        """
        return None
