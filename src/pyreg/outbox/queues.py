"""From a commit to the queues of the sinks: in the background, many events at once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pyreg.errors import StorageError
from pyreg.outbox.dispatcher import Dispatcher
from pyreg.outbox.filters import Filter
from pyreg.outbox.intents import Write
from pyreg.outbox.patience import jittered
from pyreg.outbox.queue import Queue
from pyreg.outbox.record import Record, count

log = logging.getLogger("pyreg.events")

GATHERING = 0.05
"""Seconds for which events are gathered, to be put into the queues together."""

MOST = 1000
"""Records that come to the queues together."""

_LONGEST_PAUSE = 30.0  # seconds between two tries


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one sink."""

    filter: Filter
    queue: Queue
    dispatcher: Dispatcher


class Queues:
    """Puts events into the queues of all sinks that want them.

    Args:
        routes: The ways to the sinks.
        writer: Names this process.
        accepted: Gone on with: how many events came to each sink's queue, by the sink's name.
    """

    def __init__(self, routes: Sequence[Route], writer: str, accepted: Counter[str]) -> None:
        self.accepted = accepted
        self._routes = routes
        self._writer = writer
        self._number = 0
        self._waiting: list[tuple[Record, Write | None]] = []
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def __len__(self) -> int:
        """How many records are not in the queues yet."""
        return len(self._waiting)

    def wants(self, record: Record) -> bool:
        """Whether any sink does."""
        return any(route.filter.wants(record.events[0]) for route in self._routes)

    def add(self, record: Record, write: Write | None = None) -> None:
        """A write was committed.

        Args:
            record: Its events.
            write: Is settled once the events are in the queues.
        """
        self._waiting.append((record, write))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def put(self, records: Sequence[Record], done: set[str] | None = None) -> None:
        """Put records into the queues now, durably.

        Args:
            records: Which.
            done: Names of the sinks that have them already; those that get them are added.

        Raises:
            StorageError: not all of them are there; may be repeated.
        """
        done = set() if done is None else done
        records = sorted(records, key=lambda record: record.time)
        for route in self._routes:
            name = route.queue.name
            wanted = [] if name in done else route.filter.apply(records)
            if wanted:
                number, self._number = self._number, self._number + len(wanted)
                await route.queue.put(wanted, self._writer, number)
                self.accepted[name] += count(wanted)
                route.dispatcher.wake()
            done.add(name)

    async def stop(self, patience: float) -> None:
        """Put what waits into the queues, for at most `patience` seconds."""
        if self._task is not None:
            self._hurry.set()
            await asyncio.wait([self._task], timeout=patience)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def _put(self, taken: Sequence[tuple[Record, Write | None]], done: set[str]) -> bool:
        """Try to put records into the queues. Returns whether they are there."""
        try:
            await self.put([record for record, _ in taken], done)
        except StorageError as error:
            log.error("%d writes wait to be told of: %s", len(self._waiting), error)
        except Exception:
            log.exception("%d writes wait to be told of", len(self._waiting))
        else:
            return True
        return False

    async def _run(self) -> None:
        pause = 0.5
        try:
            while self._waiting:
                if not self._hurry.is_set():
                    await asyncio.sleep(GATHERING)
                taken = self._waiting[:MOST]
                done: set[str] = set()
                while not await self._put(taken, done):
                    await asyncio.sleep(jittered(pause))
                    pause = min(pause * 2, _LONGEST_PAUSE)
                pause = 0.5
                del self._waiting[: len(taken)]
                for _, write in taken:
                    if write is not None:
                        write.settle()
        finally:
            self._task = None
