"""Storage and sinks that misbehave: nothing is lost, nothing is invented, nothing hangs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from pyreg import Registry
from pyreg.content.journal import NOBODY
from pyreg.errors import StorageUnavailable
from pyreg.hooks import Event, Subscription
from pyreg.outbox import places
from pyreg.outbox.inspection import Inspection
from pyreg.outbox.queue import DeadLetter, Queue
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import client_of, image, post_blob, put_manifest, serving
from tests.fixtures.wire import sha256
from tests.outbox.crew import Boxes, die, make_visible, outbox, push_of, tagging, until, write
from tests.outbox.sinks import Collects
from tests.outbox.storage import FAIL, HANG, Service

pytestmark = pytest.mark.anyio


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    """Stops outboxes."""
    async with Boxes() as boxes:
        yield boxes


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A store."""
    service = Service()
    await service.open()
    yield service
    await service.close()


async def known(service: Service, *sinks: Collects) -> set[str]:
    """Ids of all events that were delivered, wait, or were given up."""
    found = {event.id for sink in sinks for event in sink.events}
    async for _, record in Inspection(service).waiting("collects"):
        found |= {event.id for event in record.events}
    async for _, letter in Queue(service, "collects").dead_letters():
        found.add(letter.event.id)
    return found


async def left_by_writers(service: Service) -> list[str]:
    return [entry.key for entry in (await service.list(places.WRITERS)).entries]


# -- sinks ---------------------------------------------------------------------------------


