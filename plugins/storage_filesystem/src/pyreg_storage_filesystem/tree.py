"""The directory tree below the root: making, pruning, locking, and keeping it on the disk.

Keys are paths below the root directory. What belongs to the driver lies in `+pyreg`, which no
key can name:

    +pyreg/tmp/         files that are being written, locked by their writer
    +pyreg/locks/00-63  see `Tree.locked`
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from pyreg.errors import StorageError, StorageUnavailable
from pyreg.hooks import ObjectInfo
from pyreg_storage_filesystem.failures import NAME, not_found

T = TypeVar("T")

OWN = "+pyreg"
WRITING = "tmp"
LOCKING = "locks"
LOCKS = 64
ATTEMPTS = 100
"""How often a write makes its directory anew when others keep taking it away."""
SETTLED = 65_536
"""How many directories are remembered as being on stable storage: some 10 MB at the most."""
STALE = 60.0
"""Seconds after which a temporary file without a lock is taken for a dead writer's."""

_GET_GENERATION = 0x80087601  # FS_IOC_GETVERSION of linux/fs.h, where a long has 8 bytes


class _Clock:
    """Times that never come twice.

    A file's etag is made of its mtime, inode and size. The kernel's own times tick every few
    milliseconds and inodes are used again at once, so two contents could share them. One clock
    serves the whole process: two drivers may write to one directory.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last


_now = _Clock()


def stamp(fd: int) -> None:
    """Give an open file a time of its own."""
    moment = _now()
    os.utime(fd, ns=(moment, moment))


def etag_of(status: os.stat_result) -> str:
    """The etag of a file."""
    return f"{status.st_mtime_ns:x}-{status.st_ino:x}-{status.st_size:x}"


def info_of(status: os.stat_result) -> ObjectInfo:
    """What the contract tells of an object."""
    return ObjectInfo(status.st_size, etag_of(status), status.st_mtime_ns / 1e9)


def write_all(fd: int, data: bytes) -> None:
    """Write everything at the file's position."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


