# ruff: noqa: D102 - the name of a test says what it tests
"""Everything arrives, whole and in order, also when much is done at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import deepcopy

from pyreg.hooks import Event, EventSink
from pyreg.testing.events.endpoint import Endpoint
from pyreg.testing.events.harness import (
    Harness,
    arrived,
    ids,
    ids_arrived,
    without_repetitions,
)
from pyreg.testing.events.samples import encodable, one_of_each, pushes

CROWD = 8


class Delivery(Harness):
    """An endpoint that works."""

    async def test_events_arrive_in_order(self, endpoint: Endpoint, sink: EventSink) -> None:
        events = pushes(min(10, 2 * sink.batch))
        for event in events[::2]:
            await self.deliver(sink, [event])
        for event in events[1::2]:
            await self.deliver(sink, (event,))
        assert await ids_arrived(endpoint, events) == ids([*events[::2], *events[1::2]])

    async def test_a_full_batch_arrives(self, endpoint: Endpoint, sink: EventSink) -> None:
        events = pushes(min(sink.batch, self.largest_batch))
        await self.deliver(sink, events)
        assert await ids_arrived(endpoint, events) == ids(events)

    async def test_every_kind_of_event_arrives(self, endpoint: Endpoint, sink: EventSink) -> None:
        events = one_of_each(self.references)
        for event in events:
            await self.deliver(sink, [event])
        found = await arrived(endpoint, events)
        assert [each.id for each in found] == ids(events)
        for event, each in zip(events, found, strict=True):
            assert each.action in (None, event.action)
            assert each.kind in (None, event.kind)
            assert each.repository in (None, event.repository)
            assert each.digest in (None, event.target.digest)
            assert each.tag in (None, event.tag)
            assert each.actor is None or encodable(each.actor) == encodable(event.actor)

    async def test_repeated_events_are_known_by_their_ids(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        events = pushes(6)
        for sent in (events[:3], events, events):
            for batch in batches(sent, sink.batch):
                await self.deliver(sink, batch)
        found = await ids_arrived(endpoint, events)
        assert without_repetitions(found) == ids(events)

    async def test_events_are_left_as_they_are(self, sink: EventSink) -> None:
        events = one_of_each(references=3)
        for batch in batches(events, sink.batch):
            given = list(batch)
            before = deepcopy(given)
            await self.deliver(sink, given)
            assert given == before, "a delivery changes nothing in what it is given"

    async def test_deliveries_at_once_are_not_mixed_up(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        await self._crowd(endpoint, [sink])

    async def test_two_sinks_deliver_side_by_side(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        async with self.opened(endpoint) as other:
            await self._crowd(endpoint, [sink, other])
        # The one that was closed takes nothing away from the other.
        events = pushes(1)
        await self.deliver(sink, events)
        assert await ids_arrived(endpoint, events) == ids(events)

    async def _crowd(self, endpoint: Endpoint, sinks: Sequence[EventSink]) -> None:
        """Many deliver at once; each of them one batch after the other, as for a repository."""
        repositories = [pushes(12, f"team/{number}") for number in range(CROWD)]

        async def deliver_all(sink: EventSink, events: Sequence[Event]) -> None:
            for batch in batches(events, min(3, sink.batch)):
                await self.deliver(sink, batch)

        async with asyncio.TaskGroup() as crowd:
            for number, events in enumerate(repositories):
                crowd.create_task(deliver_all(sinks[number % len(sinks)], events))
        for events in repositories:
            assert await ids_arrived(endpoint, events) == ids(events)


def batches(events: Sequence[Event], size: int) -> list[Sequence[Event]]:
    """Events in deliveries of at most `size`."""
    return [events[start : start + size] for start in range(0, len(events), size)]
