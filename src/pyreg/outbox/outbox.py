"""`Outbox`: the registry's side of events; see the package's text for the way of one."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pyreg.content.committed import committed
from pyreg.content.journal import Caller, Intent
from pyreg.errors import (
    ObjectNotFound,
    PluginError,
    Refused,
    RegistryError,
    StorageError,
    StorageUnavailable,
)
from pyreg.hooks.events import Event, EventSink, Kind, Operation, Subscription
from pyreg.hooks.metrics import Metric
from pyreg.hooks.storage import StorageDriver
from pyreg.outbox import places
from pyreg.outbox.adopter import Adopter
from pyreg.outbox.dispatcher import Dispatcher
from pyreg.outbox.filters import Filter, unreferenced
from pyreg.outbox.intents import Intents, Write
from pyreg.outbox.lease import Lease, read_state
from pyreg.outbox.patience import in_a_row, jittered
from pyreg.outbox.pulls import Pulls
from pyreg.outbox.queue import Queue
from pyreg.outbox.queues import Queues, Route
from pyreg.outbox.record import Record
from pyreg.participants import Participants

log = logging.getLogger("pyreg.events")

SILENCE = 15.0
"""Seconds after which a process without a sign of life counts as dead."""

LOCAL, ELSEWHERE = (0.2, 0.2), (1.0, 1.0)
"""Seconds between two looks at an empty queue, and for which events wait for those of other
processes: where storage is on this machine, and elsewhere."""

ANSWER = 2.0
"""Seconds in which the health report says how sinks are."""

BEHIND = 10_000
"""Writes whose events do not come to the queues, until further writes are refused."""

OBSERVED = 10_000
"""Pulls that observers are told of at once."""


class _Unheard:
    """The intent of a write that nobody wants to hear of."""

    async def recorded(self) -> None:
        """Nothing is recorded."""


class Outbox:
    """Tells plugins of operations; see `pyreg.content.journal.Journal`.

    Args:
        participants: The registry's plugins.
        sinks: Where events go.
        driver: Where they are kept until they arrive.
        subscriptions: What the sinks hear of, by their names; one that is missing hears of all.
        source: Address of this instance, for the events.
        silence: Seconds after which a process without a sign of life counts as dead.

    Raises:
        PluginError: two sinks have one name.
    """

    def __init__(
        self,
        participants: Participants,
        sinks: Sequence[EventSink],
        driver: StorageDriver,
        *,
        subscriptions: Mapping[str, Subscription] | None = None,
        source: str = "",
        silence: float = SILENCE,
    ) -> None:
        self._participants = participants
        self._driver = driver
        self._source = (source, str(uuid.uuid4()))
        self._silence = silence
        self._observing: set[asyncio.Task[None]] = set()
        self._looking: set[asyncio.Task[None]] = set()
        found = subscriptions or {}
        self._sinks = [(sink, found.get(sink.name, Subscription())) for sink in sinks]
        names = [sink.name for sink in sinks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise PluginError(f"two event sinks are called {', '.join(sorted(twice))}")
        # They only grow, also when the registry is stopped and started again.
        self._accepted: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        self._keeps_references = any(item.references for _, item in self._sinks)
        self._pulls = [
            (Filter(subscription), Pulls(sink, subscription))
            for sink, subscription in self._sinks
            if Filter(subscription).hears_of("pull")
        ]
        self._set_up()
        self.guarded = participants.has_guards
        self.wants_pulls = bool(self._pulls) or participants.has_observers
        self.wants_references = participants.has_observers or any(
            subscription.references and Filter(subscription).hears_of("pull")
            for _, subscription in self._sinks
        )

    def _set_up(self) -> None:
        """Become a process that nobody has heard of yet."""
        driver, silence = self._driver, self._silence
        self._intents = Intents(driver, silence=silence)
        self._routes = [
            Route(Filter(subscription), queue, self._dispatcher(sink, subscription, queue))
            for sink, subscription in self._sinks
            for queue in [Queue(driver, sink.name)]
        ]
        self._queues = Queues(self._routes, self._intents.writer, self._accepted)
        self._adopter = Adopter(driver, self._queues, self._intents.writer, silence=silence)

    def _dispatcher(self, sink: EventSink, subscription: Subscription, queue: Queue) -> Dispatcher:
        lease = Lease(
            self._driver,
            places.lease(sink.name),
            self._intents.writer,
            silence=self._silence,
        )
        poll, settling = LOCAL if self._driver.capabilities.local else ELSEWHERE
        return Dispatcher(
            sink,
            subscription,
            queue,
            lease,
            poll=poll,
            settling=settling,
            counts=self._counts[sink.name],
        )

    async def start(self) -> None:
        """Begin to deliver.

        Raises:
            Exception: whatever keeps a sink from opening.
        """
        self._set_up()
        for sink, _ in self._sinks:
            await sink.open()
        for route in self._routes:
            route.dispatcher.start()
        if self._routes:
            self._adopter.start()

    async def stop(self, patience: float = 5.0) -> None:
        """Deliver what waits, for at most some `patience` seconds, and stop.

        What is not delivered stays in the store; pulls do not.
        """
        end = asyncio.get_running_loop().time() + patience

        def left() -> float:
            return max(0.05, end - asyncio.get_running_loop().time())

        if background := self._observing | self._looking:
            await asyncio.wait(background, timeout=left())
        for task in background:
            task.cancel()  # whoever comes next looks again
        await self._adopter.stop()
        await self._queues.stop(left())
        await asyncio.gather(
            *(route.dispatcher.stop(left()) for route in self._routes),
            *(pulls.stop(left()) for _, pulls in self._pulls),
        )
        await self._intents.stop(left())
        for sink, _ in self._sinks:
            await self._close(sink, patience)

    async def _close(self, sink: EventSink, patience: float) -> None:
        """Close a sink; the others, and the storage, have to be closed all the same."""
        closing = asyncio.create_task(sink.close())
        await asyncio.wait([closing], timeout=patience)
        if not closing.done():
            closing.cancel()
            log.error("%s does not close", sink.name)
        elif not closing.cancelled() and (error := closing.exception()) is not None:
            log.error("%s does not close in order", sink.name, exc_info=error)

    # -- operations ----------------------------------------------------------------------

    @asynccontextmanager
    async def writing(self, operation: Operation, caller: Caller) -> AsyncIterator[Intent]:
        """Surround a commit: guards before, observers and sinks after."""
        try:
            await self._participants.guard(operation, caller.identity)
        except Refused as refusal:
            raise RegistryError(refusal.code, refusal.reason, detail=refusal.detail) from refusal
        record = self._record(operation, caller)
        if not self._queues.wants(record):
            yield _Unheard()
        else:
            if len(self._queues) >= BEHIND:
                raise StorageUnavailable("too many events wait for the storage")
            heard = record if self._keeps_references else unreferenced(record)
            write = await self._intents.begin(heard)
            try:
                yield write
            except BaseException:
                if write.visible:
                    self._look(write)
                else:
                    write.settle()
                raise
            write.record = replace(heard, time=time.time_ns())
            try:
                await write.committed()
            finally:
                self._queues.add(write.record, write)
        for event in record.events:
            await self._participants.observe(event)

    def pulled(self, operation: Operation, caller: Caller) -> None:
        """Tell of a pull, in the background."""
        record = self._record(operation, caller)
        for wanted, pulls in self._pulls:
            for found in wanted.apply([record]):
                for event in found.events:
                    pulls.offer(event)
        for event in record.events:
            if self._participants.has_observers and len(self._observing) < OBSERVED:
                task = asyncio.get_running_loop().create_task(self._participants.observe(event))
                self._observing.add(task)
                task.add_done_callback(self._observing.discard)

    def _look(self, write: Write) -> None:
        """Find out, in the background, how far a write has come that failed or was cancelled."""
        task = asyncio.get_running_loop().create_task(self._find_out(write))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _find_out(self, write: Write) -> None:
        pause = 0.5
        while True:
            try:
                events = tuple(
                    [event for event in write.record.events if await committed(self._driver, event)]
                )
            except StorageError as error:
                log.warning("it cannot be told yet whether a write has happened: %s", error)
            except Exception:
                log.exception("it cannot be told whether a write has happened")
            else:
                break
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, self._silence)
        if events:
            self._queues.add(Record(events, time.time_ns()), write)
        else:
            write.settle()

    def _record(self, operation: Operation, caller: Caller) -> Record:
        """One event, or one for each tag of a push, or of a manifest that is deleted."""
        kind = operation.kind
        told: list[tuple[Kind, str]] = [(kind, tag) for tag in operation.tags]
        if operation.action == "delete" and kind == "manifest":
            told = [(kind, ""), *(("tag", tag) for tag in operation.tags)]
        now = time.time_ns()
        events = tuple(
            Event(
                id=str(uuid.uuid4()),
                timestamp=now / 1e9,
                action=operation.action,
                kind=kind,
                repository=operation.repository,
                target=operation.target,
                tag=tag,
                from_repository=operation.from_repository,
                references=operation.references,
                actor=caller.identity.name,
                request=caller.request,
                source=self._source,
            )
            for kind, tag in told or [(kind, "")]
        )
        return Record(events, now)

    # -- how it goes ---------------------------------------------------------------------

    async def notes(self) -> dict[str, str]:
        """What the health report tells of each sink.

        Anybody may read it: it has no addresses, and nothing that sinks or services have said.
        """
        names = [sink.name for sink, _ in self._sinks]
        found = await asyncio.gather(*map(self._state, names))
        pairs = zip(names, found, strict=True)
        return {f"notifications.{name}": _sentence(state) for name, state in pairs}

    async def _state(self, name: str) -> Mapping[str, Any] | None:
        """What the process shows that delivers; None if the storage does not tell."""
        try:
            async with asyncio.timeout(ANSWER):
                found = await self._driver.get(places.lease(name))
        except ObjectNotFound:
            return {}
        except (StorageError, TimeoutError):
            return None
        return read_state(found.data) if found is not None else {}

    def metrics(self) -> Iterable[Metric]:
        """Figures under the Docker registry's names; each process counts what it does."""
        events: list[tuple[Mapping[str, str], float]] = []
        pending: list[tuple[Mapping[str, str], float]] = []
        pulls = {pulls.name: pulls for _, pulls in self._pulls}
        for route in self._routes:
            name = route.queue.name
            counts = route.dispatcher.counts.copy()
            counts["Events"] += self._queues.accepted[name]
            waiting = route.dispatcher.pending
            if name in pulls:
                counts["Events"] += pulls[name].accepted
                counts["Successes"] += pulls[name].delivered
                counts["Dropped"] += pulls[name].dropped
                waiting += len(pulls[name])
            kinds = ("Events", "Successes", "Failures", "Errors", "Dead", "Dropped")
            events += [({"type": kind, "endpoint": name}, float(counts[kind])) for kind in kinds]
            pending.append(({"endpoint": name}, float(waiting)))
        if events:
            yield Metric(
                "registry_notifications_events_total",
                "counter",
                "Events by what became of them.",
                tuple(events),
            )
            yield Metric(
                "registry_notifications_pending_total",
                "gauge",
                "Events that wait, as far as this process delivers them.",
                tuple(pending),
            )
        for sink, _ in self._sinks:
            yield from sink.metrics()


def _sentence(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "the storage does not tell"
    if not state:
        return "nothing was delivered yet"
    waiting = state.get("pending", 0)
    text = f"{waiting} event{'' if waiting == 1 else 's'} waiting" if waiting else "well"
    if failures := state.get("failures"):
        text += f", {in_a_row(failures)}; the log and `pyreg events list` say more"
    return text
