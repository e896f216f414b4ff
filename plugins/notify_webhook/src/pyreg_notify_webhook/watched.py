"""What is made of files, and made again when one of them changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pyreg.errors import PluginError

log = logging.getLogger("pyreg.events.webhook")

LOOK_EVERY = 1.0
"""Seconds after which files are looked at again, if something is to be delivered."""

_LARGEST = 1024 * 1024  # bytes; the bundles of all public authorities are a quarter of that

T = TypeVar("T")


class UnusableFile(ValueError):
    """A file is not what it should be; a sentence for the operator."""


def read(path: Path) -> bytes:
    """The bytes of a file. Blocks: call it in a thread.

    Raises:
        UnusableFile: it cannot be read, or is too large to be what it should be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnusableFile(f"cannot read {path}: {reason[:1].lower()}{reason[1:]}") from error
    if len(data) > _LARGEST:
        raise UnusableFile(f"{path} has more than {_LARGEST} bytes; is it the right file?")
    return data


class Watched(Generic[T]):
    """Something that files say.

    What can no longer be read stays in force as it was, with an error in the log.

    Args:
        what: What it is for, in messages.
        paths: The files.
        load: Makes the thing of them, in a thread; raises UnusableFile.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        load: Callable[[], T],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._paths = tuple(paths)
        self._load = load
        self._clock = clock
        self._state: object = None
        self._due = 0.0
        self._thing: T

    async def start(self) -> None:
        """Make it for the first time.

        Raises:
            PluginError: a file cannot be used.
        """
        try:
            self._state, self._thing = await asyncio.to_thread(self._loaded)
        except UnusableFile as error:
            raise PluginError(f"{self._what}: {error}") from error
        self._due = self._clock() + LOOK_EVERY

    async def current(self) -> T:
        """The thing as the files say it now; looks at most once in `LOOK_EVERY` seconds."""
        if self._paths and self._clock() >= self._due:
            self._due = self._clock() + LOOK_EVERY  # those who come meanwhile do not look, too
            await self._look()
        return self._thing

    async def _look(self) -> None:
        try:
            if await asyncio.to_thread(self._stat) == self._state:
                return
            self._state, self._thing = await asyncio.to_thread(self._loaded)
            log.info("%s: a file has changed and was read again", self._what)
        except UnusableFile as error:
            if str(error) != self._state:
                self._state = str(error)  # said once, and read again when it changes
                log.error("%s: %s; what it was before stays in force", self._what, error)

    def _loaded(self) -> tuple[object, T]:
        state = self._stat()  # before reading: what is written meanwhile is seen the next time
        return state, self._load()

    def _stat(self) -> object:
        try:
            found = [path.stat() for path in self._paths]
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UnusableFile(f"cannot read {error.filename}: {reason}") from error
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]
