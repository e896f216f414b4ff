"""What waits for sinks, as commands see it; the registry may go on serving meanwhile."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyreg.content.listing import entries
from pyreg.errors import ObjectNotFound
from pyreg.hooks.events import Event
from pyreg.hooks.storage import StorageDriver
from pyreg.outbox import places
from pyreg.outbox.lease import read_state
from pyreg.outbox.queue import Queue, Segment
from pyreg.outbox.record import Record, count


@dataclass(frozen=True, slots=True)
class Overview:
    """How it stands with one sink.

    Attributes:
        name: The sink's, or the last part of its place in the store if nothing is configured.
        configured: Whether the configuration names it.
        waiting: Events in its queue.
        oldest: When the first of them was committed, in seconds since the epoch.
        dead: Its dead letters.
        state: What the process shows that delivers.
    """

    name: str
    configured: bool
    waiting: int
    oldest: float | None
    dead: int
    state: dict[str, Any] = field(default_factory=dict)


class Inspection:
    """Looks into the queues of a store, and changes them.

    Args:
        driver: An open driver.
    """

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        # As a process that puts events into queues it needs a name of its own.
        self._writer = f"0{secrets.token_hex(8)}"
        self._number = 0

    async def overviews(self, names: Sequence[str]) -> list[Overview]:
        """Every sink that is configured, and every other that something waits for."""
        configured = {places.sink(name): name for name in names}
        places_found = [*configured]
        places_found += [place async for place in self._places() if place not in configured]
        return [await self._overview(configured.get(place, ""), place) for place in places_found]

    async def waiting(self, name: str) -> AsyncIterator[tuple[Segment, Record]]:
        """What is in a queue, the oldest first."""
        queue = Queue(self._driver, name)
        async for segment in queue.segments():
            read = await queue.read(segment)
            for record in read[0] if read else ():
                yield segment, record

    async def find(self, name: str, id: str) -> Event | None:
        """An event that waits or is dead, by its id or by an unambiguous beginning of it."""
        found: dict[str, Event] = {}
        async for _, record in self.waiting(name):
            found |= {event.id: event for event in record.events if event.id.startswith(id)}
        async for _, letter in Queue(self._driver, name).dead_letters():
            if letter.event.id.startswith(id):
                found[letter.event.id] = letter.event
        return next(iter(found.values())) if len(found) == 1 else None

    async def replay(self, name: str, keys: Sequence[str]) -> int:
        """Put dead letters back into the queue, as the newest events.

        Args:
            name: The sink.
            keys: Of dead letters.

        Returns:
            How many there were.
        """
        queue = Queue(self._driver, name)
        records = {}
        for key in keys:
            letter = await queue.read_dead(key)
            if letter is not None:
                records[key] = Record((letter.event,), time.time_ns())
        if records:
            self._number = await queue.put([*records.values()], self._writer, self._number)
            await queue.forget([*records])
        return len(records)

    async def drop(self, name: str, ids: Collection[str] | None) -> int:
        """Take events out of a queue.

        One that is being tried at this very moment may still arrive.

        Args:
            name: The sink.
            ids: Which; None for all.

        Returns:
            How many there were.
        """
        queue = Queue(self._driver, name)
        dropped = 0
        async for segment in queue.segments():
            if ids is None:
                dropped += segment.events
                await queue.remove([segment])
                continue
            read = await queue.read(segment)
            records = read[0] if read else []
            kept = [left for record in records if (left := _without(record, ids))]
            if (gone := count(records) - count(kept)) > 0:
                await queue.replace(segment, kept)
                dropped += gone
        return dropped

    async def _overview(self, name: str, place: str) -> Overview:
        shown = name or place[len(places.SINKS) : -1]
        queue = Queue(self._driver, shown)
        waiting = dead = 0
        oldest: float | None = None
        async for segment in queue.segments():
            waiting += segment.events
            oldest = segment.time / 1e9 if oldest is None else oldest
        async for _ in queue.dead_keys():
            dead += 1
        state: dict[str, Any] = {}
        try:
            found = await self._driver.get(f"{place}lease")
        except ObjectNotFound:
            pass
        else:
            state = read_state(found.data) if found is not None else {}
        return Overview(shown, bool(name), waiting, oldest, dead, state)

    async def _places(self) -> AsyncIterator[str]:
        async for entry in entries(self._driver, places.SINKS, delimiter="/"):
            if entry.info is None:
                yield entry.key


def _without(record: Record, ids: Collection[str]) -> Record | None:
    events = tuple(event for event in record.events if event.id not in ids)
    return replace(record, events=events) if events else None
