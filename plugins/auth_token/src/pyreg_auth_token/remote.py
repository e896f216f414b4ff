"""Keys that an issuer publishes at an address."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pyreg_auth_token.documents import UnreadableKeys, read_jwks
from pyreg_auth_token.fetching import Document, FetchFailed
from pyreg_auth_token.keys import EMPTY, Keyring
from pyreg_auth_token.sources import Clock, KeySource

log = logging.getLogger("pyreg.auth.token")

PATIENCE = 10.0
"""Seconds for all that one fetch takes."""
LIFETIME = (60.0, 600.0, 3600.0)
"""Seconds between two fetches: the least, without advice of the issuer, and the most."""
PAUSE = 10.0
"""Seconds after a fetch before tokens with unknown keys can bring about another one."""
BACK_OFF = (1.0, 300.0)
"""Seconds after the first failure, doubled with each that follows, and the most."""
STALE = 24 * 3600.0
"""Seconds that keys stay in force while their issuer does not answer."""


class RemoteKeys(KeySource):
    """The key set of an issuer, kept.

    Nobody waits for a fetch who can go on without: keys that are due are fetched while the old
    ones serve, and only the first token of all and tokens whose key is unknown wait. Fetches are
    never closer than the pauses above, whatever comes in: made-up key names cannot make the
    registry hammer the issuer.

    Args:
        what: Whose keys, for the log.
        fetch: Gets the key set; raises FetchFailed.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        what: str,
        fetch: Callable[[], Awaitable[Document]],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._what = what
        self._fetch = fetch
        self._clock = clock
        self._ring = EMPTY
        self._data = b""
        self._fetched: float | None = None
        self._due = 0.0
        self._earliest = 0.0
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to fetch. The issuer may not be up yet, so nobody waits for it here."""
        self._begin()

    async def stop(self) -> None:
        """Give up a fetch that is under way."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def current(self) -> Keyring:
        """What was fetched last; nothing once it is older than `STALE`."""
        now = self._clock()
        if self._fetched is None:
            await self._attempt()
        elif now >= self._due:
            self._begin()
        if self._fetched is None or now - self._fetched > STALE:
            return EMPTY
        return self._ring

    async def renewed(self) -> Keyring:
        """Fetch now, if the last fetch was not just before."""
        await self._attempt()
        return await self.current()

    async def _attempt(self) -> None:
        self._begin()
        if self._task is not None and not self._task.done():
            # One fetch serves all who wait; that one of them leaves must not end it.
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        running = self._task is not None and not self._task.done()
        if not running and self._clock() >= self._earliest:
            self._earliest = self._clock() + PAUSE
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                document = await self._fetch()
            if document.data != self._data:
                ring = await asyncio.to_thread(read_jwks, document.data)
                self._data, self._ring = document.data, ring
        except (FetchFailed, UnreadableKeys, TimeoutError) as error:
            self._failed(str(error) or f"no answer within {PATIENCE:.0f} s")
            return
        now = self._clock()
        least, usual, most = LIFETIME
        lifetime = usual if document.max_age is None else document.max_age
        self._fetched, self._failures = now, 0
        self._due = now + min(max(lifetime, least), most)

    def _failed(self, reason: str) -> None:
        first, most = BACK_OFF
        pause = min(first * 2.0 ** min(self._failures, 20), most)
        self._failures += 1
        self._due = self._earliest = self._clock() + pause
        kept = "there are none yet" if self._fetched is None else "the old ones stay"
        log.warning("the keys of %s cannot be fetched: %s; %s", self._what, reason, kept)
