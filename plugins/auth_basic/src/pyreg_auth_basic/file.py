"""The htpasswd file of a running registry: read again whenever it has changed."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable

from pyreg.errors import PluginError
from pyreg_auth_basic.entries import BrokenFile, Users, parse_users

log = logging.getLogger("pyreg.auth.htpasswd")

LARGEST = 64 * 1024 * 1024
"""Bytes of a file; half a million users."""

SETTLED = 0.05
"""Seconds without a change after which a file counts as written. Many programs, Apache's
`htpasswd` among them, write over it in place, and for a moment it is empty or ends in the
middle; for some microseconds it is even shorter without yet having another time."""

UNENDED = 20
"""So many times longer it takes for a file that does not end with the end of a line: on a busy
machine its writer may have been interrupted."""

CHANGES = 5
"""How often a file may change under our eyes before the old users go on for a while."""

FIRST_CHANGES = 100
"""The same at the start, where there are no old users."""

_OLD = "the users that were read before stay in force"

_Signature = tuple[int, ...]


class PasswordFile:
    """Users and hashes in a file.

    A change is in force as a whole or not at all: a new file that is broken leaves the old users
    in force, and so does one that is gone. Both are logged once, with the line and without the
    hash. Everything here blocks, and may be called in several threads.

    Args:
        path: Where it is.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        path: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self.users = Users()
        self._sleep = sleep
        self._lock = threading.Lock()
        self._seen: _Signature = ()
        self._unreadable = ""

    def load(self) -> None:
        """Read it for the first time.

        Raises:
            PluginError: there is no good file; says what to do.
        """
        with self._lock:
            try:
                taken = self._take(FIRST_CHANGES)
            except FileNotFoundError:
                raise PluginError(
                    f"auth.htpasswd.path: there is no file {self.path}; make it, with a first "
                    f"user, by: pyreg htpasswd {self.path} USER"
                ) from None
            except OSError as error:
                raise PluginError(f"auth.htpasswd.path: {_unreadable(self.path, error)}") from None
            except BrokenFile as error:
                lines = [f"{self.path}:{number}: {what}" for number, what in error.mistakes]
                raise PluginError("\n".join(lines)) from None
        if not taken:
            raise PluginError(f"auth.htpasswd.path: {self.path} is being written all the time")
        if not self.users.hashes:
            log.warning("%s has no users: nobody can log in", self.path)

    def refresh(self) -> Users:
        """The users as of now; reads the file if it is another than before."""
        with self._lock:
            try:
                if _signature(os.stat(self.path)) != self._seen and self._take(CHANGES):
                    log.info("%s has changed; users: %d", self.path, len(self.users.hashes))
                self._unreadable = ""
            except OSError as error:
                trouble = _unreadable(self.path, error)
                if trouble != self._unreadable:
                    self._unreadable = trouble
                    log.error("%s; %s", trouble, _OLD)
            except BrokenFile as error:
                for number, what in error.mistakes:
                    log.error("%s:%d: %s; %s", self.path, number, what, _OLD)
            return self.users

    def _take(self, changes: int) -> bool:
        """Read it; False if it changes too often.

        Raises:
            OSError: it cannot be read.
            BrokenFile: it can, and says nothing that makes sense.
        """
        seen = _signature(os.stat(self.path))
        quiet = 0
        while changes > 0:
            self._sleep(SETTLED)
            with open(self.path, "rb") as file:
                before = _signature(os.fstat(file.fileno()))
                data = file.read(LARGEST + 1)
                after = _signature(os.fstat(file.fileno()))
            if len(data) > LARGEST:
                raise OSError(errno.EFBIG, f"it has more than {LARGEST} bytes")
            if seen == before == after:
                quiet += 1
                if data.endswith(b"\n") or quiet == UNENDED:
                    self._seen = after  # a broken one need not be read again, either, as it is
                    self.users = parse_users(data)
                    return True
            else:
                seen, quiet = after, 0
                changes -= 1
        return False


def _signature(info: os.stat_result) -> _Signature:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _unreadable(path: str, error: OSError) -> str:
    return f"{path} cannot be read: {error.strerror}"
