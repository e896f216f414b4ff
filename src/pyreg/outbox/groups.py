"""Small lines that many requests write at once, as few objects.

Whoever comes while a write is under way shares the next one: alone, a request waits for its own
write only, and under load a write serves all that wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from pyreg.errors import StorageError
from pyreg.hooks.storage import StorageDriver

log = logging.getLogger("pyreg.events")

MOST = 500
"""Lines in one object."""

SIZE = 1024 * 1024
"""Bytes in one object, unless a single line has more."""


PAUSE = 1.0
"""Seconds before a deletion is tried again."""


class Line:
    """A line on its way into an object, or there.

    Args:
        data: Without its end.
        writer: Who writes it.
    """

    __slots__ = ("_group", "_released", "_writer", "_written", "data")

    def __init__(self, data: bytes, writer: GroupWriter, written: asyncio.Future[None]) -> None:
        self.data = data
        self._writer = writer
        self._written = written
        self._group: _Group | None = None
        self._released = False

    async def written(self) -> None:
        """Return when it is there.

        Raises:
            StorageError: it cannot be written.
        """
        await asyncio.shield(self._written)

    def placed(self, group: _Group, error: Exception | None) -> None:
        """Said by the writer, once."""
        self._group = group
        if error is None:
            self._written.set_result(None)
        else:
            self._written.set_exception(error)
            self._written.exception()  # whoever waits hears of it; maybe nobody does
        if self._released:
            self._writer.release(group)

    def release(self) -> None:
        """It is needed no longer; an object without needed lines is deleted. Idempotent."""
        if not self._released:
            self._released = True
            if self._group is not None:
                self._writer.release(self._group)


class _Group:
    """An object with lines."""

    __slots__ = ("key", "needed")

    def __init__(self, key: str, needed: int) -> None:
        self.key = key
        self.needed = needed


class GroupWriter:
    """Writes lines.

    Args:
        driver: Where to.
        key: The key of the object with a number.
        durable: As for `StorageDriver.put`.
    """

    def __init__(self, driver: StorageDriver, key: Callable[[int], str], *, durable: bool) -> None:
        self._driver = driver
        self._key = key
        self._durable = durable
        self._number = 0
        self._waiting: list[Line] = []
        self._garbage: list[str] = []
        self._writing: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def add(self, data: bytes) -> Line:
        """Begin to write a line."""
        loop = asyncio.get_running_loop()
        line = Line(data, self, loop.create_future())
        self._waiting.append(line)
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return line

    def release(self, group: _Group) -> None:
        """One of an object's lines is needed no longer."""
        group.needed -= 1
        if group.needed == 0:
            self._garbage.append(group.key)
            if self._clearing is None:
                self._clearing = asyncio.get_running_loop().create_task(self._clear())

    async def stop(self, patience: float) -> None:
        """Return when nothing is under way any more, or after `patience` seconds."""
        self._ending.set()
        tasks = [task for task in (self._writing, self._clearing) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for task in tasks:
            task.cancel()

    async def _write(self) -> None:
        try:
            while self._waiting:
                lines = self._take()
                group = _Group(self._key(self._number), len(lines))
                self._number += 1
                data = b"".join(line.data + b"\n" for line in lines)
                failure: Exception | None = None
                try:
                    await self._driver.put(group.key, data, durable=self._durable)
                except Exception as error:
                    failure = error
                for line in lines:
                    line.placed(group, failure)
        finally:
            self._writing = None

    def _take(self) -> list[Line]:
        size = taken = 0
        for line in self._waiting[:MOST]:
            size += len(line.data) + 1
            if taken and size > SIZE:
                break
            taken += 1
        lines, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return lines

    async def _clear(self) -> None:
        try:
            while self._garbage:
                keys, self._garbage = self._garbage[:MOST], self._garbage[MOST:]
                try:
                    await self._driver.delete_many(keys, durable=False)
                except StorageError as error:
                    log.warning("%d records of events are not deleted yet: %s", len(keys), error)
                    self._garbage = keys + self._garbage
                    if self._ending.is_set():
                        return  # whoever cleans up after this process looks at them
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PAUSE):
                            await self._ending.wait()
        finally:
            self._clearing = None
