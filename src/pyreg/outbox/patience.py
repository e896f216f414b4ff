"""How long to wait before the next attempt, and when a sink is given a rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from pyreg.hooks.events import Subscription

SHORTEST = 0.05
"""Seconds before the second attempt."""

LONGEST = 60.0
"""Seconds of a rest, unless `backoff` is longer."""

LONGEST_ASKED = 3600.0
"""Seconds that the other side may ask for."""


class Circuit:
    """Counts failures of one sink.

    It is closed while deliveries succeed. After `threshold` failures in a row it opens: nothing
    is sent during a rest, and then one delivery at a time, until one succeeds. Every further
    failure makes the next rest twice as long.

    Args:
        subscription: `threshold` and `backoff`.
        now: Seconds that only grow.
    """

    def __init__(self, subscription: Subscription, now: Callable[[], float]) -> None:
        self._threshold = max(1, subscription.threshold)
        self._backoff = max(subscription.backoff, SHORTEST)
        self._now = now
        self._until = 0.0
        self.failures = 0

    @property
    def open(self) -> bool:
        """Whether the sink is, or just was, given a rest."""
        return self.failures >= self._threshold

    @property
    def wait(self) -> float:
        """Seconds until the next delivery may begin."""
        return max(0.0, self._until - self._now())

    def succeeded(self) -> None:
        """A delivery went through."""
        self.failures = 0
        self._until = 0.0

    def failed(self, retry_after: float | None = None) -> None:
        """A delivery failed.

        Args:
            retry_after: Seconds for which the other side wants to be left alone.
        """
        self.failures += 1
        rest = 0.0
        if self.open:
            over = min(self.failures - self._threshold, 16)
            rest = jittered(min(self._backoff * 2**over, max(LONGEST, self._backoff)))
        if retry_after is not None:
            rest = max(rest, min(retry_after, LONGEST_ASKED))
        self._until = max(self._until, self._now() + rest)


def pause(attempts: int, subscription: Subscription) -> float:
    """Seconds before an event is tried again.

    Args:
        attempts: How often it was.
        subscription: `backoff`, which no pause exceeds.
    """
    return jittered(min(SHORTEST * 2 ** min(attempts, 16), max(subscription.backoff, SHORTEST)))


def called_off(error: BaseException) -> bool:
    """Whether it is this task that is cancelled; a sink may raise the same of its own accord."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())


def in_a_row(failures: int) -> str:
    """How often it failed, for people."""
    return f"{failures} failure{'' if failures == 1 else 's'} in a row"


def jittered(seconds: float) -> float:
    """Some random time below, so that not all come back at the same moment."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
