"""The storage driver `filesystem`."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pyreg.errors import PreconditionFailed, StorageUnavailable, UploadNotFound
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
from pyreg_storage_filesystem import uploads
from pyreg_storage_filesystem.failures import ABSENT as NOTHING_THERE
from pyreg_storage_filesystem.failures import NAME, not_found, translate
from pyreg_storage_filesystem.listing import Lister
from pyreg_storage_filesystem.reading import Cached, FileReader, advise, open_object, read_whole
from pyreg_storage_filesystem.threads import Job, Threads
from pyreg_storage_filesystem.tree import Tree, etag_of, info_of, stamp, write_all
from pyreg_storage_filesystem.uploads import Upload

T = TypeVar("T")

SMALL = 64 * 1024
"""Bytes up to which `get` looks into the page cache before it asks a thread."""
WHOLE = 8 * 1024 * 1024
"""Bytes that `get` reads at the most."""
WRITEBACK = 32 * 1024 * 1024
"""Bytes after which an upload is urged on to the disk, so that the last sync is short."""
COPY_STEP = 64 * 1024 * 1024
"""Bytes that `copy` copies in one go; between two, it can be cancelled."""

_log = logging.getLogger(__name__)


class FilesystemStorage(StorageDriver):
    """Objects are files below a directory; the key is the path.

    Args:
        rootdirectory: The directory; made by `open` when it does not exist.
        maxthreads: How many blocking operations may be under way or waiting at once.
    """

    name = NAME
    capabilities = Capabilities(rename=True, local=True)

    def __init__(self, rootdirectory: str, *, maxthreads: int = 100) -> None:
        self._tree = Tree(rootdirectory)
        self._threads = Threads(maxthreads)
        self._cached = Cached()
        self._lister = Lister(self._tree)

    async def open(self) -> None:
        """Make the directory ready; a directory that is read-only serves reads."""
        try:
            writable = await (await self._threads.start(self._tree.open)).wait()
        except OSError as error:
            failure = translate(error)
            failure.message = f"rootdirectory {self._tree.root}: {failure.message}"
            raise failure from error
        if not writable:
            _log.warning("%s cannot be written to: pushes will be refused", self._tree.root)

    async def close(self) -> None:
        """Stop the threads."""
        self._threads.close()

    # -- reading -------------------------------------------------------------------------

    async def stat(self, key: str) -> ObjectInfo:
        """One system call."""
        return info_of(self._status(key))

    async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
        """One system call when nothing changed; four for a small object that is cached."""
        if unless is not None and etag_of(self._status(key)) == unless:
            return None
        fd, status = open_object(self._tree, key)
        try:
            info = info_of(status)
            if info.size > WHOLE:
                raise StorageUnavailable(
                    f"{info.size} bytes are too many to be read whole", driver=NAME, key=key
                )
            data = self._cached.read(fd, info.size, 0) if info.size <= SMALL else b""
            if len(data) < info.size:
                data = await self._run(key, partial(read_whole, fd, 0, info.size))
        finally:
            os.close(fd)
        return StoredObject(info, data)

    def read(self, key: str, *, start: int = 0, stop: int | None = None) -> FileReader:
        """See `FileReader`."""
        return FileReader(self._tree, self._threads, self._cached, key, start, stop)

    async def list(
        self, prefix: str, *, delimiter: str | None = None, after: str = "", limit: int = 1000
    ) -> Page:
        """See `Lister`."""
        call = partial(self._lister.page, prefix, delimiter is not None, after, limit)
        return await self._run(prefix, call)

    def _status(self, key: str) -> os.stat_result:
        try:
            status = os.stat(self._tree.path(key))
        except OSError as error:
            if error.errno in NOTHING_THERE:
                raise self._tree.missing(key) from None
            raise translate(error, key) from error
        if not stat.S_ISREG(status.st_mode):
            raise not_found(key)
        return status

    # -- writing -------------------------------------------------------------------------

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        """Write a temporary file, then rename or link it to its place.

        Without `durable` nothing is written out: after a loss of power the object may be gone,
        or its name there and its data not.
        """
        return await self._run(key, partial(self._put, key, data, when, durable))

    def _put(self, key: str, data: bytes, when: Condition, durable: bool) -> ObjectInfo:
        path = self._tree.path(key)
        self._check(path, key, when)  # most conditions that fail do so before anything is written
        fd, temporary = self._tree.temporary()
        try:
            try:
                write_all(fd, data)
                stamp(fd)
                if durable:
                    os.fdatasync(fd)
                self._place(temporary, path, key, when)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
            info = info_of(os.fstat(fd))
        finally:
            os.close(fd)
        if durable:
            self._tree.settle(os.path.dirname(path))
        return info

    def _place(self, temporary: str, path: str, key: str, when: Condition) -> None:
        def act() -> None:
            if when == ABSENT:
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    self._check(path, key, when)
                    raise PreconditionFailed(
                        "the object exists already", driver=NAME, key=key
                    ) from None
            else:
                with self._tree.locked(key, alone=isinstance(when, Match)):
                    self._check(path, key, when)
                    os.replace(temporary, path)

        self._tree.within(os.path.dirname(path), act)

    @staticmethod
    def _check(path: str, key: str, when: Condition) -> None:
        """Raise if a condition does not hold at this moment."""
        if when == ANY:
            return
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            if isinstance(when, Match):
                raise PreconditionFailed(
                    "the object does not exist", driver=NAME, key=key
                ) from None
            return
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a directory", path)
        if not isinstance(when, Match):
            raise PreconditionFailed("the object exists already", driver=NAME, key=key)
        if etag_of(status) != when.etag:
            raise PreconditionFailed("the object has changed", driver=NAME, key=key)

    async def delete(self, key: str, *, durable: bool = True) -> None:
        """Remove the file, and the directories that this leaves empty."""
        await self._run(key, partial(self._delete, [key], durable))

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        """Remove several files; their directories are written out once, at the end."""
        await self._run("", partial(self._delete, keys, durable))

    def _delete(self, keys: Sequence[str], durable: bool) -> None:
        touched: dict[str, None] = {}  # a set that keeps the order
        for key in keys:
            path = self._tree.path(key)
            try:
                with self._tree.locked(key, alone=False):
                    os.unlink(path)
            except FileNotFoundError:
                if not self._tree.present():
                    raise self._tree.vanished() from None
            except OSError as error:
                if error.errno in NOTHING_THERE or error.errno == errno.EISDIR:
                    continue
                raise translate(error, key) from error
            uploads.discard_orphans(self._tree, key)
            # Also where there was nothing: who deleted it may not be done with the directory.
            touched[os.path.dirname(path)] = None
        for directory in dict.fromkeys([self._tree.prune(directory) for directory in touched]):
            if durable:
                self._tree.settle(directory)

    async def rename(self, src: str, dst: str) -> None:
        """One rename, whatever the size."""
        await self._run(src, partial(self._rename, src, dst))

    def _rename(self, src: str, dst: str) -> None:
        source, target = self._tree.path(src), self._tree.path(dst)
        self._status(src)

        def act() -> None:
            with self._tree.locked(src, alone=False), self._tree.locked(dst, alone=False):
                if not os.path.isfile(source):
                    raise self._tree.missing(src)
                os.rename(source, target)

        self._tree.within(os.path.dirname(target), act)
        self._tree.settle(os.path.dirname(target))
        self._tree.settle(self._tree.prune(os.path.dirname(source)))

    async def copy(self, src: str, dst: str) -> None:
        """Copy within the filesystem, which shares the blocks where it can."""
        source, status = open_object(self._tree, src)
        try:
            target, temporary = await self._run(dst, self._tree.temporary, undo=_drop)
            try:
                for start in range(0, status.st_size, COPY_STEP):
                    stop = min(start + COPY_STEP, status.st_size)
                    step = partial(uploads.copy_range, source, target, start, stop)
                    await self._run(dst, step)
                await self._run(dst, partial(self._end_copy, target, temporary, dst))
            finally:
                await self._threads.start_now(partial(_drop, (target, temporary))).ended()
        finally:
            os.close(source)

    def _end_copy(self, fd: int, temporary: str, dst: str) -> None:
        path = self._tree.path(dst)
        stamp(fd)
        os.fdatasync(fd)
        self._place(temporary, path, dst, ANY)
        self._tree.settle(os.path.dirname(path))

    # -- uploads -------------------------------------------------------------------------

    async def begin_upload(self, key: str) -> str:
        """Costs nothing: the first `append` makes the file."""
        return Upload.begin(key).state()

    async def append(
        self, state: str, offset: int, pieces: AsyncIterator[bytes], *, durable: bool = True
    ) -> tuple[str, int]:
        """Write each piece in a thread while the next one arrives."""
        upload = Upload.parse(state)
        key = upload.key
        opening = partial(uploads.open_partial, self._tree, upload, offset)
        fd, upload = await self._run(key, opening, undo=lambda opened: os.close(opened[0]))
        end = urged = offset
        writing: Job[None] | None = None
        try:
            async for piece in pieces:
                if writing is not None:
                    await self._await(key, writing)
                end += len(piece)
                urge = None
                if end - urged >= WRITEBACK:
                    urge, urged = (urged, end - urged), end
                writing = await self._threads.start(partial(_write, fd, piece, urge))
            if writing is not None:
                await self._await(key, writing)
        except BaseException:
            await self._give_up(writing, partial(uploads.take_back, fd, offset))
            raise
        upload = replace(upload, size=end, kept=durable)
        end_of_append = partial(uploads.keep, self._tree, upload, fd)
        await self._await(key, self._threads.start_now(end_of_append))
        return upload.state(), end

    async def _give_up(self, writing: Job[None] | None, clean: Callable[[], None]) -> None:
        try:
            if writing is not None:
                await writing.ended()
        finally:
            await self._threads.start_now(clean).ended()

    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        """Rename the partial file to its place."""
        upload = Upload.parse(state)
        target = key or upload.key
        return await self._run(target, partial(uploads.publish, self._tree, upload, target))

    async def abort(self, state: str) -> None:
        """Remove the partial file."""
        try:
            upload = Upload.parse(state)
        except UploadNotFound:
            return
        await self._run(upload.key, partial(uploads.discard, self._tree, upload))

    # -- threads -------------------------------------------------------------------------

    async def _run(
        self, key: str, call: Callable[[], T], *, undo: Callable[[T], None] | None = None
    ) -> T:
        return await self._await(key, await self._threads.start(call), undo)

    async def _await(self, key: str, job: Job[T], undo: Callable[[T], None] | None = None) -> T:
        try:
            return await job.wait(undo)
        except OSError as error:
            raise translate(error, key) from error


def _write(fd: int, piece: bytes, urge: tuple[int, int] | None) -> None:
    write_all(fd, piece)
    if urge is not None:
        # Linux starts to write dirty pages out when told that they are not needed, and does not
        # wait for them.
        advise(fd, *urge, "DONTNEED")


def _drop(temporary: tuple[int, str]) -> None:
    fd, path = temporary
    os.close(fd)
    with suppress(FileNotFoundError):
        os.unlink(path)