class Failing(Collects):
    """Takes a moment to fail, so that several deliveries fail together."""

    async def deliver(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(0.1)
        await super().deliver(events)


async def test_deliveries_that_fail_together_give_up_each_event_once(service: Service) -> None:
    sink = Failing(failures=10**6, batch=1)
    patience = Subscription(backoff=30, threshold=3, max_age=0.5, concurrency=4)
    box = outbox(service, sink, subscriptions={"collects": patience})
    for number in range(4):  # nobody delivers yet
        for repository in range(12):
            await write(box, service, push_of(f"r{repository}", number))
    await until(lambda: len(box._queues) == 0)
    await asyncio.sleep(0.6)
    await box.start()
    await until(lambda: box._routes[0].dispatcher.counts["Dead"] >= 40)
    await box.stop(0.3)
    assert len(await known(service, sink)) == 48
    assert box._routes[0].dispatcher.counts["Dead"] <= 48


class CallsOff(Collects):
    """Raises what only its caller should."""

    async def deliver(self, events: Sequence[Event]) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise asyncio.CancelledError
        self.batches.append(list(events))


async def test_a_sink_that_calls_itself_off_has_failed(service: Service, boxes: Boxes) -> None:
    sink = CallsOff()
    box = await boxes.started(outbox(service, sink))
    await write(box, service, push_of("a", 1))
    await until(lambda: len(sink.events) == 1)


class Stubborn(Collects):
    """Does not end when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def deliver(self, events: Sequence[Event]) -> None:
        self.attempts += 1
        while not self.release.is_set():
            with suppress(asyncio.CancelledError):
                await self.release.wait()

    async def close(self) -> None:
        await self.release.wait()


async def test_stopping_ends_whatever_a_sink_does(service: Service) -> None:
    sink = Stubborn()
    patience = Subscription(timeout=0)
    box = outbox(service, sink, subscriptions={"collects": patience})
    await box.start()
    await write(box, service, push_of("a", 1))
    await until(lambda: sink.attempts == 1)
    async with asyncio.timeout(15):
        await box.stop(0.2)
    sink.release.set()
    await asyncio.sleep(0.05)


class Slow(Collects):
    """Is well, but takes its time."""

    async def deliver(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(0.3)
        await super().deliver(events)


async def test_what_an_operator_drops_does_not_arrive_at_a_slow_sink(
    service: Service, boxes: Boxes
) -> None:
    sink = Slow(batch=1)
    box = await boxes.started(outbox(service, sink))
    await asyncio.gather(*(write(box, service, push_of("a", number)) for number in range(6)))
    await until(lambda: len(box._queues) == 0)
    inspection = Inspection(service)
    waiting = [record async for _, record in inspection.waiting("collects")]
    last = max(waiting, key=lambda record: record.time)
    assert await inspection.drop("collects", {last.id}) == 1
    await until(lambda: len({event.id for event in sink.events}) == 5)
    await asyncio.sleep(1)
    assert last.id not in {event.id for event in sink.events}


# -- storage -------------------------------------------------------------------------------


async def test_a_segment_that_a_listing_misses_is_not_lost(service: Service, boxes: Boxes) -> None:
    sink = Slow(failures=2, batch=1)
    patience = Subscription(threshold=1, backoff=0.2, concurrency=2)
    box = await boxes.started(outbox(service, sink, subscriptions={"collects": patience}))
    await asyncio.gather(*(write(box, service, push_of(f"r{n}", n)) for n in range(4)))
    for _ in range(4):
        service.hidden = lambda key: "/queue/" in key
        await asyncio.sleep(0.3)
        service.hidden = lambda key: False
        await asyncio.sleep(0.3)
    await until(lambda: len({event.id for event in sink.events}) == 4)


async def test_a_failed_deletion_does_not_make_the_past_come_back(
    service: Service, boxes: Boxes
) -> None:
    sink, heir = Collects(), Collects()
    box = outbox(service, sink)
    await box.start()
    service.trouble = lambda operation, key: (
        FAIL if operation == "delete" and "/writers/" in key else None
    )
    for number in range(3):
        await write(box, service, push_of("a", number))
    again = tagging("a", 9, "v1")

    async def refused() -> None:
        async with box.writing(again, NOBODY) as intent:
            await intent.recorded()
            raise StorageUnavailable("the link is not written")

    with pytest.raises(StorageUnavailable):
        await refused()
    await until(lambda: not box._looking)
    service.trouble = lambda operation, key: None
    await write(box, service, again)
    await until(lambda: len(sink.events) == 4)
    await box.stop(5)
    assert await left_by_writers(service) == []
    await boxes.started(outbox(service, heir))
    await asyncio.sleep(1)
    assert heir.events == []


async def test_a_process_that_stood_still_after_its_intent_loses_nothing(boxes: Boxes) -> None:
    service = InMemoryStorage()
    await service.open()
    box, sink = outbox(service, Collects()), Collects()
    await box.start()
    operation = push_of("a", 1)
    writing = box.writing(operation, NOBODY)
    await (await writing.__aenter__()).recorded()
    assert box._intents._beating is not None
    box._intents._beating.cancel()  # SIGSTOP
    await boxes.started(outbox(service, sink))
    await asyncio.sleep(1.5)
    await make_visible(service, operation)
    await writing.__aexit__(None, None, None)  # 201
    await die(box)
    await until(lambda: len(sink.events) == 1)


async def test_a_holder_that_cannot_renew_its_lease_delivers_no_more(boxes: Boxes) -> None:
    inner = InMemoryStorage()
    await inner.open()
    mine, theirs = Service(inner), Service(inner)
    one, other = Collects(), Collects()
    await boxes.started(outbox(mine, one))
    await asyncio.sleep(0.3)
    box = await boxes.started(outbox(theirs, other))
    mine.trouble = lambda operation, key: (
        HANG if operation == "put" and key.endswith("/lease") else None
    )
    await asyncio.sleep(1.5)
    for number in range(20):
        await write(box, theirs, push_of("a", number))
    await until(lambda: len(other.events) == 20)
    assert one.events == []
    mine.trouble = lambda operation, key: None


async def test_without_etags_one_process_delivers_in_the_end(boxes: Boxes) -> None:
    service = Service(etags=False)
    await service.open()
    sinks = [Collects(batch=1) for _ in range(3)]
    crew = [await boxes.started(outbox(service, sink)) for sink in sinks]
    await asyncio.sleep(1.5)
    for number in range(10):
        await write(crew[0], service, push_of("a", number))
    await until(lambda: sum(len(sink.events) for sink in sinks) >= 10)
    await asyncio.sleep(0.5)
    assert sorted(len(sink.events) for sink in sinks) == [0, 0, 10]


async def test_a_clock_that_was_ahead_delays_nothing(
    service: Service, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Collects()
    box = await boxes.started(outbox(service, sink))
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + 3600 * 10**9)
        await write(box, service, push_of("a", 1))
    await write(box, service, push_of("b", 2))
    await until(lambda: len(sink.events) == 2)


async def test_storage_that_fails_now_and_then_loses_and_repeats_nothing_it_need_not(
    service: Service, boxes: Boxes
) -> None:
    sink = Collects(batch=1)
    box = await boxes.started(outbox(service, sink))
    calls = 0

    def now_and_then(operation: str, key: str) -> str | None:
        nonlocal calls
        calls += 1
        return FAIL if "/sinks/" in key and calls % 7 == 0 else None

    service.trouble = now_and_then
    for number in range(40):
        await write(box, service, push_of("a", number))
    await until(lambda: len({event.id for event in sink.events}) == 40)
    service.trouble = lambda operation, key: None
    sizes = [event.target.size for event in sink.events]
    assert list(dict.fromkeys(sizes)) == list(range(40))


async def test_stopping_ends_though_the_storage_hangs(service: Service) -> None:
    sink = Collects()
    box = outbox(service, sink)
    await box.start()
    await write(box, service, push_of("a", 1))
    service.trouble = lambda operation, key: HANG
    writing = asyncio.create_task(write(box, service, push_of("a", 2)))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        await box.stop(0.3)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_the_health_report_answers_though_the_storage_hangs() -> None:
    service = Service()
    registry = Registry(storage=service, plugins=[Collects()])
    async with registry, client_of(registry) as client:
        service.trouble = lambda operation, key: HANG if "/outbox/" in key else None
        async with asyncio.timeout(10):
            answer = await client.get("/debug/health")
        assert answer.json()["notes"] == {"notifications.collects": "the storage does not tell"}
        service.trouble = lambda operation, key: None


async def test_no_write_begins_once_the_registry_stops(service: Service) -> None:
    box = outbox(service, Collects())
    await box.start()
    await write(box, service, push_of("a", 1))
    await box.stop(1)
    with pytest.raises(StorageUnavailable, match="stops"):
        await write(box, service, push_of("a", 2))
    assert await left_by_writers(service) == []


async def test_damaged_dead_letters_stay_when_others_are_replayed(service: Service) -> None:
    box = outbox(service, Collects())
    await write(box, service, push_of("a", 1))
    await until(lambda: len(box._queues) == 0)
    queue = Queue(service, "collects")
    [(segment, record)] = [found async for found in Inspection(service).waiting("collects")]
    await queue.bury(DeadLetter(record.events[0], "no", 1, record.time))
    await queue.remove([segment])
    await service.put(f"{places.dead('collects')}damaged", b"{")
    keys = [key async for key in queue.dead_keys()]
    assert await Inspection(service).replay("collects", keys) == 1
    assert [key async for key in queue.dead_keys()] == [f"{places.dead('collects')}damaged"]
    await box.stop(0.1)


# -- content -------------------------------------------------------------------------------


async def test_manifests_are_pushed_alike_whether_anybody_hears_of_it_or_not() -> None:
    """However large what is told of them would be, and however deep."""
    large = json.loads(image(b"{}", annotations={"k": "\u00e9" * 1_500_000}))
    payloads = [json.dumps(large, ensure_ascii=False).encode()]
    for depth in (500, 900, 950, 960, 970, 980):
        deep = '"size": 2, "platform": {"x": %s}' % ("[" * depth + "]" * depth)
        payloads.append(image(b"{}").decode().replace('"size": 2', deep).encode())
    payloads.append(image(b"{}").replace(b'"size": 2', b'"size": 2, "platform": {"x": 1e999}'))
    sink = Collects()
    heard = {"collects": Subscription(references=True)}
    statuses = []
    for sinks in ((), (sink,)):
        async with serving(*sinks, subscriptions=heard) as client:
            await post_blob(client, "a", b"{}")
            answers = [await put_manifest(client, "a", "v1", payload) for payload in payloads]
            statuses.append([answer.status_code for answer in answers])
    assert statuses[0] == statuses[1]
    assert statuses[1][0] == 201
    assert statuses[1][-1] == 400
    assert 500 not in statuses[1]
    pushed = [event for event in sink.events if event.kind == "manifest" and event.tag]
    assert len([event for event in pushed if event.action == "push"]) == statuses[1].count(201)


async def test_a_sink_that_calls_itself_off_gets_its_pulls_all_the_same() -> None:
    sink = CallsOff()
    heard = {"collects": Subscription(actions=frozenset({"pull"}))}
    async with serving(sink, subscriptions=heard) as client:
        await post_blob(client, "a", b"{}")
        await client.get(f"/v2/a/blobs/{sha256(b'{}')}")
        await until(lambda: len(sink.events) == 1)
    assert sink.attempts == 2


async def test_references_that_nobody_asked_for_are_not_kept(service: Service) -> None:
    for wanted in (False, True):
        sink = Collects()
        heard = {"collects": Subscription(references=wanted)}
        box = outbox(service, sink, subscriptions=heard)
        operation = replace(tagging("a", 1, "v1"), references=(push_of("a", 2).target,))
        writing = box.writing(operation, NOBODY)
        await (await writing.__aenter__()).recorded()
        [intent] = [key for key in await left_by_writers(service) if "/intents/" in key]
        found = await service.get(intent)
        assert found is not None
        assert (b"references" in found.data) == wanted
        await make_visible(service, operation)
        await writing.__aexit__(None, None, None)
        await until(lambda box=box: len(box._queues) == 0)  # type: ignore[misc]
        await box.stop(1)
