"""Events on their way from a write to those who want to hear of it.

Guards are asked before the commit; observers are told after it, and sinks get the event through
a bounded queue each, so that a slow sink delays neither a client nor another sink.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from pyreg.content.journal import Caller
from pyreg.errors import Refused, RegistryError
from pyreg.hooks.events import Event, EventSink, Operation
from pyreg.participants import Participants

log = logging.getLogger("pyreg.events")

QUEUE = 10_000
"""Events that wait for one sink; when it is full, further ones are dropped and counted."""

_BATCH = 100
_LONGEST_PAUSE = 60.0  # seconds between two tries


class Outbox:
    """Tells plugins of operations; see `pyreg.content.journal.Journal`.

    Args:
        participants: The registry's plugins.
        sinks: Where events go.
        source: Address of this instance, for the events.
    """

    def __init__(
        self, participants: Participants, sinks: Sequence[EventSink], *, source: str = ""
    ) -> None:
        self._participants = participants
        self._deliveries = [_Delivery(sink) for sink in sinks]
        self._source = (source, str(uuid.uuid4()))
        self._observing: set[asyncio.Task[None]] = set()
        self.guarded = participants.has_guards
        self.wants_pulls = bool(sinks) or participants.has_observers

    def start(self) -> None:
        """Begin to deliver."""
        for delivery in self._deliveries:
            delivery.start()

    async def stop(self, patience: float = 5.0) -> None:
        """Deliver what waits, for at most `patience` seconds, and stop."""
        if self._observing:
            await asyncio.wait(self._observing, timeout=patience)
        for delivery in self._deliveries:
            await delivery.stop(patience)

    @property
    def dropped(self) -> dict[str, int]:
        """Events that found a sink's queue full, by the sink's name."""
        return {delivery.sink.name: delivery.dropped for delivery in self._deliveries}

    @asynccontextmanager
    async def writing(self, operation: Operation, caller: Caller) -> AsyncIterator[None]:
        """Surround a commit: guards before, observers and sinks after."""
        try:
            await self._participants.guard(operation, caller.identity)
        except Refused as refusal:
            raise RegistryError(refusal.code, refusal.reason, detail=refusal.detail) from refusal
        yield
        for event in self._events(operation, caller):
            self._hand_out(event)
            await self._participants.observe(event)

    def pulled(self, operation: Operation, caller: Caller) -> None:
        """Tell of a pull, in the background."""
        for event in self._events(operation, caller):
            self._hand_out(event)
            if self._participants.has_observers and len(self._observing) < QUEUE:
                task = asyncio.get_running_loop().create_task(self._participants.observe(event))
                self._observing.add(task)
                task.add_done_callback(self._observing.discard)

    def _events(self, operation: Operation, caller: Caller) -> list[Event]:
        """One event, or one for each tag of a push."""
        now = time.time()
        # A manifest is deleted once, however many tags go with it.
        whole = operation.action == "delete" and operation.kind == "manifest"
        tags = () if whole else operation.tags
        return [
            Event(
                id=str(uuid.uuid4()),
                timestamp=now,
                action=operation.action,
                kind=operation.kind,
                repository=operation.repository,
                target=operation.target,
                tag=tag,
                from_repository=operation.from_repository,
                references=operation.references,
                actor=caller.identity.name,
                request=caller.request,
                source=self._source,
            )
            for tag in tags or ("",)
        ]

    def _hand_out(self, event: Event) -> None:
        for delivery in self._deliveries:
            delivery.offer(event)


class _Delivery:
    """One sink with its queue."""

    def __init__(self, sink: EventSink) -> None:
        self.sink = sink
        self.dropped = 0
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, patience: float) -> None:
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._queue.join()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def offer(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 1000 == 0:
                log.warning(
                    "%s: %d events dropped, the queue is full", self.sink.name, self.dropped
                )

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._deliver(batch)
            for _ in batch:
                self._queue.task_done()

    async def _deliver(self, batch: Sequence[Event]) -> None:
        pause = 1.0
        while True:
            try:
                await self.sink.deliver(batch)
            except Exception as error:
                log.warning(
                    "%s: %d events not delivered, next try in %.0f s: %s",
                    self.sink.name,
                    len(batch),
                    pause,
                    error,
                )
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return
