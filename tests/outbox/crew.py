"""Outboxes on one store, each standing for a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from pyreg.content.digest import Digest
from pyreg.content.journal import NOBODY
from pyreg.content.layout import layer_link, revision_link, tag_index_link, tag_link
from pyreg.hooks import Descriptor, Operation, StorageDriver, Subscription
from pyreg.outbox import Outbox
from pyreg.participants import Participants
from tests.outbox.sinks import Collects

SILENCE = 0.4
"""Seconds after which an outbox of the tests counts as dead."""

OCTETS = "application/octet-stream"


def outbox(
    driver: StorageDriver,
    *sinks: Collects,
    subscriptions: Mapping[str, Subscription] | None = None,
    **options: Any,
) -> Outbox:
    """An outbox with these sinks."""
    options.setdefault("silence", SILENCE)
    return Outbox(Participants([]), sinks, driver, subscriptions=subscriptions, **options)


def push_of(name: str, number: int) -> Operation:
    """The push of a blob of its own."""
    digest = Digest.of(b"%s %d" % (name.encode(), number))
    return Operation("push", "blob", name, Descriptor(OCTETS, digest, number))


def tagging(name: str, number: int, *tags: str) -> Operation:
    """The push of a manifest."""
    digest = Digest.of(b"manifest %d" % number)
    return Operation("push", "manifest", name, Descriptor("m", digest, number), tags=tags)


async def make_visible(driver: StorageDriver, operation: Operation) -> None:
    """What the commit of a push does to the store."""
    name, digest = operation.repository, Digest.parse(operation.target.digest)
    data = digest.encode()
    if operation.kind == "blob":
        await driver.put(layer_link(name, digest), data)
        return
    await driver.put(revision_link(name, digest), data)
    for tag in operation.tags:
        await driver.put(tag_link(name, tag), data)
        await driver.put(tag_index_link(name, tag, digest), data)


async def write(box: Outbox, driver: StorageDriver, operation: Operation) -> None:
    """One write, as the content layer does it."""
    async with box.writing(operation, NOBODY) as intent:
        await intent.recorded()
        await make_visible(driver, operation)


async def die(box: Outbox) -> None:
    """End an outbox as `kill -9` does: nothing is put in order."""
    pending = [box._queues._task, box._intents._beating, box._adopter._task]
    pending += [route.dispatcher._task for route in box._routes]
    for group in (box._intents._lines, box._intents._marks):
        pending += [group._writing, group._clearing]
    for route in box._routes:
        route.dispatcher._leave = _nothing  # type: ignore[method-assign]
    tasks = [*(task for task in pending if task is not None), *box._looking]
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> None:
    return None


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Boxes(AsyncExitStack):
    """Stops every outbox that a test has started, and that has not died."""

    async def started(self, box: Outbox) -> Outbox:
        """Start one."""
        await box.start()
        self.push_async_callback(box.stop)
        return box
