"""Keys that follow their directory: what is added or removed there counts within seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path

from pyreg.errors import PluginError
from pyreg_auth_token.keys import Keyring
from pyreg_auth_token.service.signing import KeysError, SigningKeys, key_files, read_keys
from pyreg_auth_token.sources import KeySource

log = logging.getLogger("pyreg.auth.tokenservice")

INTERVAL = 2.0
"""Seconds between two looks at the directory."""

_PAUSE = 1.0  # seconds between two looks that tokens lead to

Seen = tuple[tuple[str, int, int, int], ...]


class WatchedKeys(KeySource):
    """The keys of a directory as they are now.

    A directory that cannot be used any more leaves the last good keys in force, and says so in
    the log and in the health report: a half-finished copy must not log everybody out.

    Args:
        directory: Where the keys are.
        interval: Seconds between two looks.

    Attributes:
        trouble: Why the directory cannot be used at the moment; None if it can.
    """

    def __init__(self, directory: Path, *, interval: float = INTERVAL) -> None:
        self._directory = directory
        self._interval = interval
        self._keys: SigningKeys | None = None
        self._seen: Seen = ()
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None
        self.trouble: str | None = None

    @property
    def signing(self) -> SigningKeys:
        """The private keys."""
        assert self._keys is not None, "the keys were not read yet"
        return self._keys

    async def current(self) -> Keyring:
        """The public keys."""
        return self.signing.public

    async def renewed(self) -> Keyring:
        """The public keys after another look, for a key that another process just began to use.

        Who sends tokens with names of keys that nobody has cannot make it look all the time.
        """
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _PAUSE
            await self.look()
        return self.signing.public

    async def start(self) -> None:
        """Read the keys, and go on looking.

        Raises:
            PluginError: they cannot be used.
        """
        try:
            self._seen, self._keys = await asyncio.to_thread(self._read)
        except KeysError as error:
            raise PluginError(str(error)) from error
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> None:
        """Take over what has changed in the directory."""
        try:
            found = await asyncio.to_thread(self._changed)
        except KeysError as error:
            if self.trouble != str(error):
                log.error("the keys for tokens stay as they are: %s", error)
            self.trouble = str(error)
            return
        self.trouble = None
        if found is not None:
            self._seen, self._keys = found
            log.info("the keys for tokens have changed; there are %d", len(self._keys.keys))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:
                # Without a look at the directory, a key that was removed would stay good.
                log.exception("the keys for tokens could not be looked at")

    def _changed(self) -> tuple[Seen, SigningKeys] | None:
        """Read the keys if they may be others; it blocks."""
        if self.trouble is None and self._state() == self._seen:
            return None
        return self._read()

    def _read(self) -> tuple[Seen, SigningKeys]:
        # The state comes first: a change during the reading is seen the next time.
        return self._state(), read_keys(self._directory)

    def _state(self) -> Seen:
        found = []
        for path in key_files(self._directory):
            try:
                status = path.stat()
            except OSError as error:
                raise KeysError(f"{path} cannot be read: {error.strerror}") from error
            found.append((path.name, status.st_ino, status.st_ctime_ns, status.st_size))
        return tuple(found)
