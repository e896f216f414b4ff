"""What this process is about to write, on stable storage until its events are in the queues."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import socket
import time
from functools import partial

from pyreg.errors import StorageError, StorageUnavailable
from pyreg.hooks.storage import StorageDriver
from pyreg.outbox import places
from pyreg.outbox.groups import GroupWriter, Line
from pyreg.outbox.process import this_process
from pyreg.outbox.record import Record

log = logging.getLogger("pyreg.events")

BEATS = 3
"""Heartbeats in the time after which a silent process counts as dead."""


class Write:
    """The intent of one write; see `pyreg.content.journal.Intent`.

    Attributes:
        record: Its events.
        visible: Whether something may have become visible.
    """

    __slots__ = ("_intents", "_line", "_mark", "record", "visible")

    def __init__(self, intents: Intents, record: Record, line: Line) -> None:
        self._intents = intents
        self._line = line
        self._mark: Line | None = None
        self.record = record
        self.visible = False

    async def recorded(self) -> None:
        """See `pyreg.content.journal.Intent.recorded`."""
        await self._line.written()
        await self._keep()
        self.visible = True

    async def _keep(self) -> None:
        """Record it again, if this process stood still: others may have thrown it away."""
        if self._intents.lapsed:
            await self._intents.show()
            self._line.release()
            self._line = self._intents.line(self.record)
            await self._line.written()

    async def committed(self) -> None:
        """Note that it has happened: from now on nobody has to look whether it has.

        What was deleted again a moment later, by a request to another process, could not be
        found by looking.
        """
        try:
            await self._keep()
            self._mark = self._intents.mark(self.record)
            await self._mark.written()
        except StorageError as error:
            log.warning("a write is not marked as committed: %s", error)

    def settle(self) -> None:
        """Its events are where they belong, or it has not happened."""
        self._line.release()
        if self._mark is not None:
            self._mark.release()
        self._intents.settled()


class Intents:
    """The intents of this process.

    Args:
        driver: Where they are kept.
        silence: Seconds without a heartbeat after which others take this process for dead.

    Attributes:
        writer: Names the process, and changes at every start.
    """

    def __init__(self, driver: StorageDriver, *, silence: float) -> None:
        self.writer = f"{time.time_ns():x}{secrets.token_hex(4)}"
        self._driver = driver
        self._silence = silence
        self._shown = -math.inf
        self._showing = asyncio.Lock()
        self._lines = GroupWriter(driver, partial(places.intent, self.writer), durable=True)
        self._marks = GroupWriter(driver, partial(places.commit, self.writer), durable=False)
        self._beating: asyncio.Task[None] | None = None
        self._under_way = 0
        self._stopped = False

    async def begin(self, record: Record) -> Write:
        """Begin to record that a write is meant to be.

        Raises:
            StorageError: nothing can be recorded.
        """
        # Before the first intent: those of a process that shows no sign of life are taken over
        # at once.
        await self.show()
        if self._stopped:
            raise StorageUnavailable("the registry stops")
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
        self._under_way += 1
        return Write(self, record, self.line(record))

    @property
    def lapsed(self) -> bool:
        """Whether others may take this process for dead."""
        return asyncio.get_running_loop().time() - self._shown > self._silence

    async def show(self) -> None:
        """Give a sign of life, unless another write just has.

        Raises:
            StorageError: it cannot be written.
        """
        async with self._showing:
            if self.lapsed:
                await self._show()

    def line(self, record: Record) -> Line:
        """Begin to write a record."""
        return self._lines.add(record.encode())

    def mark(self, record: Record) -> Line:
        """Begin to write that a record is committed."""
        return self._marks.add(json.dumps([record.id, record.time]).encode("ascii"))

    def settled(self) -> None:
        """One of the writes is settled."""
        self._under_way -= 1

    async def stop(self, patience: float) -> None:
        """Leave what is not settled to another process; takes about `patience` seconds at most."""
        self._stopped = True
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        await self._lines.stop(patience / 2)
        await self._marks.stop(patience / 2)
        if self._under_way:
            log.warning("%d writes are left for another process to tell of", self._under_way)
        try:
            async with asyncio.timeout(patience):
                await self._driver.delete(places.alive(self.writer), durable=False)
        except (StorageError, TimeoutError) as error:
            log.warning("%s is left behind: %s", places.alive(self.writer), error)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._silence / BEATS)
            try:
                await self._show()
            except StorageError as error:
                log.warning("others may take this process for dead: %s", error)

    async def _show(self) -> None:
        began = asyncio.get_running_loop().time()
        shown = {"host": socket.gethostname(), "process": this_process(), "time": time.time()}
        data = json.dumps(shown).encode("ascii")
        await self._driver.put(places.alive(self.writer), data, durable=False)
        self._shown = began
