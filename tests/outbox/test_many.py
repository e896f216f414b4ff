"""A million events that wait, in a bounded amount of memory."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyreg.hooks import Descriptor, Event, RequestInfo, Subscription
from pyreg.outbox.queue import Queue
from pyreg.outbox.record import Record
from pyreg_storage_filesystem.driver import FilesystemStorage
from tests.outbox.crew import Boxes, outbox, until
from tests.outbox.sinks import Collects

pytestmark = pytest.mark.anyio


class Counts(Collects):
    """Counts what is delivered, and remembers the last of each repository."""

    def __init__(self) -> None:
        super().__init__(failures=10**9, batch=500)
        self.count = 0
        self.last: dict[str, float] = {}
        self.disorder = 0

    async def deliver(self, events: Sequence[Event]) -> None:
        """Count them, or fail."""
        self.attempts += 1
        if self.failures:
            raise ConnectionError("nobody listens")
        self.count += len(events)
        for event in events:
            self.disorder += event.timestamp <= self.last.get(event.repository, 0)
            self.last[event.repository] = event.timestamp


def record(number: int, began: int) -> Record:
    target = Descriptor("application/octet-stream", f"sha256:{number:064x}", number)
    request = RequestInfo("id", "127.0.0.1", "registry:5000", "PUT", "docker/28", 4242, "http://r")
    time_ns = began + number * 1000
    event = Event(
        f"{number:08x}", time_ns / 1e9, "push", "blob", f"team/app{number % 100}", target,
        actor="ann", request=request, source=("registry:5000", "instance"),
    )  # fmt: skip
    return Record((event,), time_ns)


async def pile_up(directory: Path, count: int) -> None:
    driver = FilesystemStorage(str(directory))
    await driver.open()
    sink = Counts()
    queue = Queue(driver, sink.name)
    began = time.time_ns() - count * 1000 - 10**9
    number = 0
    for start in range(0, count, 500):
        records = [record(each, began) for each in range(start, min(start + 500, count))]
        number = await queue.put(records, "0abc", number)
    patience = Subscription(backoff=0.05, threshold=2, max_age=0)
    async with Boxes() as boxes:
        gc.collect()
        tracemalloc.start()
        box = await boxes.started(outbox(driver, sink, subscriptions={sink.name: patience}))
        [route] = box._routes
        await until(lambda: sink.attempts > 5 and route.dispatcher.pending >= count, seconds=120)
        await asyncio.sleep(1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert route.dispatcher.pending == count
        assert peak < 48 * 1024 * 1024, f"{peak} bytes"
        sink.failures = 0
        began_at = time.monotonic()
        await until(lambda: sink.count >= count, seconds=1800)
        rate = count / (time.monotonic() - began_at)
        assert sink.count == count
        assert sink.disorder == 0
        await until(lambda: route.dispatcher.pending == 0)
    assert [segment async for segment in queue.segments()] == []
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\n{count} events: {peak >> 20} MiB at the most, {rate:.0f}/s, process {used} MiB")
    await driver.close()


async def test_twenty_thousand_events_wait(tmp_path: Path) -> None:
    await pile_up(tmp_path, 20_000)


@pytest.mark.soak
async def test_a_million_events_wait(tmp_path: Path) -> None:
    await pile_up(tmp_path, 1_000_000)
