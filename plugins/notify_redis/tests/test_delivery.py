"""Entries arrive whole batches at a time, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from plugins.notify_redis.tests.conftest import Start
from plugins.notify_redis.tests.streams import STREAM, admin, entries, opened
from pyreg.hooks import DeliveryFailed, Event, EventSink
from pyreg.testing.events.samples import one_of_each, pushes

pytestmark = pytest.mark.anyio

WRITERS = 4
BATCHES = 150
SIZE = 7
KILLS = 3


async def deliver_at_last(sink: EventSink, events: Sequence[Event]) -> None:
    """As the registry does."""
    while True:
        try:
            return await sink.deliver(events)
        except DeliveryFailed:
            await asyncio.sleep(0.01)


async def test_a_server_is_killed_again_and_again(start: Start) -> None:
    server = start(journal=True)
    batches = [
        [pushes(SIZE, f"team/{number}") for _ in range(BATCHES)] for number in range(WRITERS)
    ]
    done = 0

    async def write(sink: EventSink, number: int) -> None:
        nonlocal done
        for batch in batches[number]:
            await deliver_at_last(sink, batch)
            done += 1

    async def kill() -> None:
        for turn in range(1, KILLS + 1):
            while done < turn * WRITERS * BATCHES // (KILLS + 1):
                await asyncio.sleep(0)
            await asyncio.to_thread(server.process.kill)
            await asyncio.to_thread(server.process.start)

    async with opened(url=server.url) as sink:
        await asyncio.gather(kill(), *(write(sink, number) for number in range(WRITERS)))
    found = [entry["id"] for entry in await entries(server)]
    whole = {tuple(event.id for event in batch) for writer in batches for batch in writer}
    arrived = in_batches(found)
    assert set(arrived) == whole, "every batch is there, and none in part"
    assert len(arrived) - len(whole) <= KILLS * WRITERS, "repeated is what a kill left open"
    first = list(dict.fromkeys(found))
    for writer in batches:
        ids = [event.id for batch in writer for event in batch]
        assert [each for each in first if each in set(ids)] == ids


def in_batches(found: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(found[start : start + SIZE]) for start in range(0, len(found), SIZE)]


async def test_a_refused_batch_leaves_nothing(start: Start) -> None:
    server = start()
    events = [
        replace(event, target=replace(event.target, annotations={"text": "x" * 10_000}))
        for event in pushes(400)
    ]
    async with admin(server) as client, opened(url=server.url) as sink:
        # There is room for a part of them.
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", str(used + 1_000_000))
        with pytest.raises(DeliveryFailed, match="memory is full"):
            await sink.deliver(events)
        assert await client.exists(STREAM) == 0
        await client.config_set("maxmemory", "0")
        await sink.deliver(events)
        assert await client.xlen(STREAM) == 400


async def test_other_databases_and_keys(start: Start) -> None:
    server = start()
    event = pushes(1)[0]
    async with opened(url=f"{server.url.removesuffix('/0')}/2", stream="other") as sink:
        answer = await sink.test(event)
    async with admin(server, db=2) as client:
        [(entry, fields)] = await client.xrange("other")
    assert fields[b"id"].decode() == event.id
    assert answer == (
        f"added to the stream other of redis://{server.address}/2 as {entry.decode()}"
    )


async def test_all_entries_are_kept(start: Start) -> None:
    server = start()
    async with opened(url=server.url) as sink:
        for _ in range(20):
            await sink.deliver(pushes(100))
    assert len(await entries(server)) == 2000


async def test_a_stream_of_limited_length(start: Start) -> None:
    server = start()
    events = pushes(2000)
    async with opened(url=server.url, maxlen=500) as sink:
        for number in range(0, 2000, 100):
            await sink.deliver(events[number : number + 100])
    found = [entry["id"] for entry in await entries(server)]
    # Redis trims by the whole node, of 100 entries at most.
    assert 500 <= len(found) < 700
    assert found == [event.id for event in events[-len(found) :]]


async def test_many_deliveries_share_few_connections(start: Start) -> None:
    server = start()
    async with admin(server) as client, opened(url=server.url) as sink:
        await asyncio.gather(*(sink.deliver(pushes(1)) for _ in range(200)))
        assert len(await client.client_list()) <= 16 + 1
    assert len(await entries(server)) == 200


async def test_references_and_text_of_every_kind(start: Start) -> None:
    server = start()
    events = [replace(each, tag=each.tag or "x") for each in one_of_each(references=10_000)]
    async with opened(url=server.url) as sink:
        await sink.deliver(events)
    assert [entry["id"] for entry in await entries(server)] == [event.id for event in events]


async def test_it_is_used_before_it_is_open(start: Start) -> None:
    async with opened(url=start().url) as sink:
        await sink.close()
        with pytest.raises(DeliveryFailed, match="not open"):
            await sink.deliver(pushes(1))
