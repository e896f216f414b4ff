# ruff: noqa: D102 - the name of a test says what it tests
"""The endpoint is away, comes back, or is lost in the middle; so is whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pyreg.hooks import Event, EventSink
from pyreg.testing.events.endpoint import Endpoint
from pyreg.testing.events.harness import (
    Harness,
    arrived,
    away,
    ids,
    ids_arrived,
    without_repetitions,
)
from pyreg.testing.events.samples import pushes

WRITERS = 4
BEFORE_THE_CRASH = 20
"""Deliveries that have succeeded when the endpoint crashes."""

TURNS = (0, 1, 2, 3, 5, 8, 13, 21)
"""After how many turns of the event loop a delivery is cancelled."""
PAUSES = (0.001, 0.003, 0.01)
"""After how many seconds it is."""


class Failure(Harness):
    """Failures of the endpoint, and cancellation."""

    async def test_what_cannot_arrive_is_a_failure(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        before, events = pushes(1), pushes(2)
        await self.deliver(sink, before)
        async with away(endpoint):
            for _ in range(3):
                await self.failure(sink.deliver(events[:1]))
                await self.failure(sink.deliver(events[: sink.batch]))
        assert await ids_arrived(endpoint, before) == ids(before)

    async def test_it_goes_on_when_the_endpoint_is_back(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        for _ in range(2):
            one, other, unheard = pushes(1), pushes(1), pushes(1)
            await self.deliver_at_last(sink, one)
            async with away(endpoint):
                await self.failure(sink.deliver(other))
            await self.deliver_at_last(sink, other)
            async with away(endpoint):
                pass  # nothing was delivered meanwhile, so the sink has not noticed
            await self.deliver_at_last(sink, unheard)
            events = [*one, *other, *unheard]
            found = await ids_arrived(endpoint, events)
            assert without_repetitions(found) == ids(events)

    async def test_it_opens_while_the_endpoint_is_away(self, endpoint: Endpoint) -> None:
        events = pushes(1)
        sink = endpoint.sink()
        async with away(endpoint):
            await self.within_patience(sink.open())
            await self.failure(sink.deliver(events))
        await self.deliver_at_last(sink, events)
        await self.within_patience(sink.close())
        assert without_repetitions(await ids_arrived(endpoint, events)) == ids(events)

    async def test_what_was_delivered_is_there_after_a_crash(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        delivered: list[list[Event]] = [[] for _ in range(WRITERS)]
        failed: list[list[Event]] = [[] for _ in range(WRITERS)]
        enough, gone = asyncio.Event(), asyncio.Event()

        async def write(number: int) -> None:
            while True:
                events = pushes(min(3, sink.batch), f"team/{number}")
                late = gone.is_set()
                try:
                    await sink.deliver(events)
                except Exception:
                    failed[number] = events
                    return
                assert not late, "it returned as if delivered, and the endpoint was away"
                delivered[number] += events
                if sum(map(len, delivered)) >= BEFORE_THE_CRASH and all(delivered):
                    enough.set()
                await asyncio.sleep(0)

        async def crash() -> None:
            await enough.wait()
            await endpoint.stop()
            gone.set()

        try:
            await self.within_patience(asyncio.gather(crash(), *map(write, range(WRITERS))))
        finally:
            if enough.is_set():
                await endpoint.start()
        for number in range(WRITERS):
            await self.deliver_at_last(sink, failed[number])
            events = delivered[number] + failed[number]
            found = await ids_arrived(endpoint, events)
            assert without_repetitions(found) == ids(events)

    async def test_a_cancelled_delivery_leaves_it_usable(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        for turns in TURNS:
            await self._cancel(endpoint, sink, _turns(turns))
            async with self.opened(endpoint) as fresh:  # it has yet to connect, maybe
                await self._cancel(endpoint, fresh, _turns(turns))
        for seconds in PAUSES:
            await self._cancel(endpoint, sink, asyncio.sleep(seconds))

    async def _cancel(self, endpoint: Endpoint, sink: EventSink, pause: Awaitable[None]) -> None:
        left = pushes(min(20, sink.batch))
        stayed, after = pushes(min(3, sink.batch)), pushes(min(3, sink.batch))
        leaving = asyncio.create_task(sink.deliver(left))
        staying = asyncio.create_task(sink.deliver(stayed))
        await pause
        leaving.cancel()
        await self.within_patience(asyncio.wait([leaving, staying]))
        await self.deliver_at_last(sink, after)
        assert without_repetitions(await ids_arrived(endpoint, after)) == ids(after)
        found = without_repetitions([each.id for each in await arrived(endpoint, left)])
        assert found == ids(left)[: len(found)], "of a cancelled delivery, the first ones arrive"
        if not leaving.cancelled():
            # It was quicker than the cancellation, or else it has lost it.
            error = leaving.exception()
            assert error is None, f"a cancelled delivery is cancelled, and not {error!r}"
            assert found == ids(left), "it returned as if delivered"
        if staying.exception() is None:
            assert await ids_arrived(endpoint, stayed) == ids(stayed), "it returned as if delivered"


async def _turns(count: int) -> None:
    """Let the event loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
