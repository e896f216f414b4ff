"""Events that wait in memory, in a lane for each repository.

The events of one repository are delivered one after the other; those of different repositories
need not wait for each other.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pyreg.hooks.events import Event
from pyreg.outbox.queue import Segment


@dataclass(eq=False, slots=True)
class Loaded:
    """A segment of a queue whose events are in the lanes.

    Attributes:
        segment: Which.
        size: Its bytes.
        left: How many of its events are still to be delivered.
        touched: Whether some of them have been.
        gone: Whether it was not in the queue any more, when that was last looked at.
    """

    segment: Segment
    size: int
    left: int = 0
    touched: bool = False
    gone: bool = False


@dataclass(eq=False, slots=True)
class Waiting:
    """An event in a lane.

    Attributes:
        event: Which.
        time: When it was committed, in nanoseconds since the epoch.
        origin: Where it is stored.
        attempts: How often it was tried.
    """

    event: Event
    time: int
    origin: Loaded
    attempts: int = 0


@dataclass(eq=False, slots=True)
class _Lane:
    """The events of a repository.

    Attributes:
        events: The first is the next.
        busy: How many of them are being delivered.
        alone: Whether the next attempt is with one event only, so that one that cannot be
            delivered does not take others along.
    """

    repository: str
    events: deque[Waiting] = field(default_factory=deque)
    busy: int = 0
    alone: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """What one delivery takes: the first events of some lanes."""

    parts: tuple[tuple[_Lane, int], ...]

    @property
    def waiting(self) -> list[Waiting]:
        """Its events, in order."""
        return [lane.events[index] for lane, taken in self.parts for index in range(taken)]


class Lanes:
    """All lanes of a sink."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[_Lane] = deque()
        self._delayed: list[tuple[float, int, _Lane]] = []
        self._turn = 0
        self._events = 0

    def __len__(self) -> int:
        """How many events there are."""
        return self._events

    def __iter__(self) -> Iterator[Waiting]:
        """All events, lane by lane."""
        for lane in self._lanes.values():
            yield from lane.events

    def add(self, waiting: Waiting) -> None:
        """Put an event at the end of its lane."""
        repository = waiting.event.repository
        lane = self._lanes.get(repository)
        if lane is None:
            lane = self._lanes[repository] = _Lane(repository)
            self._ready.append(lane)
        lane.events.append(waiting)
        self._events += 1

    def take(self, most: int, now: float) -> Batch | None:
        """Events to deliver together; None if none are ready.

        Args:
            most: How many at the most.
            now: Seconds, as for `failed`.
        """
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.append(heapq.heappop(self._delayed)[2])
        parts: list[tuple[_Lane, int]] = []
        room = most
        while self._ready and room:
            lane = self._ready[0]
            if lane.alone and parts:
                break
            self._ready.popleft()
            lane.busy = 1 if lane.alone else min(room, len(lane.events))
            parts.append((lane, lane.busy))
            room -= lane.busy
            if lane.alone:
                break
        return Batch(tuple(parts)) if parts else None

    def delivered(self, batch: Batch) -> list[Loaded]:
        """The events of a batch are where they belong.

        Returns:
            Segments of which nothing is left.
        """
        return [
            loaded
            for lane, _ in batch.parts
            for loaded in self._pop(lane, lane.busy, alone=False, ready_at=None)
        ]

    def failed(self, batch: Batch, given_up: set[str], ready_at: float) -> list[Loaded]:
        """The events of a batch were not delivered.

        Args:
            batch: Which.
            given_up: Ids of those that are not tried again; the first ones of their lanes.
            ready_at: When the lanes may be tried again.

        Returns:
            Segments of which nothing is left.
        """
        empty: list[Loaded] = []
        for lane, taken in batch.parts:
            gone = 0
            while gone < taken and lane.events[gone].event.id in given_up:
                gone += 1
            empty += self._pop(lane, gone, alone=True, ready_at=ready_at)
        return empty

    def returned(self, batch: Batch) -> None:
        """A delivery was called off; its events are as before."""
        for lane, _ in batch.parts:
            self._pop(lane, 0, alone=lane.alone, ready_at=None)

    def overdue(self, before: int, most: int) -> list[Waiting]:
        """Events at the heads of resting lanes that were committed before a moment.

        Args:
            before: In nanoseconds since the epoch.
            most: How many at the most.
        """
        found: list[Waiting] = []
        for lane in self._lanes.values():
            if not lane.busy and len(found) < most and lane.events[0].time < before:
                found.append(lane.events[0])
        return found

    def rests(self, waiting: Waiting) -> bool:
        """Whether an event is at the head of a lane of which nothing is being delivered."""
        lane = self._lanes.get(waiting.event.repository)
        return lane is not None and not lane.busy and lane.events[0] is waiting

    def drop(self, waiting: Waiting) -> list[Loaded]:
        """Take out what `overdue` gave, if it still rests at the head of its lane."""
        if not self.rests(waiting):
            return []
        lane = self._lanes[waiting.event.repository]
        lane.events.popleft()
        self._events -= 1
        if not lane.events:
            self._remove(lane)
        return _without(waiting.origin)

    def without(self, origins: Collection[Loaded]) -> list[Loaded]:
        """Take out what comes from segments that are gone, save for what is being delivered.

        Returns:
            Segments of which nothing is left; of the others, what is under way is the last.
        """
        for lane in list(self._lanes.values()):
            kept = [
                item
                for index, item in enumerate(lane.events)
                if index < lane.busy or item.origin not in origins
            ]
            self._events -= len(lane.events) - len(kept)
            lane.events = deque(kept)
            if not kept:
                self._remove(lane)
        under_way = Counter(item.origin for lane in self._lanes.values() for item in lane.events)
        for origin in origins:
            origin.gone = True
            origin.left = under_way[origin]
        return [origin for origin in origins if not origin.left]

    def _remove(self, lane: _Lane) -> None:
        del self._lanes[lane.repository]
        if lane in self._ready:
            self._ready.remove(lane)
        self._delayed = [item for item in self._delayed if item[2] is not lane]
        heapq.heapify(self._delayed)

    def wait(self, now: float) -> float | None:
        """Seconds until a lane is ready; None if none will be."""
        if self._ready:
            return 0.0
        return max(0.0, self._delayed[0][0] - now) if self._delayed else None

    def _pop(self, lane: _Lane, count: int, *, alone: bool, ready_at: float | None) -> list[Loaded]:
        empty: list[Loaded] = []
        for _ in range(count):
            empty += _without(lane.events.popleft().origin)
        self._events -= count
        lane.busy = 0
        lane.alone = alone
        if not lane.events:
            del self._lanes[lane.repository]
        elif ready_at is None:
            self._ready.append(lane)
        else:
            self._turn += 1
            heapq.heappush(self._delayed, (ready_at, self._turn, lane))
        return empty


def _without(loaded: Loaded) -> list[Loaded]:
    loaded.left -= 1
    loaded.touched = True
    return [] if loaded.left else [loaded]
