"""The part of a queue that is in memory: its oldest events, within a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from pyreg.outbox.lanes import Lanes, Loaded, Waiting
from pyreg.outbox.queue import Queue, Segment
from pyreg.outbox.record import Record

MOST_EVENTS = 4000
"""Events of a queue in memory, above which no further segment is loaded."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of the segments that they come from, likewise."""

COUNTED = 20_000
"""Segments of a longer queue that are counted."""

_COUNT_EVERY = 10.0  # seconds
_REMOVED = 500  # segments that are taken out at once
_PAUSE = 1.0  # seconds before that is tried again


class Window:
    """Loads events into lanes, and takes out of the queue what was delivered.

    Args:
        queue: Which.
        lanes: Where the events go.
        poll: Seconds between two looks at a queue that had nothing more.
        settling: Seconds for which a commit is left in the queue, so that those which other
            processes made a moment before are there when the order is decided.

    Attributes:
        due: When to look again, in the event loop's time.
        exhausted: Whether the last look found the end of the queue.
        further: How many events wait behind the window, as far as they were counted.
    """

    def __init__(self, queue: Queue, lanes: Lanes, *, poll: float, settling: float) -> None:
        self.due = 0.0
        self.exhausted = False
        self.further = 0
        self._queue = queue
        self._lanes = lanes
        self._poll = poll
        self._settling = settling
        self._loaded: dict[str, Loaded] = {}
        self._young: dict[str, float] = {}
        self._delivered: list[Loaded] = []
        self._retry = 0.0
        self._counted = -_COUNT_EVERY

    async def load(self, *, at_once: bool) -> None:
        """Take events from the queue into the lanes, if there is room.

        What an operator took out of the queue meanwhile is forgotten.

        Args:
            at_once: Also what other processes may not be done with.

        Raises:
            StorageError: the queue cannot be read; what was read before that is in the lanes.
        """
        now = _now()
        self.due = now + self._poll
        self.exhausted = True
        horizon = time.time_ns() - int(self._settling * 1e9)
        counting = now - self._counted >= _COUNT_EVERY
        room = len(self._lanes) <= MOST_EVENTS // 2
        size = sum(loaded.size for loaded in self._loaded.values() if loaded.left)
        before = dict(self._loaded)
        young: dict[str, float] = {}
        found: list[Waiting] = []
        further = seen = 0
        try:
            async for segment in self._queue.segments():
                if before.pop(segment.key, None) or segment.key in self._loaded:
                    continue
                if segment.time > horizon and not at_once:
                    # By this machine's own clock: the one that named it may be far ahead.
                    first = young[segment.key] = self._young.get(segment.key, now)
                    if now - first < self._settling:
                        self.due = min(self.due, first + self._settling)
                        self.exhausted = False
                        continue
                full = len(self._lanes) + len(found) >= MOST_EVENTS or size >= MOST_BYTES
                if full or not room:
                    self.exhausted = False
                    further, seen = further + segment.events, seen + 1
                    if not before and (not counting or seen >= COUNTED):
                        break
                    continue
                size += (await self._read(segment, found)).size
            else:
                self._forget(before)
        finally:
            # Segments of several processes overlap.
            for waiting in sorted(found, key=lambda item: item.time):
                self._lanes.add(waiting)
        self._young = young
        if counting or self.exhausted:
            self.further, self._counted = further, now

    async def _read(self, segment: Segment, found: list[Waiting]) -> Loaded:
        read = await self._queue.read(segment)
        records, size = read if read is not None else ([], 0)
        loaded = self._loaded[segment.key] = Loaded(segment, size)
        for record in records:
            for event in record.events:
                found.append(Waiting(event, record.time, loaded))
                loaded.left += 1
        return loaded

    def _forget(self, gone: dict[str, Loaded]) -> None:
        """Forget segments that a whole listing did not show.

        One that it has only missed is loaded again as soon as it is shown.
        """
        for loaded in self._lanes.without([item for item in gone.values() if item.left]):
            self._loaded.pop(loaded.segment.key, None)

    async def clear(self, delivered: Iterable[Loaded] = (), *, at_once: bool = False) -> None:
        """Take segments out of the queue of which nothing is left to deliver.

        Args:
            delivered: Further ones. Those that cannot be taken out are kept in mind.
            at_once: Also if that failed a moment ago.

        Raises:
            StorageError: they are still there.
        """
        self._delivered += delivered
        if _now() < self._retry and not at_once:
            return
        while self._delivered:
            garbage = self._delivered[:_REMOVED]
            del self._delivered[:_REMOVED]
            try:
                # What a listing did not show may still be there, with more than was delivered.
                known = [loaded.segment for loaded in garbage if not loaded.gone]
                await self._queue.remove(known)
            except BaseException:
                self._delivered += garbage
                self._retry = _now() + _PAUSE
                raise
            for loaded in garbage:
                self._loaded.pop(loaded.segment.key, None)

    async def leave(self) -> None:
        """Leave the queue as the next process is to find it: without what was delivered.

        Raises:
            StorageError: some events may be delivered again.
        """
        await self.clear(at_once=True)
        left: dict[Loaded, list[Record]] = {}
        for item in self._lanes:
            if item.origin.touched and not item.origin.gone:
                left.setdefault(item.origin, []).append(Record((item.event,), item.time))
        for loaded, records in left.items():
            records.sort(key=lambda record: record.time)
            await self._queue.replace(loaded.segment, records)


def _now() -> float:
    return asyncio.get_running_loop().time()
