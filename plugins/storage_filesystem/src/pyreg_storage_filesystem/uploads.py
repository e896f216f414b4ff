"""Unfinished uploads: one partial file each, beside the place of the object to be.

A partial file is called like the object, then `+`, then the upload's id. So it lies in the
directory that the Docker registry keeps for the upload, and goes with it when that registry
purges the upload; and no listing shows it, since no key has a `+`.

The state of an upload tells how many bytes have been acknowledged. **Acknowledged bytes are
never overwritten**: an `append` that starts before the end of its file goes on in a copy of the
part before its offset. What lies behind the offset may be what a killed process left, or what
another process has appended and acknowledged meanwhile, and there is no telling which. So two
replicas that append to one upload end with two states, each of which is whole, and whoever
keeps the states decides which one counts. An `append` that fails in a living process cuts off
what it wrote, so that its repetition needs no copy.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace

from pyreg.errors import OffsetMismatch, StorageUnavailable, UploadNotFound
from pyreg.hooks import ObjectInfo
from pyreg_storage_filesystem.failures import NAME
from pyreg_storage_filesystem.tree import ATTEMPTS, Tree, info_of, stamp

_FILE = re.compile(r"[0-9a-f]{16}(\.[0-9a-f]{8})?")
_KEY = re.compile(r"(?!(?:.*/)?\.{1,2}(?:/|$))[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_WINDOW = 64 * 1024 * 1024
_PIECE = 1024 * 1024
_NO_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Upload:
    """What the state of an upload says.

    Attributes:
        key: Where the upload began.
        file: What the partial file's name ends with: the upload's id, and for a copy more.
        size: How many bytes have been acknowledged.
        kept: Whether they are on stable storage.
    """

    key: str
    file: str
    size: int
    kept: bool

    @classmethod
    def begin(cls, key: str) -> Upload:
        """A new upload; nothing is written yet."""
        return cls(key, secrets.token_hex(8), 0, True)

    @classmethod
    def parse(cls, state: str) -> Upload:
        """The upload that a state names.

        Raises:
            UploadNotFound: it is no state of this driver.
        """
        try:
            key, file, size, kept = json.loads(state)
        except (ValueError, TypeError):
            key = file = size = kept = None
        if (
            isinstance(key, str)
            and isinstance(file, str)
            and type(size) is int
            and size >= 0
            and type(kept) is bool
            and _KEY.fullmatch(key)
            and _FILE.fullmatch(file)
        ):
            return cls(key, file, size, kept)
        raise UploadNotFound("this is not the state of an upload", driver=NAME)

    def state(self) -> str:
        """The opaque string of the contract."""
        return json.dumps([self.key, self.file, self.size, self.kept])

    def copied(self) -> Upload:
        """The same upload in another file."""
        return replace(self, file=f"{self.file[:16]}.{secrets.token_hex(4)}")

    def path(self, tree: Tree) -> str:
        """The partial file."""
        return f"{tree.path(self.key)}+{self.file}"


def _unknown(upload: Upload) -> UploadNotFound:
    return UploadNotFound("there is no such upload", driver=NAME, key=upload.key)


def _lock(tree: Tree, upload: Upload, path: str, flags: int) -> int | None:
    """Open and lock a partial file; None if it was published or removed in between."""
    fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(fd).st_ino:
            return fd
    except BlockingIOError:
        os.close(fd)
        raise OffsetMismatch(
            "another request is appending to this upload", driver=NAME, key=upload.key
        ) from None
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def open_partial(tree: Tree, upload: Upload, offset: int) -> tuple[int, Upload]:
    """Get ready to append.

    Returns:
        A file descriptor that is locked and stands at `offset`, and the upload that it is.
    """
    path = upload.path(tree)
    new = upload.size == 0 and offset == 0
    for _ in range(ATTEMPTS):
        try:
            fd = _lock(tree, upload, path, os.O_CREAT if new else 0)
        except FileNotFoundError:
            if new:
                tree.make(os.path.dirname(path))
                continue
            if not tree.present():
                raise tree.vanished() from None
            if upload.size == 0:
                raise OffsetMismatch(
                    "nothing has been uploaded yet", offset=0, driver=NAME, key=upload.key
                ) from None
            raise _unknown(upload) from None
        if fd is None:
            continue
        try:
            size = os.fstat(fd).st_size
            if size < offset:
                raise OffsetMismatch(
                    f"the upload holds {size} bytes, not {offset}",
                    offset=size,
                    driver=NAME,
                    key=upload.key,
                )
            if size > offset:
                whole, fd = fd, -1
                try:
                    return _copy_start(tree, upload.copied(), whole, offset)
                finally:
                    os.close(whole)
            os.lseek(fd, offset, os.SEEK_SET)
        except BaseException:
            if fd >= 0:
                os.close(fd)
            raise
        return fd, upload
    raise StorageUnavailable(
        "others keep taking the upload's file away", driver=NAME, key=upload.key
    )


def _copy_start(tree: Tree, upload: Upload, source: int, size: int) -> tuple[int, Upload]:
    fd = _lock(tree, upload, upload.path(tree), os.O_CREAT | os.O_EXCL)
    if fd is None:
        raise _unknown(upload)
    try:
        copy_range(source, fd, 0, size)
    except BaseException:
        os.close(fd)
        os.unlink(upload.path(tree))
        raise
    return fd, upload


def copy_range(source: int, target: int, start: int, stop: int) -> None:
    """Copy the bytes from `start` to `stop` to the same place in another file.

    The filesystem shares the blocks where it can. `target` is left standing at `stop`.
    """
    os.lseek(target, start, os.SEEK_SET)
    while start < stop:
        try:
            count = os.copy_file_range(source, target, min(stop - start, _WINDOW), start)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_COPY:
                raise
            count = os.write(target, os.pread(source, min(stop - start, _PIECE), start))
        if count == 0:
            raise StorageUnavailable("the file was cut short while it was copied", driver=NAME)
        start += count


def keep(tree: Tree, upload: Upload, fd: int) -> None:
    """Bring what was appended to stable storage, if that is wanted, and close the file."""
    try:
        if upload.kept:
            os.fdatasync(fd)
            tree.settle(os.path.dirname(upload.path(tree)))
    finally:
        os.close(fd)


def take_back(fd: int, offset: int) -> None:
    """Cut off what a failed `append` wrote, and close the file."""
    try:
        os.ftruncate(fd, offset)
    finally:
        os.close(fd)


def publish(tree: Tree, upload: Upload, key: str) -> ObjectInfo:
    """Make the object of an upload."""
    path, target = upload.path(tree), tree.path(key)
    for _ in range(ATTEMPTS):
        try:
            fd = _lock(tree, upload, path, 0)
        except FileNotFoundError:
            if not tree.present():
                raise tree.vanished() from None
            done = _published(tree, upload, target)
            if done is not None:
                return done
            if upload.size:
                raise _unknown(upload) from None
            fd, upload = open_partial(tree, upload, 0)
            os.fsync(fd)
        if fd is None:
            continue
        try:
            info = _publish(tree, upload, fd, key)
        finally:
            os.close(fd)
        tree.settle(os.path.dirname(target))
        discard(tree, upload)
        return info
    raise StorageUnavailable(
        "others keep taking the upload's file away", driver=NAME, key=upload.key
    )


def _publish(tree: Tree, upload: Upload, fd: int, key: str) -> ObjectInfo:
    path, target = upload.path(tree), tree.path(key)
    size = os.fstat(fd).st_size
    if size < upload.size:
        raise OffsetMismatch(
            f"{upload.size} bytes were uploaded, but only {size} are left",
            offset=size,
            driver=NAME,
            key=upload.key,
        )
    if size > upload.size:  # left by a process that died before it acknowledged them
        os.ftruncate(fd, upload.size)
    stamp(fd)
    if size > upload.size or not upload.kept:
        os.fsync(fd)

    def act() -> None:
        with tree.locked(key, alone=False):
            try:
                os.rename(path, target)
            except FileNotFoundError:
                if not os.path.lexists(path):  # aborted by another request
                    raise _unknown(upload) from None
                raise

    tree.within(os.path.dirname(target), act)
    return info_of(os.fstat(fd))


def _published(tree: Tree, upload: Upload, target: str) -> ObjectInfo | None:
    """The object, if the upload seems to have been finished before.

    A process may have died, or lost its answer, after the object had appeared. Which upload
    made the object is not recorded; one of the same size in the place where this one was to go
    is taken for it, which is right for whatever is stored under its own digest.
    """
    try:
        status = os.stat(target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if status.st_size != upload.size:
        return None
    tree.settle(os.path.dirname(target))
    discard(tree, upload)
    return info_of(status)


def discard(tree: Tree, upload: Upload) -> None:
    """Remove every file of an upload, and the directories that this leaves empty."""
    _remove(tree, upload.key, upload.file[:16])
    tree.prune(os.path.dirname(tree.path(upload.key)))


def discard_orphans(tree: Tree, key: str) -> None:
    """Remove every unfinished upload to a key that is deleted.

    Who lost power before the state of an upload was on stable storage can never name its file
    again, but will delete the key in the end.
    """
    _remove(tree, key, "")


def _remove(tree: Tree, key: str, start: str) -> None:
    directory, _, name = tree.path(key).rpartition("/")
    start = f"{name}+{start}"
    try:
        with os.scandir(directory) as entries:
            mine = [entry.path for entry in entries if entry.name.startswith(start)]
    except (FileNotFoundError, NotADirectoryError):
        if not tree.present():
            raise tree.vanished() from None
        return
    for path in mine:
        with suppress(FileNotFoundError):
            os.unlink(path)
