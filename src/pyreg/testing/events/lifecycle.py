# ruff: noqa: D102 - the name of a test says what it tests
"""Opening and closing: again, in another event loop, and without leaving anything behind."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from dataclasses import dataclass
from typing import Any

from pyreg.hooks import Event, EventSink
from pyreg.testing.events.endpoint import Endpoint
from pyreg.testing.events.harness import Harness, away, ids, ids_arrived
from pyreg.testing.events.samples import pushes

CROWD = 4


class Lifecycle(Harness):
    """From the making of a sink to its end."""

    async def test_it_has_a_name_and_a_batch(self, endpoint: Endpoint) -> None:
        sink = endpoint.sink()
        name, batch = sink.name, sink.batch
        assert isinstance(name, str)
        assert name == name.strip() != ""
        assert type(batch) is int
        assert batch >= 1
        await self.within_patience(sink.open())
        await self.deliver(sink, pushes(1))
        async with away(endpoint):
            await self.failure(sink.deliver(pushes(1)))
        await self.within_patience(sink.close())
        # By its name the registry knows, also after a restart, what is still to be delivered.
        for each in (sink, endpoint.sink()):
            assert (each.name, each.batch) == (name, batch)

    async def test_it_can_be_closed_at_any_time(self, endpoint: Endpoint) -> None:
        never_opened, never_used, used = endpoint.sink(), endpoint.sink(), endpoint.sink()
        await self.within_patience(never_opened.close())
        await self.within_patience(never_used.open())
        await self.within_patience(used.open())
        await self.deliver(used, pushes(1))
        for sink in (never_used, used):
            await self.within_patience(sink.close())
            await self.within_patience(sink.close())

    async def test_it_can_be_opened_again(self, endpoint: Endpoint) -> None:
        sink = endpoint.sink()
        events = pushes(3)
        for event in events:
            await self.within_patience(sink.open())
            await self.deliver(sink, [event])
            await self.within_patience(sink.close())
        assert await ids_arrived(endpoint, events) == ids(events)

    async def test_it_works_in_another_event_loop(self, endpoint: Endpoint) -> None:
        # Made where there is no event loop at all.
        sink = await asyncio.to_thread(endpoint.sink)
        events = pushes(4 * CROWD)
        for number in range(4):
            part = events[number * CROWD : (number + 1) * CROWD]
            if number % 2:
                await self._session(sink, part)
            else:
                await asyncio.to_thread(asyncio.run, self._session(sink, part))
        assert sorted(await ids_arrived(endpoint, events)) == sorted(ids(events))

    async def test_nothing_runs_on_after_closing(self, endpoint: Endpoint) -> None:
        before = Running.now()
        sink = endpoint.sink()
        await self._session(sink, pushes(CROWD))
        await self._nothing_left(before)

        before = Running.now()
        await self.within_patience(sink.open())
        leaving = asyncio.create_task(sink.deliver(pushes(sink.batch)))
        await asyncio.sleep(0)
        leaving.cancel()
        await self.within_patience(asyncio.wait([leaving]))
        async with away(endpoint):
            await self.failure(sink.deliver(pushes(1)))
            await self.within_patience(sink.close())
            await self._nothing_left(before)

    async def _session(self, sink: EventSink, events: list[Event]) -> None:
        """Open, deliver all of them at once, close."""
        await self.within_patience(sink.open())
        await asyncio.gather(*(self.deliver(sink, [event]) for event in events))
        await self.within_patience(sink.close())

    async def _nothing_left(self, before: Running) -> None:
        """Wait until nothing runs that did not run before: an endpoint in this process, too,
        needs a moment to see that a connection has ended."""
        deadline = asyncio.get_running_loop().time() + self.patience
        while left := Running.now().beyond(before):
            assert asyncio.get_running_loop().time() < deadline, f"left behind by a sink: {left}"
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Running:
    """What runs in this process.

    Attributes:
        tasks: Of this event loop.
        threads: Without those of pools that belong to the event loop.
        sockets: By their file descriptors and inodes.
    """

    tasks: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    sockets: frozenset[tuple[int, int]]

    @classmethod
    def now(cls) -> Running:
        """What runs at this moment."""
        threads = [each for each in threading.enumerate() if not each.name.startswith(_POOLS)]
        return cls(frozenset(asyncio.all_tasks()), frozenset(threads), frozenset(_sockets()))

    def beyond(self, before: Running) -> list[str]:
        """What has not run before, in words."""
        new: list[object] = [
            *(self.tasks - before.tasks),
            *(self.threads - before.threads),
            *(f"socket {number}" for number, _ in self.sockets - before.sockets),
        ]
        return [str(each) for each in new]


_POOLS = ("asyncio_", "AnyIO worker thread")


def _sockets() -> list[tuple[int, int]]:
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # it was the directory itself
        if stat.S_ISSOCK(status.st_mode):
            found.append((int(name), status.st_ino))
    return found
