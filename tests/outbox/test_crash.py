"""Processes that end at any point of a write: what was acknowledged arrives, what was not done
is not told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyreg.content.digest import Digest
from pyreg.content.journal import NOBODY
from pyreg.content.layout import layer_link, tag_link
from pyreg.hooks import Operation, StorageDriver
from pyreg.hooks.events import Descriptor
from pyreg.outbox import places
from pyreg_storage_filesystem.driver import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage
from tests.outbox.crew import Boxes, die, make_visible, outbox, push_of, tagging, until, write
from tests.outbox.sinks import Collects

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["filesystem", "inmemory"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StorageDriver]:
    """A store."""
    found: StorageDriver
    found = FilesystemStorage(str(tmp_path)) if request.param == "filesystem" else InMemoryStorage()
    await found.open()
    yield found
    await found.close()


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    """Stops outboxes."""
    async with Boxes() as boxes:
        yield boxes


async def left(driver: StorageDriver) -> list[str]:
    """What lies in the outbox, without leases."""
    page = await driver.list(places.ROOT)
    return [entry.key for entry in page.entries if not entry.key.endswith("/lease")]


async def until_tidy(driver: StorageDriver) -> None:
    """Return when nothing waits, and the dead are cleaned up."""
    async with asyncio.timeout(20):
        while [key for key in await left(driver) if not key.endswith("/alive")]:
            await asyncio.sleep(0.02)


async def test_what_was_acknowledged_arrives_though_nothing_was_handed_on(
    driver: StorageDriver, boxes: Boxes
) -> None:
    first = outbox(driver, Collects())
    await first.start()
    await write(first, driver, push_of("a", 1))
    await die(first)  # before the events come to the queues
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until(lambda: len(heir.events) == 1)
    assert heir.events[0].target.digest == push_of("a", 1).target.digest
    await until_tidy(driver)


async def test_it_arrives_though_it_was_deleted_again_by_another_process(
    driver: StorageDriver, boxes: Boxes
) -> None:
    first = outbox(driver, Collects())
    await first.start()
    operation = push_of("a", 1)
    await write(first, driver, operation)
    await die(first)
    await driver.delete(layer_link("a", Digest.parse(operation.target.digest)))
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until(lambda: len(heir.events) == 1)


async def test_what_was_meant_but_not_done_is_not_told(driver: StorageDriver, boxes: Boxes) -> None:
    first = outbox(driver, Collects())
    await first.start()
    writing = first.writing(push_of("a", 1), NOBODY)
    intent = await writing.__aenter__()
    await intent.recorded()
    await die(first)
    heir = Collects()
    second = await boxes.started(outbox(driver, heir))
    await until_tidy(driver)
    await write(second, driver, push_of("a", 2))
    await until(lambda: bool(heir.events))
    assert [event.target.size for event in heir.events] == [2]


async def test_what_was_done_but_not_acknowledged_is_told(
    driver: StorageDriver, boxes: Boxes
) -> None:
    first = outbox(driver, Collects())
    await first.start()
    under_way = []  # kept: what is thrown away in the middle is looked at at once
    for operation in (push_of("a", 1), tagging("a", 2, "v1", "v2")):
        writing = first.writing(operation, NOBODY)
        under_way.append(writing)
        intent = await writing.__aenter__()
        await intent.recorded()
        await make_visible(driver, operation)
    await die(first)
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until(lambda: len(heir.events) == 3)
    assert [event.tag for event in heir.events] == ["", "v1", "v2"]


async def test_a_push_that_was_there_before_is_not_told_again(
    driver: StorageDriver, boxes: Boxes
) -> None:
    operation = push_of("a", 1)
    await make_visible(driver, operation)
    await asyncio.sleep(0.01)
    first = outbox(driver, Collects())
    await first.start()
    writing = first.writing(operation, NOBODY)
    await (await writing.__aenter__()).recorded()
    await die(first)
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until_tidy(driver)
    if driver.capabilities.local:  # elsewhere clocks may differ, and it may be told
        assert heir.events == []


async def test_of_a_push_with_two_tags_only_the_one_that_moved_is_told(
    driver: StorageDriver, boxes: Boxes
) -> None:
    first = outbox(driver, Collects())
    await first.start()
    operation = tagging("a", 1, "v1", "v2")
    writing = first.writing(operation, NOBODY)
    await (await writing.__aenter__()).recorded()
    await make_visible(driver, tagging("a", 1, "v1"))
    await die(first)
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until(lambda: bool(heir.events))
    await until_tidy(driver)
    assert [event.tag for event in heir.events] == ["v1"]


@pytest.mark.parametrize("done", [True, False])
async def test_a_delete_is_told_if_it_was_done(
    driver: StorageDriver, boxes: Boxes, done: bool
) -> None:
    await make_visible(driver, tagging("a", 1, "v1"))
    first = outbox(driver, Collects())
    await first.start()
    operation = Operation("delete", "tag", "a", Descriptor("", "", 0), tags=("v1",))
    writing = first.writing(operation, NOBODY)
    await (await writing.__aenter__()).recorded()
    if done:
        await driver.delete(tag_link("a", "v1"))
    await die(first)
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    if done:
        await until(lambda: bool(heir.events))
    await until_tidy(driver)
    assert [(event.action, event.tag) for event in heir.events] == [("delete", "v1")] * done


async def test_a_write_that_fails_halfway_is_looked_at_at_once(
    driver: StorageDriver, boxes: Boxes
) -> None:
    sink = Collects()
    box = await boxes.started(outbox(driver, sink))
    operation = tagging("a", 1, "v1", "v2")

    async def fail_halfway() -> None:
        async with box.writing(operation, NOBODY) as intent:
            await intent.recorded()
            await make_visible(driver, tagging("a", 1, "v1"))
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await fail_halfway()
    await until(lambda: bool(sink.events))
    await until_tidy(driver)
    assert [event.tag for event in sink.events] == ["v1"]


async def test_a_write_that_fails_before_its_intent_is_kept_leaves_nothing(
    driver: StorageDriver, boxes: Boxes
) -> None:
    sink = Collects()
    box = await boxes.started(outbox(driver, sink))

    async def fail_early() -> None:
        async with box.writing(push_of("a", 1), NOBODY):
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await fail_early()
    await until_tidy(driver)
    assert sink.events == []


async def test_an_order_that_stops_leaves_the_rest_to_the_next(
    driver: StorageDriver, boxes: Boxes
) -> None:
    deaf = Collects(failures=10**6)
    first = outbox(driver, deaf)
    await first.start()
    for number in range(5):
        await write(first, driver, push_of("a", number))
    await until(lambda: deaf.attempts > 0)
    await first.stop(patience=1)
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until(lambda: len(heir.events) == 5)
    assert [event.target.size for event in heir.events] == list(range(5))


async def test_events_of_a_dead_process_keep_their_ids(driver: StorageDriver, boxes: Boxes) -> None:
    sink = Collects(batch=1)
    first = outbox(driver, sink)
    await first.start()
    for number in range(20):
        await write(first, driver, push_of("a", number))
    await until(lambda: len(sink.events) >= 3)
    await die(first)
    heir = Collects()
    await boxes.started(outbox(driver, heir))
    await until(lambda: len({event.id for event in sink.events + heir.events}) == 20)
    await until_tidy(driver)
    assert len({event.id for event in sink.events + heir.events}) == 20
