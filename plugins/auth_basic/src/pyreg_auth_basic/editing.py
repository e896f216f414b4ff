"""Changes of an htpasswd file: one line changes, all others keep every byte."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyreg_auth_basic.entries import lines_of, user_of


def with_entry(data: bytes, user: str, hashed: str) -> bytes:
    """The file's content with a user's line in place of the old one, or at the end."""
    ending = b"\r\n" if b"\r\n" in data else b"\n"
    entry = f"{user}:{hashed}".encode() + ending
    lines = lines_of(data)
    own = [number for number, line in enumerate(lines) if user_of(line) == user]
    if own:
        lines[own[0]] = entry
        kept = [line for number, line in enumerate(lines) if number not in own[1:]]
        return b"".join(kept)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += ending
    return b"".join([*lines, entry])


def without_entry(data: bytes, user: str) -> bytes:
    """The file's content without a user's lines."""
    return b"".join(line for line in lines_of(data) if user_of(line) != user)


def has_entry(data: bytes, user: str) -> bool:
    """Whether a user has a line."""
    return any(user_of(line) == user for line in lines_of(data))


def change(path: Path, edit: Callable[[bytes | None], bytes]) -> None:
    """Replace a file's content at once, or leave it as it is.

    Whoever reads the file sees the old content or the new one, also when the machine loses power.
    Mode and owner stay; a new file is for its owner alone. Of several that change a file at the
    same time none undoes what another did.

    Args:
        path: Which; a symbolic link stays one.
        edit: Makes the new content of the old one, which is None where there is no file.

    Raises:
        OSError: it cannot be read or written; then nothing has changed.
    """
    target = Path(os.path.realpath(path))
    with _locked(target.parent):
        try:
            old = target.read_bytes()
            info: os.stat_result | None = target.stat()
        except FileNotFoundError:
            old, info = None, None
        new = edit(old)
        if new == old:
            return
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                if info is not None:
                    _adopt(descriptor, info, target)
                file.write(new)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink()
            raise
        _sync(target.parent)


def _adopt(descriptor: int, info: os.stat_result, target: Path) -> None:
    """Give a file the owner and the mode of another."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (info.st_uid, info.st_gid):
        try:
            os.fchown(descriptor, info.st_uid, info.st_gid)
        except PermissionError as error:
            reason = "its owner and group cannot be kept; do this as its owner, or as root"
            raise PermissionError(error.errno, reason, str(target)) from error
    os.fchmod(descriptor, info.st_mode & 0o7777)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep others of this program out; the file itself is replaced, so its directory is locked."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