class Tree:
    """The tree below one root directory. Every method may block.

    Args:
        root: The root directory.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self._slash = self.root.rstrip("/") + "/"
        self.own = self._slash + OWN
        self._writing = f"{self.own}/{WRITING}"
        self._locks = f"{self.own}/{LOCKING}"
        self._proof = self.root  # what has to be there for the root to be the one we opened
        self._settled: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._settled_lock = threading.Lock()

    def path(self, key: str) -> str:
        """Where an object is."""
        return self._slash + key

    # -- the root ------------------------------------------------------------------------

    def open(self) -> bool:
        """Make the root directory and the driver's own; throw dead writers' files away.

        Returns:
            False if the directory cannot be written to: then it serves reads only.

        Raises:
            StorageError: the root directory is none, or cannot be made.
            OSError: likewise.
        """
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise StorageUnavailable(
                f"rootdirectory {self.root} is not a directory; name a directory, or remove "
                "the file that is in its place",
                driver=NAME,
            )
        made = self._make_root()
        try:
            for directory in (self._writing, self._locks):
                os.makedirs(directory, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            if os.path.isdir(self.own):
                self._proof = self.own
            return False
        self._proof = self.own
        for directory in made:
            self._sync(os.path.dirname(directory))
        if not os.access(self.root, os.W_OK):
            return False
        self._sweep()
        return True

    def _make_root(self) -> list[str]:
        missing = []
        directory = self.root
        while not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for directory in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(directory)
        return missing

    def present(self) -> bool:
        """Whether the root directory is the one that was opened.

        A mount that went away leaves an empty directory behind: it must neither look like a
        store without objects nor be written to. So the driver's own directory is looked for.
        """
        return os.path.isdir(self._proof)

    def vanished(self) -> StorageUnavailable:
        """The error for a root directory that is no longer there."""
        return StorageUnavailable(
            f"the root directory {self.root} is gone (is its filesystem mounted?)", driver=NAME
        )

    def missing(self, key: str) -> StorageError:
        """The error for a key that was not found."""
        return not_found(key) if self.present() else self.vanished()

    # -- directories ---------------------------------------------------------------------

    def make(self, directory: str) -> None:
        """Make a directory below the root, and its parents; never the root itself.

        It may be gone again when this returns, as `prune` takes away what is empty.
        """
        if not self.present():
            raise self.vanished()
        self._make(directory)

    def _make(self, directory: str) -> None:
        try:
            os.mkdir(directory)
        except FileExistsError:
            return
        except FileNotFoundError:
            if directory == self.root:
                raise
            self._make(os.path.dirname(directory))
            with suppress(FileExistsError, FileNotFoundError):
                os.mkdir(directory)

    def within(self, directory: str, act: Callable[[], T]) -> T:
        """Do something in a directory that may have to be made first.

        Another process may prune the directory before anything is in it: then it is made anew.
        """
        for _ in range(ATTEMPTS):
            try:
                return act()
            except FileNotFoundError:
                self.make(directory)
        raise StorageUnavailable("others keep taking the files away", driver=NAME)

    def prune(self, directory: str) -> str:
        """Remove a directory if it is empty, then its parent, and so on; never the root.

        Returns:
            The first directory that is still there.
        """
        while directory != self.root:
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError:  # not empty, a mount point, a symbolic link, not ours to remove
                return directory
            directory = os.path.dirname(directory)
        return directory

    def settle(self, directory: str) -> None:
        """Bring a directory's entries to stable storage, and the way to it.

        Of the directories above, only those are written out that this driver has not seen on
        stable storage yet: another process may have made one a moment ago and not be done with
        it. A directory is known by its inode and the inode's generation, which no later
        directory shares; where the filesystem tells no generation, nothing is remembered. A
        directory that still exists has existed all the time, and its parents with it, so the
        first known one ends the way up.
        """
        passed: list[tuple[int, int, int]] = []
        while True:
            identity = self._sync(directory)
            if directory == self.root:
                break
            if identity is not None:
                with self._settled_lock:
                    if identity in self._settled:
                        self._settled.move_to_end(identity)
                        break
                passed.append(identity)
            directory = os.path.dirname(directory)
        if passed:
            with self._settled_lock:
                self._settled.update(dict.fromkeys(passed))
                while len(self._settled) > SETTLED:
                    self._settled.popitem(last=False)

    def _sync(self, directory: str) -> tuple[int, int, int] | None:
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # pruned since: what was in it has been deleted by somebody else
        try:
            try:
                os.fsync(fd)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a filesystem that cannot sync directories
                    raise
            status = os.fstat(fd)
            try:
                generation = fcntl.ioctl(fd, _GET_GENERATION, b"\0" * 8)
            except OSError:
                return None
            return status.st_dev, status.st_ino, int.from_bytes(generation[:4], "little")
        finally:
            os.close(fd)

    # -- locks ---------------------------------------------------------------------------

    @contextmanager
    def locked(self, key: str, *, alone: bool) -> Iterator[None]:
        """Hold the key's lock, across processes.

        `Match` compares and then replaces, which is two steps. It takes the lock alone; whoever
        replaces or removes an object takes it together with others of its kind. So nothing
        changes between the two steps, and unconditional writers do not wait for one another.
        `ABSENT` needs no lock: it makes a hard link, which fails while there is an object, and
        as long as `Match` holds the lock there is one.
        """
        path = f"{self._locks}/{zlib.crc32(key.encode()) % LOCKS:02d}"
        fd = self.within(
            self._locks,
            lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666),
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(fd)

    # -- temporary files -----------------------------------------------------------------

    def temporary(self) -> tuple[int, str]:
        """A new file, open for writing and locked for as long as it is open; and its path."""
        path = f"{self._writing}/{secrets.token_hex(12)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = self.within(self._writing, lambda: os.open(path, flags, 0o666))
        with suppress(OSError):  # without a lock, it is in use for as long as it is young
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd, path

    def _sweep(self) -> None:
        """Remove the temporary files of writers that died."""
        with os.scandir(self._writing) as entries:
            for entry in entries:
                with suppress(OSError):  # in use, or not ours: left for the next start
                    self._sweep_one(entry.path)

    def _sweep_one(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if time.time() - os.fstat(fd).st_mtime < STALE:
                return  # its writer may not have come to lock it yet
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(fd)
