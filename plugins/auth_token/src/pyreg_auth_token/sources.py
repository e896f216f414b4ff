"""Where trusted keys come from, and how they stay current."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from pyreg.errors import PluginError
from pyreg_auth_token.keys import EMPTY, Keyring, joined

log = logging.getLogger("pyreg.auth.token")

LOOK_EVERY = 1.0
"""Seconds after which a file is looked at again, if somebody asks."""
MAX_FILE = 1024 * 1024
"""Bytes in a file of keys."""

Clock = Callable[[], float]


class KeySource(ABC):
    """Keys from one place."""

    @abstractmethod
    async def start(self) -> None:
        """Get ready.

        Raises:
            PluginError: there is a mistake that only an operator can mend.
        """

    async def stop(self) -> None:
        """Let go of what `start` and its followers hold; nothing unless a source says so."""
        return

    @abstractmethod
    async def current(self) -> Keyring:
        """The keys as they are now; the same object as long as they have not changed.

        Asked for each request with a token: it costs next to nothing unless something is due.
        """

    async def renewed(self) -> Keyring:
        """The keys after another look, for a token that none of the current ones is meant by.

        A source that cannot know more than it has told answers as `current` does.
        """
        return await self.current()


class KeyFile(KeySource):
    """Keys in a file, which is read again when it changes.

    What can no longer be read stays in force as it was, with an error in the log.

    Args:
        path: The file.
        option: The option that names it, for messages.
        read: Makes keys of its content; raises ValueError with a reason.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        path: str,
        option: str,
        read: Callable[[bytes], Keyring],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._path = Path(path)
        self._option = option
        self._read = read
        self._clock = clock
        self._ring = EMPTY
        self._state: tuple[int, ...] | str = ()
        self._due = 0.0

    async def start(self) -> None:
        """Read it for the first time."""
        try:
            self._state, self._ring = await asyncio.to_thread(self._load)
        except (OSError, ValueError) as error:
            raise PluginError(f"{self._option}: {self._path}: {_why(error)}") from error
        self._due = self._clock() + LOOK_EVERY

    async def current(self) -> Keyring:
        """Look at the file's date and size, at most once in `LOOK_EVERY` seconds."""
        if self._clock() >= self._due:
            self._due = self._clock() + LOOK_EVERY  # those who come meanwhile do not look, too
            await self._look()
        return self._ring

    async def _look(self) -> None:
        try:
            if await asyncio.to_thread(self._stat) == self._state:
                return
            self._state, self._ring = await asyncio.to_thread(self._load)
            log.info("%s: %s has changed and was read again", self._option, self._path)
        except (OSError, ValueError) as error:
            reason = _why(error)
            if reason != self._state:
                self._state = reason  # said once, and read again when it changes
                log.error("%s: %s: %s; its old keys stay", self._option, self._path, reason)

    def _stat(self) -> tuple[int, ...]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> tuple[tuple[int, ...], Keyring]:
        state = self._stat()  # before reading: what is written meanwhile is seen the next time
        with self._path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ValueError(f"it has more than {MAX_FILE} bytes")
        return state, self._read(data)


class FixedKeys(KeySource):
    """Keys that somebody else looks after.

    Args:
        ring: Called for each request with a token; has the keys as they are at that moment.
    """

    def __init__(self, ring: Callable[[], Keyring]) -> None:
        self._ring = ring

    async def start(self) -> None:
        """There is nothing to get ready."""

    async def current(self) -> Keyring:
        """What the owner says."""
        return self._ring()


class KeySources(KeySource):
    """Keys from several places."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = tuple(sources)
        self._parts: list[Keyring] = []
        self._ring = EMPTY

    async def start(self) -> None:
        """Start each source."""
        for source in self._sources:
            await source.start()

    async def stop(self) -> None:
        """Stop each source."""
        for source in self._sources:
            await source.stop()

    async def current(self) -> Keyring:
        """The keys of all sources; put together anew when one of them has changed."""
        return self._joined([await source.current() for source in self._sources])

    async def renewed(self) -> Keyring:
        """Another look at all sources."""
        return self._joined([await source.renewed() for source in self._sources])

    def _joined(self, parts: list[Keyring]) -> Keyring:
        if parts != self._parts:
            self._parts, self._ring = parts, joined(parts)
        return self._ring


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
