"""Reading: small things and cached things at once, everything else in a thread."""

from __future__ import annotations

import os
import stat
from functools import partial
from types import TracebackType

from pyreg.errors import StorageUnavailable
from pyreg.hooks import FileSpan, ObjectInfo
from pyreg_storage_filesystem.failures import ABSENT, NAME, not_found, translate
from pyreg_storage_filesystem.threads import Job, Threads
from pyreg_storage_filesystem.tree import Tree, info_of

PIECE = 512 * 1024
"""Bytes in a piece."""

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # O_NONBLOCK: a FIFO must not stop us
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


def advise(fd: int, start: int, size: int, advice: str) -> None:
    """Tell the system how a file will be used (`posix_fadvise`), where it listens."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, start, size, getattr(os, f"POSIX_FADV_{advice}"))


def open_object(tree: Tree, key: str) -> tuple[int, os.stat_result]:
    """Open an object.

    Returns:
        The file descriptor, and the file's status.
    """
    try:
        fd = os.open(tree.path(key), _FLAGS)
    except OSError as error:
        if error.errno in ABSENT:
            raise tree.missing(key) from None
        raise translate(error, key) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise not_found(key)
    return fd, status


class Cached:
    """Reads what the page cache holds, without ever waiting for the disk.

    One buffer serves all readers of a driver, as nobody else runs between the system call and
    the copy.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(PIECE))
        self._able = bool(_NOWAIT)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """At most `size` bytes (and at most a piece); fewer, or none, where some are missing."""
        if not self._able:
            return b""
        try:
            count = os.preadv(fd, [self._buffer[:size]], offset, _NOWAIT)
        except BlockingIOError:
            return b""
        except OSError:  # this filesystem cannot; a real error shows when a thread reads
            self._able = False
            return b""
        return bytes(self._buffer[:count])


def read_whole(fd: int, start: int, stop: int) -> bytes:
    """The bytes from `start` to `stop`; blocks."""
    parts = []
    while start < stop:
        part = os.pread(fd, stop - start, start)
        if not part:
            raise StorageUnavailable("the object was cut short while it was read", driver=NAME)
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class FileReader:
    """An object that is open for reading, and the context manager that opens it.

    Args:
        tree: Where.
        threads: For what is not cached.
        cached: For what is.
        key: Which object.
        start: The first byte.
        stop: The byte behind the last.
    """

    def __init__(
        self,
        tree: Tree,
        threads: Threads,
        cached: Cached,
        key: str,
        start: int,
        stop: int | None,
    ) -> None:
        self._tree = tree
        self._threads = threads
        self._cached = cached
        self._key = key
        self._next = start
        self._stop = stop
        self._end = 0
        self._fd = -1
        self._ahead: Job[bytes] | None = None
        self._info: ObjectInfo | None = None

    async def __aenter__(self) -> FileReader:
        self._fd, status = open_object(self._tree, self._key)
        self._info = info_of(status)
        size = status.st_size
        self._end = size if self._stop is None else min(self._stop, size)
        if self._end - self._next > PIECE:
            advise(self._fd, self._next, 0, "SEQUENTIAL")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._ahead is not None:
                await self._ahead.ended()
        finally:
            os.close(self._fd)

    @property
    def info(self) -> ObjectInfo:
        """Of the whole object."""
        if self._info is None:
            raise RuntimeError("a reader is used inside `async with`")
        return self._info

    @property
    def file(self) -> FileSpan:
        """Where the kernel finds the bytes."""
        return FileSpan(self._fd, min(self._next, self._end), self._end)

    def __aiter__(self) -> FileReader:
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        As long as the pages are cached, a piece is read at once: the copy takes less time than
        a thread needs to wake up. From the first one that is not, a thread reads one piece
        ahead of the caller.
        """
        try:
            job, self._ahead = self._ahead, None
            if job is None:
                size = min(PIECE, self._end - self._next)
                if size <= 0:
                    raise StopAsyncIteration
                piece = self._cached.read(self._fd, size, self._next)
                if len(piece) == size:
                    self._next += size
                    return piece
                job = await self._start()
            piece = await job.wait()
            if self._next < self._end:
                self._ahead = await self._start()
        except OSError as error:
            raise translate(error, self._key) from error
        return piece

    async def _start(self) -> Job[bytes]:
        start = self._next
        self._next = min(start + PIECE, self._end)
        return await self._threads.start(partial(read_whole, self._fd, start, self._next))
