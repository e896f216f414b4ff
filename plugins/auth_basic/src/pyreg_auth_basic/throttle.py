"""Failed logins, counted, and slowed down when there are many.

Failures are counted for each address, and for each user over all addresses. Each count fades: one
failure is forgotten after each pause. Who has reached the limit waits for the next pause, and is
refused until then with 429 and `Retry-After`.

Nobody can lock somebody else out:

- An address from which a user has logged in is known for that user. There, only that user's own
  failures count, whatever others do, at this address or elsewhere.
- The first try of a user at an address is not held up by what happened at other addresses.
- Waits are short: about as long as a pause, however long others go on.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache

KEYS = 10_000
"""Addresses, users, and pairs of both that are kept in mind; those that failed last."""

USER_FACTOR = 5
"""One user may have so many times the failures of one address, as there are many addresses."""


class Tally:
    """Counts that fade.

    Args:
        limit: At this count one has to wait.
        pause: Seconds after which a count is one lower.
    """

    def __init__(self, limit: int, pause: float) -> None:
        self._limit = limit
        self._pause = pause
        self._zero_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until the count is below the limit."""
        left = self._zero_at.get(key, now) - now
        return max(0.0, left - (self._limit - 1) * self._pause)

    def add(self, key: Hashable, now: float) -> None:
        """Count one more."""
        self._zero_at[key] = max(self._zero_at.get(key, now), now) + self._pause
        self._zero_at.move_to_end(key)
        if len(self._zero_at) > KEYS:
            self._zero_at.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Count from zero again."""
        self._zero_at.pop(key, None)


class Throttle:
    """Says who has to wait.

    Args:
        failures: How many in a row one address may have; 0 for any number.
        pause: Seconds after which one of them is forgotten.
        clock: Seconds that only grow.
    """

    def __init__(
        self, failures: int, pause: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on = failures > 0
        self._clock = clock
        self._addresses = Tally(failures, pause)
        self._users = Tally(failures * USER_FACTOR, pause / USER_FACTOR)
        self._own = Tally(failures, pause)
        # Users at addresses: True where they have logged in, False where they only failed.
        self._pairs: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def wait(self, user: str, address: str) -> float:
        """Seconds for which a user at an address has to wait; 0.0 for none."""
        if not self._on:
            return 0.0
        now = self._clock()
        place = network(address)
        known = self._pairs.get((user, place))
        if known:
            return self._own.wait((user, place), now)
        wait = self._addresses.wait(place, now)
        return wait if known is None else max(wait, self._users.wait(user, now))

    def failed(self, user: str, address: str) -> None:
        """A login failed."""
        if not self._on:
            return
        now = self._clock()
        place = network(address)
        pair = (user, place)
        if self._pairs.get(pair):
            self._own.add(pair, now)
        else:
            self._addresses.add(place, now)
            self._users.add(user, now)
            self._mark(pair, known=False)

    def succeeded(self, user: str, address: str) -> None:
        """A login succeeded: what failed before at this address was this user's own typing."""
        if self._on:
            pair = (user, network(address))
            self._own.forget(pair)
            self._mark(pair, known=True)

    def _mark(self, pair: tuple[str, str], *, known: bool) -> None:
        self._pairs[pair] = known
        self._pairs.move_to_end(pair)
        if len(self._pairs) > KEYS:
            self._pairs.popitem(last=False)


@lru_cache(4096)
def network(address: str) -> str:
    """What counts as one address: of IPv6 the 64 bits that one subscriber has to himself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
