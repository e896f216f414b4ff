"""Credentials that were right a short while ago."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from pyreg.hooks import Identity
from pyreg_auth_basic.entries import Users
from pyreg_auth_basic.hashes import Hash

MOST = 10_000
"""Logins that are remembered, about 5 MB of them."""


@dataclass(frozen=True, slots=True)
class _Login:
    identity: Identity
    hash: Hash
    until: float


class Logins:
    """Remembers logins, so that not each request of a client pays for a slow hash.

    What is kept of the credentials is a digest under a key that this process made up: nobody can
    compute it elsewhere, or find out the password by it. A login counts only as long as the file
    has the very hash that it was verified by.

    Args:
        seconds: How long one is remembered; 0 for not at all.
        clock: Seconds that only grow.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._logins: dict[bytes, _Login] = {}  # the oldest first

    def key(self, value: str) -> bytes:
        """What stands here for the value of an Authorization header."""
        return hashlib.blake2b(value.encode("latin-1", "replace"), key=self._key).digest()

    def find(self, key: bytes, users: Users) -> Identity | None:
        """Who logged in with this key, if that still counts."""
        login = self._logins.get(key)
        if login is None:
            return None
        current = users.hashes.get(login.identity.name)
        if current != login.hash or login.until <= self._clock():
            del self._logins[key]
            return None
        return login.identity

    def keep(self, key: bytes, identity: Identity, verified: Hash) -> None:
        """Remember a login.

        Args:
            key: Of its credentials.
            identity: Whose they are.
            verified: The hash that they were verified by.
        """
        if self._seconds <= 0:
            return
        self._logins.pop(key, None)
        self._logins[key] = _Login(identity, verified, self._clock() + self._seconds)
        if len(self._logins) > MOST:
            del self._logins[next(iter(self._logins))]
