"""The part of a queue that is in memory: its oldest events, within a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from pyreg.outbox.lanes import Lanes, Loaded, Waiting
from pyreg.outbox.queue import Queue, Segment
from pyreg.outbox.record import Record

MOST_EVENTS = 4000
"""Events of a queue that are in memory."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of the segments that they come from."""

SETTLING = 200_000_000
"""Nanoseconds for which a commit is left in the queue, so that those which other processes made
a moment before are there when the order is decided."""

COUNTED = 20_000
"""Segments of a longer queue that are counted."""

_COUNT_EVERY = 10.0  # seconds


class Window:
    """Loads events into lanes, and takes out of the queue what was delivered.

    Args:
        queue: Which.
        lanes: Where the events go.
        poll: Seconds between two looks at a queue that had nothing more.

    Attributes:
        due: When to look again, in the event loop's time.
        exhausted: Whether the last look found the end of the queue.
        further: How many events wait behind the window, as far as they were counted.
    """

    def __init__(self, queue: Queue, lanes: Lanes, *, poll: float) -> None:
        self.due = 0.0
        self.exhausted = False
        self.further = 0
        self._queue = queue
        self._lanes = lanes
        self._poll = poll
        self._loaded: dict[str, Loaded] = {}
        self._delivered: list[Loaded] = []
        self._counted = -_COUNT_EVERY

    async def load(self, *, at_once: bool) -> None:
        """Take events from the queue into the lanes, if there is room.

        Args:
            at_once: Also what other processes may not be done with.

        Raises:
            StorageError: the queue cannot be read.
        """
        now = asyncio.get_running_loop().time()
        self.due = now + self._poll
        if len(self._lanes) > MOST_EVENTS // 2:
            return
        self.exhausted = True
        horizon = time.time_ns() - (0 if at_once else SETTLING)
        counting = now - self._counted >= _COUNT_EVERY
        size = sum(loaded.size for loaded in self._loaded.values())
        found: list[Waiting] = []
        further = seen = 0
        async for segment in self._queue.segments():
            if segment.key in self._loaded:
                continue
            if segment.time > horizon:
                self.due = min(self.due, now + (segment.time - horizon) / 1e9)
                self.exhausted = False
                break
            if len(self._lanes) + len(found) >= MOST_EVENTS or size >= MOST_BYTES:
                self.exhausted = False
                further, seen = further + segment.events, seen + 1
                if not counting or seen >= COUNTED:
                    break
                continue
            size += (await self._read(segment, found)).size
        if counting or self.exhausted:
            self.further, self._counted = further, now
        # Segments of several processes overlap.
        for waiting in sorted(found, key=lambda item: item.time):
            self._lanes.add(waiting)

    async def _read(self, segment: Segment, found: list[Waiting]) -> Loaded:
        read = await self._queue.read(segment)
        records, size = read if read is not None else ([], 0)
        loaded = self._loaded[segment.key] = Loaded(segment, size)
        for record in records:
            for event in record.events:
                found.append(Waiting(event, record.time, loaded))
                loaded.left += 1
        return loaded

    async def clear(self, delivered: Iterable[Loaded] = ()) -> None:
        """Take segments out of the queue of which nothing is left to deliver.

        Args:
            delivered: Further ones; they are kept in mind if it fails.

        Raises:
            StorageError: they are still there.
        """
        self._delivered += delivered
        garbage, self._delivered = self._delivered, []
        if garbage:
            try:
                await self._queue.remove([loaded.segment for loaded in garbage])
            except BaseException:
                self._delivered += garbage
                raise
            for loaded in garbage:
                self._loaded.pop(loaded.segment.key, None)

    async def forget_dropped(self) -> None:
        """Forget what an operator took out of the queue.

        Raises:
            StorageError: the queue cannot be read.
        """
        kept: set[str] = set()
        async for segment in self._queue.segments():
            kept.add(segment.key)
            if len(kept) >= MOST_EVENTS:
                return  # too many to tell; found out when fewer are left
        gone = {loaded for key, loaded in self._loaded.items() if key not in kept}
        for loaded in self._lanes.without(gone):
            self._loaded.pop(loaded.segment.key, None)

    async def leave(self) -> None:
        """Leave the queue as the next process is to find it: without what was delivered.

        Raises:
            StorageError: some events may be delivered again.
        """
        await self.clear()
        left: dict[Loaded, list[Record]] = {}
        for item in self._lanes:
            if item.origin.touched:
                left.setdefault(item.origin, []).append(Record((item.event,), item.time))
        for loaded, records in left.items():
            records.sort(key=lambda record: record.time)
            await self._queue.replace(loaded.segment, records)
