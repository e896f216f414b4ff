"""Empties the queue of one sink, while this process has its lease."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pyreg.errors import StorageError
from pyreg.hooks.events import DeliveryFailed, EventSink, Subscription
from pyreg.outbox.lanes import Batch, Lanes, Waiting
from pyreg.outbox.lease import Lease, LeaseLost
from pyreg.outbox.patience import Circuit, called_off, in_a_row, jittered, pause
from pyreg.outbox.queue import DeadLetter, Queue
from pyreg.outbox.window import Window

log = logging.getLogger("pyreg.events")

LEAVING = 5.0
"""Seconds in which the queue is left in order, when another process is to go on."""

CANCELLING = 1.0
"""Seconds that a delivery has to end when it is called off."""

_MOST_OVERDUE = 200  # events that are given up in one go


class Dispatcher:
    """Delivers what is in a queue.

    Args:
        sink: Where to.
        subscription: How patiently.
        queue: What.
        lease: Who does it.
        poll: Seconds between two looks at an empty queue.
        settling: See `Window`.
        counts: Gone on with: how many events were delivered (`Successes`), how many deliveries
            of one failed because the other side said so (`Failures`) or could not be reached
            (`Errors`), and how many were given up (`Dead`).
    """

    def __init__(
        self,
        sink: EventSink,
        subscription: Subscription,
        queue: Queue,
        lease: Lease,
        *,
        poll: float,
        settling: float,
        counts: Counter[str],
    ) -> None:
        self.sink = sink
        self.counts = counts
        self._subscription = subscription
        self._most = subscription.batch or sink.batch
        self._queue = queue
        self._lease = lease
        self._poll, self._settling = poll, settling
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self._set_up()

    def _set_up(self) -> None:
        """Begin with an empty memory."""
        self._lanes = Lanes()
        self._window = Window(self._queue, self._lanes, poll=self._poll, settling=self._settling)
        self._circuit = Circuit(self._subscription, _now)
        self._error = ""

    def start(self) -> None:
        """Begin to deliver, as soon as the lease is free."""
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._giving_up = asyncio.Lock()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Something was put into the queue."""
        if self._task is not None:
            self._wake.set()

    async def stop(self, patience: float) -> None:
        """Deliver what is there, for at most `patience` seconds; the rest stays in the queue."""
        if self._task is None:
            return
        self._stopping.set()
        self._wake.set()
        await asyncio.wait([self._task], timeout=patience)
        await _ended([self._task], seconds=LEAVING + CANCELLING)
        self._task = None

    @property
    def pending(self) -> int:
        """Events that wait, as far as this process knows."""
        return len(self._lanes) + self._window.further

    @property
    def state(self) -> dict[str, Any]:
        """How it goes, for whoever asks another process."""
        return {
            "pending": self.pending,
            "failures": self._circuit.failures,
            "rest": round(self._circuit.wait, 3),
            "error": self._error,
            "time": time.time(),
        }

    async def _run(self) -> None:
        while True:
            try:
                if await self._lease.acquire():
                    self._trouble = ""
                    await self._hold()
                    log.debug("%s: another process delivers from now on", self.sink.name)
            except StorageError as error:
                known, self._trouble = self._trouble, str(error)
                level = logging.DEBUG if known == self._trouble else logging.WARNING
                log.log(level, "%s: nobody can deliver now: %s", self.sink.name, error)
            except Exception:
                log.exception("%s: deliveries broke off, and begin anew", self.sink.name)
            if self._leaving:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(jittered(self._lease.interval)):
                    await self._stopping.wait()

    async def _hold(self) -> None:
        """Deliver until the lease is lost, or there is nothing more to do before the end."""
        renewing = asyncio.create_task(self._renew())
        delivering: set[asyncio.Task[None]] = set()
        try:
            while not (renewing.done() or self._lease.expired or self._finished(delivering)):
                if self._wake.is_set() or _now() >= self._window.due:
                    self._wake.clear()
                    await self._look()
                self._begin(delivering)
                await self._pause(renewing, delivering)
                for task in [task for task in delivering if task.done()]:
                    delivering.discard(task)
                    task.result()
            if renewing.done():
                renewing.result()
        finally:
            await _ended([renewing, *delivering])
            await asyncio.shield(self._leave())
            self._set_up()

    async def _look(self) -> None:
        try:
            await self._window.load(at_once=self._leaving)
        except StorageError as error:
            log.warning("%s: the queue cannot be read: %s", self.sink.name, error)

    def _finished(self, delivering: set[asyncio.Task[None]]) -> bool:
        if not self._leaving or delivering:
            return False
        return self._circuit.failures > 0 or (self._window.exhausted and not len(self._lanes))

    async def _renew(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lease.interval):
                    await self._changed.wait()  # so that operators see it soon
            self._changed.clear()
            try:
                async with asyncio.timeout(self._lease.interval):
                    await self._lease.renew(self.state)
            except LeaseLost:
                log.warning("%s: another process has taken over", self.sink.name)
                return
            except (StorageError, TimeoutError) as error:
                log.warning("%s: the lease is not renewed: %r", self.sink.name, error)
                if self._lease.expired:
                    return

    async def _leave(self) -> None:
        """Leave the queue as the next process is to find it."""
        if self._lease.expired:
            return
        try:
            async with asyncio.timeout(LEAVING):
                try:
                    await self._window.leave()
                finally:
                    await self._lease.release(self.state)
        except (StorageError, TimeoutError) as error:
            log.warning("%s: some events may be delivered again: %r", self.sink.name, error)

    @property
    def _at_once(self) -> int:
        """Deliveries that may be under way: after a failure one, until one succeeds."""
        return 1 if self._circuit.failures else self._subscription.concurrency

    # -- deliveries ----------------------------------------------------------------------

    def _begin(self, delivering: set[asyncio.Task[None]]) -> None:
        """Begin as many deliveries as may be under way."""
        while len(delivering) < self._at_once and not self._circuit.wait:
            batch = self._lanes.take(self._most, _now())
            if batch is None:
                return
            delivering.add(asyncio.create_task(self._deliver(batch)))

    async def _pause(
        self, renewing: asyncio.Task[None], delivering: set[asyncio.Task[None]]
    ) -> None:
        """Return when there may be something to do."""
        now = _now()
        waits = [self._window.due - now]
        ready = self._lanes.wait(now)
        if ready is not None and len(delivering) < self._at_once:
            waits.append(max(ready, self._circuit.wait))
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait(
                {renewing, *delivering, waking},
                timeout=max(0.0, min(waits)),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waking.cancel()

    async def _deliver(self, batch: Batch) -> None:
        lanes = self._lanes
        try:
            failure = await self._attempt(batch)
        except asyncio.CancelledError:
            if lanes is self._lanes:
                lanes.returned(batch)
            raise
        if lanes is not self._lanes:
            return  # it did not end when it was called off; somebody else goes on
        if failure is not None:
            await self._failed(batch, failure)
            return
        if self._circuit.open:
            log.info("%s: deliveries succeed again", self.sink.name)
            self._changed.set()
        self._circuit.succeeded()
        self._error = ""
        self.counts["Successes"] += len(batch.waiting)
        with suppress(StorageError):  # tried again with the next ones
            await self._window.clear(lanes.delivered(batch))

    async def _attempt(self, batch: Batch) -> DeliveryFailed | None:
        """Deliver once. Returns what went wrong."""
        events = [item.event for item in batch.waiting]
        try:
            async with asyncio.timeout(self._subscription.timeout or None):
                await self.sink.deliver(events)
        except asyncio.CancelledError as error:
            if called_off(error):
                raise
            reason = "the sink itself called it off"
        except DeliveryFailed as failure:
            self.counts["Failures"] += len(events)
            return failure
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, TimeoutError) and self._subscription.timeout:
                reason = f"no answer within {self._subscription.timeout:g} s"
        else:
            return None
        self.counts["Errors"] += len(events)
        return DeliveryFailed(reason)

    async def _failed(self, batch: Batch, failure: DeliveryFailed) -> None:
        # Those of this delivery: if it does not end when it is called off, there are others then.
        lanes, window = self._lanes, self._window
        waiting = batch.waiting
        was_open = self._circuit.open
        if not failure.permanent:  # what is wrong with these events says nothing of the sink
            self._circuit.failed(failure.retry_after)
        self._error = failure.reason
        if self._circuit.open and not was_open:
            self._changed.set()
        for item in waiting:
            item.attempts += 1
        self._tell(waiting, failure, was_open=was_open)
        given_up: set[str] = set()
        for item in waiting:
            if not self._is_hopeless(item, failure, alone=len(waiting) == 1):
                break
            if not await self._bury(item, failure.reason):
                break
            given_up.add(item.event.id)
        wait = max(pause(waiting[0].attempts, self._subscription), failure.retry_after or 0.0)
        done = lanes.failed(batch, given_up, _now() + wait)
        with suppress(StorageError):  # tried again with the next ones
            await window.clear(done)
            if self._circuit.open and lanes is self._lanes:
                await self._give_up_overdue()

    def _is_hopeless(self, item: Waiting, failure: DeliveryFailed, *, alone: bool) -> bool:
        most, oldest = self._subscription.max_attempts, self._subscription.max_age
        if alone and (failure.permanent or (most and item.attempts >= most)):
            return True
        return bool(oldest) and time.time_ns() - item.time > oldest * 1e9

    async def _give_up_overdue(self) -> None:
        """Give up what became too old while the sink did not answer."""
        if self._subscription.max_age:
            before = time.time_ns() - int(self._subscription.max_age * 1e9)
            async with self._giving_up:  # other deliveries may fail at the same moment
                for item in self._lanes.overdue(before, _MOST_OVERDUE):
                    if self._lanes.rests(item) and await self._bury(item, self._error):
                        await self._window.clear(self._lanes.drop(item))

    async def _bury(self, item: Waiting, reason: str) -> bool:
        try:
            await self._queue.bury(DeadLetter(item.event, reason, item.attempts, item.time))
        except StorageError as error:
            log.warning("%s: a dead letter is not kept yet: %s", self.sink.name, error)
            return False
        self.counts["Dead"] += 1
        log.error(
            "%s: event %s is given up after %d attempts: %s; it can be sent again with "
            "`pyreg events replay`",
            self.sink.name, item.event.id, item.attempts, reason,
        )  # fmt: skip
        return True

    def _tell(self, waiting: Sequence[Waiting], failure: DeliveryFailed, *, was_open: bool) -> None:
        """Say what failed, without saying the same again and again."""
        if self._circuit.open:
            level = logging.DEBUG if was_open else logging.ERROR
            log.log(
                level,
                "%s: %s, next try in %.1f s: %s",
                self.sink.name, in_a_row(self._circuit.failures), self._circuit.wait,
                failure.reason,
            )  # fmt: skip
        else:
            count = len(waiting)
            log.warning("%s: %d events not delivered: %s", self.sink.name, count, failure.reason)

    @property
    def _leaving(self) -> bool:
        return self._stopping.is_set()


async def _ended(tasks: Sequence[asyncio.Task[None]], seconds: float = CANCELLING) -> None:
    """Cancel tasks, and return when they have ended, or do not want to."""
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=seconds)
    if left:
        log.error("%d deliveries do not end when they are called off", len(left))


def _now() -> float:
    return asyncio.get_running_loop().time()
