"""Goes through what dead processes have left: which of their writes have happened?"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from pyreg.content.committed import committed
from pyreg.content.listing import entries
from pyreg.errors import ObjectNotFound, PreconditionFailed, StorageError
from pyreg.hooks.storage import ABSENT, ANY, Condition, Match, StorageDriver
from pyreg.outbox import places
from pyreg.outbox.lease import read_state
from pyreg.outbox.patience import jittered
from pyreg.outbox.process import has_ended, this_process
from pyreg.outbox.queues import Queues
from pyreg.outbox.record import Record, decode_all

log = logging.getLogger("pyreg.events")


_TOGETHER = 500  # records that come to the queues together


class Adopter:
    """Takes over the intents of processes that show no sign of life.

    As with a lease, no clocks are compared: a process is dead when its heartbeat was not seen
    to change for `silence` seconds, or when it is seen to have ended. To take one for dead that
    lives costs nothing but events that come twice, under the same id.

    Args:
        driver: Where the intents and the registry's content are.
        queues: Where the events go.
        writer: Names this process.
        silence: Seconds.
    """

    def __init__(
        self, driver: StorageDriver, queues: Queues, writer: str, *, silence: float
    ) -> None:
        self._driver = driver
        self._queues = queues
        self._writer = writer
        self._silence = silence
        self._seen: dict[str, tuple[object, float]] = {}
        self._damaged: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop at once: another process goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except StorageError as error:
                log.warning("what other processes have left is not looked at: %s", error)
            except Exception:
                log.exception("what other processes have left cannot be told")
            await asyncio.sleep(jittered(self._silence / 2))

    async def look(self) -> None:
        """Look for dead processes once, and take over what they have left.

        Raises:
            StorageError: the store does not answer.
        """
        writers = {writer async for writer in self._writers()} - {self._writer}
        for known in set(self._seen) - writers:
            del self._seen[known]
        for writer in sorted(writers - self._damaged):
            claim = await self._claim(writer)
            if claim is not None:
                try:
                    await self._adopt(writer, claim)
                except PreconditionFailed:
                    # It lives, or another process was faster; what was told is told again, at
                    # the most.
                    log.info("what %s has left is not taken over", writer)

    async def _writers(self) -> AsyncIterator[str]:
        async for entry in entries(self._driver, places.WRITERS, delimiter="/"):
            if entry.info is None:
                yield entry.key[len(places.WRITERS) : -1]

    async def _claim(self, writer: str) -> _Claim | None:
        """Become the one who takes over; None if the process lives, or another was faster."""
        now = asyncio.get_running_loop().time()
        condition: Condition
        try:
            found = await self._driver.get(places.alive(writer))
        except ObjectNotFound:  # it has stopped in order, or was taken over halfway
            condition = ABSENT
        else:
            assert found is not None
            sign = (found.info.etag, found.data)
            known = self._seen.get(writer)
            if known is None or known[0] != sign:
                known = self._seen[writer] = (sign, now)
            ended = has_ended(read_state(found.data).get("process"))
            if now - known[1] < self._silence and not ended:
                return None
            condition = ANY if found.info.etag is None else Match(found.info.etag)
        claim = _Claim(self._driver, places.alive(writer), self._writer, condition)
        try:
            await claim.renew()
        except PreconditionFailed:
            return None
        return claim

    async def _adopt(self, writer: str, claim: _Claim) -> None:
        """Tell of what has happened, in the order of the intents.

        Raises:
            PreconditionFailed: the claim does not stand any more.
            StorageError: the store does not answer.
        """
        marks = {key: time async for key, time in self._marks(writer)}
        keys: list[str] = []
        happened: list[Record] = []
        told = dropped = 0
        async for key, records in self._intents(writer):
            keys.append(key)
            for record in records:
                found = await self._happened(record, marks.get(record.id))
                told += len(found.events) if found else 0
                dropped += len(record.events) - (len(found.events) if found else 0)
                if found is not None:
                    happened.append(found)
            if claim.age > self._silence / 3:
                await claim.renew()
            if len(happened) >= _TOGETHER:
                await self._queues.put(happened)
                happened = []
        await self._queues.put(happened)
        keys += [entry.key async for entry in entries(self._driver, places.commits(writer))]
        # A process that has only stood still goes on with what is here.
        await claim.renew()
        await self._driver.delete_many(keys)
        await self._driver.delete(places.alive(writer))
        self._seen.pop(writer, None)
        if told or dropped:
            log.warning(
                "a process ended in the middle of writes: %d events of them are delivered, "
                "%d had not happened",
                told, dropped,
            )  # fmt: skip

    async def _happened(self, record: Record, time: int | None) -> Record | None:
        if time is not None:
            return replace(record, time=time)
        events = tuple([event for event in record.events if await committed(self._driver, event)])
        return replace(record, events=events) if events else None

    async def _marks(self, writer: str) -> AsyncIterator[tuple[str, int]]:
        async for entry in entries(self._driver, places.commits(writer)):
            for line in (await self._data(entry.key)).splitlines():
                try:
                    name, time = json.loads(line)
                except ValueError:  # torn when power failed: then the store is asked
                    continue
                yield name, time

    async def _intents(self, writer: str) -> AsyncIterator[tuple[str, list[Record]]]:
        async for entry in entries(self._driver, places.intents(writer)):
            key = entry.key
            try:
                yield key, list(decode_all(await self._data(key)))
            except ValueError as error:
                # Maybe a later version can read it: it stays, and is told once.
                self._damaged.add(writer)
                log.error("%s is damaged, and passed over: %s", key, error)

    async def _data(self, key: str) -> bytes:
        try:
            found = await self._driver.get(key)
        except ObjectNotFound:
            return b""
        return found.data if found is not None else b""


class _Claim:
    """What keeps other processes from taking over the same."""

    def __init__(self, driver: StorageDriver, key: str, adopter: str, condition: Condition) -> None:
        self._driver = driver
        self._key = key
        self._adopter = adopter
        self._condition = condition
        self._renewed = 0.0

    @property
    def age(self) -> float:
        """Seconds since it was renewed."""
        return asyncio.get_running_loop().time() - self._renewed

    async def renew(self) -> None:
        """Show that somebody is at it.

        Raises:
            PreconditionFailed: the process lives, or another one is at it.
        """
        now = asyncio.get_running_loop().time()
        said = {"adopter": self._adopter, "process": this_process(), "at": now}
        data = json.dumps(said).encode("ascii")
        info = await self._driver.put(self._key, data, when=self._condition, durable=False)
        self._condition = ANY if info.etag is None else Match(info.etag)
        self._renewed = now
