"""What an `OSError` means to the registry."""

from __future__ import annotations

import errno
import os

from pyreg.errors import (
    ObjectNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)

NAME = "filesystem"

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""A read that fails with one of these looked for something that is not there."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PLAIN = {
    errno.ENOTDIR: "a part of the key is an object, so nothing can be stored below it",
    errno.EISDIR: "other objects are stored below this key, so it cannot be one itself",
    errno.EXDEV: "the directories of the store lie on several filesystems; "
    "everything below the root directory has to be on one",
    errno.ENAMETOOLONG: "the filesystem does not take names this long",
    errno.ENOLCK: "the filesystem gives no locks (on NFS: is the lock service running?)",
}


def translate(error: OSError, key: str = "") -> StorageError:
    """The error of the contract for a failed system call.

    Args:
        error: What the system said.
        key: The key that it happened to.

    A path that does not exist is for the caller to judge: here it is `StorageUnavailable`, as
    in any write, where it means that somebody else took a directory away.
    """
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    text = f"{_PLAIN.get(number) or os.strerror(number)} ({name})"
    if number in _FULL:
        return StorageFull(text, driver=NAME, key=key)
    if number in _DENIED:
        return StorageDenied(text, driver=NAME, key=key)
    return StorageUnavailable(text, driver=NAME, key=key)


def not_found(key: str) -> ObjectNotFound:
    """The error for a key without an object."""
    return ObjectNotFound("there is no such object", driver=NAME, key=key)
