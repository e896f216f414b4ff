"""What one sink has not got yet, and what it will not get any more."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pyreg.content.listing import entries
from pyreg.errors import ObjectNotFound
from pyreg.hooks.events import Event
from pyreg.hooks.storage import StorageDriver
from pyreg.outbox import places
from pyreg.outbox.record import Record, count, decode, decode_all, encode_all, in_groups

log = logging.getLogger("pyreg.events")

MOST = 500
"""Records in one object."""

SIZE = 1024 * 1024
"""Bytes in one object, unless a single record has more."""


@dataclass(frozen=True, slots=True)
class Segment:
    """An object of a queue.

    Attributes:
        key: Which.
        time: When its first record was committed, in nanoseconds since the epoch.
        events: How many it has.
    """

    key: str
    time: int
    events: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up.

    Attributes:
        event: Which.
        reason: Why, in a sentence.
        attempts: How often it was tried.
        time: When it was committed, in nanoseconds since the epoch.
    """

    event: Event
    reason: str
    attempts: int
    time: int

    def encode(self) -> bytes:
        """For the store."""
        head = json.dumps({"reason": self.reason, "attempts": self.attempts}).encode("ascii")
        return head + b"\n" + Record((self.event,), self.time).encode()


class Queue:
    """The queue of one sink, shared by all processes.

    Args:
        driver: Where it is.
        name: The sink's name.
    """

    def __init__(self, driver: StorageDriver, name: str) -> None:
        self.name = name
        self._driver = driver

    async def put(self, records: Sequence[Record], writer: str, number: int) -> int:
        """Add records, durably.

        Args:
            records: In the order of their commits.
            writer: Who adds them.
            number: A number that the writer has not used yet.

        Returns:
            The next number.
        """
        for group, data in in_groups(records, limit=MOST, size=SIZE):
            key = places.queued(self.name, group[0].time, writer, number, count(group))
            await self._driver.put(key, data)
            number += 1
        return number

    async def segments(self) -> AsyncIterator[Segment]:
        """What is in the queue, the oldest first."""
        async for entry in entries(self._driver, places.queue(self.name)):
            found = places.read_queued(entry.key)
            if found is not None:
                yield Segment(entry.key, *found)

    async def read(self, segment: Segment) -> tuple[list[Record], int] | None:
        """The records of a segment and their bytes; None if it is gone, or damaged.

        What is damaged is told, and left where it is.
        """
        try:
            found = await self._driver.get(segment.key)
        except ObjectNotFound:
            return None
        assert found is not None
        try:
            return list(decode_all(found.data)), len(found.data)
        except ValueError as error:
            log.error("%s is damaged, and passed over: %s", segment.key, error)
            return None

    async def replace(self, segment: Segment, records: Sequence[Record]) -> None:
        """Put these records in the place of a segment."""
        if records:
            # Under another key: who has the old one in memory sees that it is gone.
            writer = f"0{secrets.token_hex(8)}"
            key = places.queued(self.name, segment.time, writer, 0, count(records))
            await self._driver.put(key, encode_all(records))
        await self.remove([segment])

    async def remove(self, segments: Sequence[Segment]) -> None:
        """Take segments out, since everything in them is delivered.

        When power fails at that moment, they may be back, and be delivered again.
        """
        if segments:
            await self._driver.delete_many([item.key for item in segments], durable=False)

    async def bury(self, letter: DeadLetter) -> None:
        """Keep an event that is given up, durably."""
        key = f"{places.dead(self.name)}{letter.time:020d}-{letter.event.id}"
        await self._driver.put(key, letter.encode())

    async def dead_letters(self) -> AsyncIterator[tuple[str, DeadLetter]]:
        """The dead letters with their keys, the oldest first."""
        async for key in self.dead_keys():
            letter = await self.read_dead(key)
            if letter is not None:
                yield key, letter

    async def dead_keys(self) -> AsyncIterator[str]:
        """The keys of the dead letters, the oldest first."""
        async for entry in entries(self._driver, places.dead(self.name)):
            yield entry.key

    async def read_dead(self, key: str) -> DeadLetter | None:
        """A dead letter; None if it is gone or damaged."""
        try:
            found = await self._driver.get(key)
        except ObjectNotFound:
            return None
        assert found is not None
        try:
            head, _, line = found.data.partition(b"\n")
            said = json.loads(head)
            record = decode(line)
            return DeadLetter(
                record.events[0], str(said["reason"]), int(said["attempts"]), record.time
            )
        except (ValueError, KeyError, TypeError) as error:
            log.error("%s is damaged, and passed over: %s", key, error)
            return None

    async def forget(self, keys: Sequence[str]) -> None:
        """Delete dead letters."""
        await self._driver.delete_many(keys)
