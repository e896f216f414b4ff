"""Tokens that were verified, so that each of them is verified once."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from pyreg.hooks import Identity
from pyreg_auth_token.keys import Keyring

CAPACITY = 2048
"""Tokens that are remembered; the one that was not used for the longest time goes first."""


class Remembered:
    """Who the bearers of verified tokens are.

    A token is known by its hash: what lies in memory for a long time is no credential. It is
    forgotten when it expires, and with all others when the trusted keys change.

    Args:
        clock: Seconds since the epoch, as `time.time`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ring: Keyring | None = None
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def find(self, token: str, ring: Keyring) -> Identity | None:
        """The bearer of a token that was verified with these keys.

        Args:
            token: As it came.
            ring: The keys that are trusted now.
        """
        if ring is not self._ring:
            self._known.clear()
            self._ring = ring
            return None
        name = _name(token)
        found = self._known.get(name)
        if found is None:
            return None
        if found[0] <= self._clock():
            del self._known[name]
            return None
        self._known.move_to_end(name)
        return found[1]

    def add(self, token: str, ring: Keyring, until: float, identity: Identity) -> None:
        """Remember a bearer.

        Args:
            token: As it came.
            ring: The keys that it was verified with.
            until: When the token expires, in seconds since the epoch.
            identity: Who it is.
        """
        if ring is self._ring and until > self._clock():
            self._known[_name(token)] = until, identity
            if len(self._known) > CAPACITY:
                self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)


def _name(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
