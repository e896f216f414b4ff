"""Pulls: told to sinks as well as that goes, from memory. Nothing is lost that was written."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from pyreg.hooks.events import Event, EventSink, Subscription
from pyreg.outbox.patience import Circuit, called_off

log = logging.getLogger("pyreg.events")

ROOM = 10_000
"""Events that wait for one sink; when it is full, further ones are dropped and counted."""


HOLD = 0.5
"""Seconds for which a pull waits, so that it does not arrive before the push that it pulls."""


class Pulls:
    """The pulls that one sink is told of.

    Args:
        sink: Which.
        subscription: How patiently.

    Attributes:
        name: The sink's.
        accepted: How many came in.
        delivered: How many the sink has got.
        dropped: How many found no room, or were given up.
    """

    def __init__(self, sink: EventSink, subscription: Subscription) -> None:
        self.name = sink.name
        self.accepted = self.delivered = self.dropped = 0
        self._sink = sink
        self._subscription = subscription
        self._waiting: deque[Event] = deque()
        self._circuit = Circuit(subscription, lambda: asyncio.get_running_loop().time())
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def offer(self, event: Event) -> None:
        """Tell the sink of a pull, or drop it; never waits."""
        self.accepted += 1
        if len(self._waiting) >= ROOM:
            self._drop(1, "too many wait")
            return
        self._waiting.append(event)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, patience: float) -> None:
        """Deliver what waits, for at most `patience` seconds, and stop."""
        task = self._task
        if task is None:
            return
        if not self._circuit.failures:
            await asyncio.wait([task], timeout=patience)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._waiting:
            self._drop(len(self._waiting), "the registry stops")
            self._waiting.clear()

    async def _run(self) -> None:
        most = self._subscription.batch or self._sink.batch
        try:
            while self._waiting:
                held = self._waiting[0].timestamp + HOLD - time.time()
                await asyncio.sleep(max(self._circuit.wait, min(held, HOLD)))
                batch = [self._waiting[index] for index in range(min(most, len(self._waiting)))]
                try:
                    async with asyncio.timeout(self._subscription.timeout or None):
                        await self._sink.deliver(batch)
                except (Exception, asyncio.CancelledError) as error:
                    if called_off(error):
                        raise
                    # The dispatcher of writes says what is wrong, and keeps its own count.
                    log.debug("%s: %d pulls not delivered: %s", self._sink.name, len(batch), error)
                    self._circuit.failed(getattr(error, "retry_after", None))
                    if getattr(error, "permanent", False):
                        self._done(batch)
                        self._drop(len(batch), str(error))
                    elif not self._circuit.open:
                        await asyncio.sleep(0.05)
                else:
                    self._circuit.succeeded()
                    self._done(batch)
                    self.delivered += len(batch)
        finally:
            self._task = None

    def _done(self, batch: list[Event]) -> None:
        for _ in batch:
            self._waiting.popleft()

    def _drop(self, count: int, reason: str) -> None:
        before, self.dropped = self.dropped, self.dropped + count
        if before == 0 or before // 1000 != self.dropped // 1000:
            log.warning(
                "%s: %d events of pulls dropped so far: %s",
                self._sink.name, self.dropped, reason,
            )  # fmt: skip
