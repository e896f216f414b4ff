"""From the queue to the sink: order, patience, dead letters, and one process at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from pyreg.hooks import DeliveryFailed, Event, Subscription
from pyreg.outbox import Outbox, places
from pyreg.outbox.inspection import Inspection
from pyreg.outbox.queue import Queue
from pyreg_storage_inmemory import InMemoryStorage
from tests.outbox.crew import Boxes, die, outbox, push_of, tagging, until, write
from tests.outbox.sinks import Collects

pytestmark = pytest.mark.anyio

QUICK = Subscription(backoff=0.05, threshold=3)


@pytest.fixture
async def driver() -> AsyncIterator[InMemoryStorage]:
    """A store."""
    driver = InMemoryStorage()
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    """Stops outboxes."""
    async with Boxes() as boxes:
        yield boxes


class Picky(Collects):
    """Refuses some events.

    Args:
        bad: Sizes of targets that it refuses.
        permanent: Whether it says that they can never be delivered.
    """

    def __init__(self, bad: set[int], *, permanent: bool = False, batch: int = 100) -> None:
        super().__init__(batch=batch)
        self.bad = bad
        self.permanent = permanent
        self.refused = 0

    async def deliver(self, events: Sequence[Event]) -> None:
        """Keep them, or fail."""
        if any(event.target.size in self.bad for event in events):
            self.refused += 1
            raise DeliveryFailed("not this one", permanent=self.permanent)
        await super().deliver(events)


def sizes(sink: Collects, repository: str = "a") -> list[int]:
    """The sizes of what was delivered, which number the events."""
    return [event.target.size for event in sink.events if event.repository == repository]


async def write_all(box: Outbox, driver: InMemoryStorage, repository: str, count: int) -> None:
    """Pushes of a repository, one after the other."""
    for number in range(count):
        await write(box, driver, push_of(repository, number))


async def test_what_fails_is_tried_again_in_order(driver: InMemoryStorage, boxes: Boxes) -> None:
    sink = Collects(failures=7)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": QUICK}))
    await write_all(box, driver, "a", 10)
    await until(lambda: len(sink.events) == 10)
    assert sizes(sink) == list(range(10))


async def test_a_repository_whose_event_fails_holds_up_no_other(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Picky({0})
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": QUICK}))
    await write_all(box, driver, "a", 3)
    await asyncio.gather(*(write_all(box, driver, f"b{number}", 3) for number in range(5)))
    await until(lambda: sink.refused >= 3)
    assert sink.events == []  # each begins with one that fails
    sink.bad = set()
    await until(lambda: len(sink.events) == 18)
    for name in ("a", "b0", "b4"):
        assert sizes(sink, name) == [0, 1, 2]


async def test_one_bad_event_among_good_repositories(driver: InMemoryStorage, boxes: Boxes) -> None:
    sink = Picky({777})
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": QUICK}))
    await write(box, driver, push_of("bad", 777))
    for number in range(20):
        await write_all(box, driver, f"good{number}", 2)
    await until(lambda: len(sink.events) == 40)
    assert sizes(sink, "bad") == []


async def test_after_the_last_attempt_it_is_a_dead_letter_and_the_next_ones_go_on(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Picky({1})
    patience = Subscription(backoff=0.02, threshold=100, max_attempts=3)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": patience}))
    await write_all(box, driver, "a", 4)
    await until(lambda: sizes(sink) == [0, 2, 3])
    [(key, letter)] = [found async for found in Queue(driver, "collects").dead_letters()]
    assert (letter.event.target.size, letter.reason, letter.attempts) == (1, "not this one", 3)
    sink.bad = set()
    assert await Inspection(driver).replay("collects", [key]) == 1
    await until(lambda: sizes(sink) == [0, 2, 3, 1])
    assert sink.events[-1].id == letter.event.id
    assert [found async for found in Queue(driver, "collects").dead_letters()] == []


async def test_what_can_never_be_delivered_is_given_up_alone(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Picky({1}, permanent=True)
    gate = sink.gate = asyncio.Event()
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": QUICK}))
    await write(box, driver, push_of("z", 9))
    await until(lambda: sink.attempts == 1)
    await write_all(box, driver, "a", 4)  # they come as one batch
    gate.set()
    await until(lambda: sizes(sink) == [0, 2, 3])
    letters = [letter async for _, letter in Queue(driver, "collects").dead_letters()]
    assert [letter.event.target.size for letter in letters] == [1]
    assert sink.refused >= 2  # with the others, and alone


async def test_what_is_too_old_is_given_up_while_the_sink_is_away(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Collects(failures=10**6)
    patience = Subscription(backoff=0.02, threshold=2, max_age=0.3)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": patience}))
    await asyncio.gather(*(write_all(box, driver, f"a{number}", 2) for number in range(3)))

    async def dead() -> int:
        return len([key async for key in Queue(driver, "collects").dead_keys()])

    async with asyncio.timeout(20):
        while await dead() < 6:
            await asyncio.sleep(0.02)
    assert sink.events == []


async def test_a_sink_that_does_not_answer_is_given_a_rest(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Collects(failures=10**6)
    patience = Subscription(backoff=30.0, threshold=2)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": patience}))
    for number in range(10):
        await write_all(box, driver, f"a{number}", 1)
    await until(lambda: sink.attempts >= 2)
    await asyncio.sleep(0.5)
    assert sink.attempts == 2


async def test_deliveries_take_no_longer_than_they_may(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Collects(gate=asyncio.Event())
    patience = Subscription(backoff=0.02, threshold=100, timeout=0.05)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": patience}))
    await write_all(box, driver, "a", 1)
    await until(lambda: sink.attempts >= 3)
    sink.gate = None
    await until(lambda: sizes(sink) == [0])


@pytest.mark.parametrize(
    ("subscription", "heard"),
    [
        (Subscription(actions=frozenset({"delete"})), []),
        (Subscription(ignored_actions=frozenset({"push"})), []),
        (Subscription(repositories=("team/*",)), ["team/app"]),
        (Subscription(repositories=("team/**",)), ["team/app", "team/app/sub"]),
        (Subscription(repositories=("**/sub", "a")), ["a", "team/app/sub"]),
        (Subscription(ignored_media_types=frozenset({"m"})), []),
        (Subscription(), ["a", "team/app", "team/app/sub"]),
    ],
)
async def test_a_sink_hears_of_what_it_subscribed_to(
    driver: InMemoryStorage, boxes: Boxes, subscription: Subscription, heard: list[str]
) -> None:
    sink, all_of_it = Collects(), Collects("all")
    box = await boxes.started(
        outbox(driver, sink, all_of_it, subscriptions={"collects": subscription})
    )
    for name in ("a", "team/app", "team/app/sub"):
        await write(box, driver, tagging(name, 1, "v1"))
    await until(lambda: len(all_of_it.events) == 3)
    await until(lambda: len(sink.events) == len(heard))
    assert [event.repository for event in sink.events] == heard


async def test_one_process_delivers_at_a_time_and_another_takes_over(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sinks = [Collects(batch=1) for _ in range(3)]
    # Long enough that nobody is taken for dead on a busy machine.
    crew = [outbox(driver, sink, silence=5.0) for sink in sinks]
    for box in crew:
        await box.start()
    for number in range(30):
        await write(crew[number % 3], driver, push_of("a", number))
    await until(lambda: sum(len(sink.events) for sink in sinks) == 30)
    assert sorted(len(sink.events) for sink in sinks) == [0, 0, 30]
    [holder] = [index for index, sink in enumerate(sinks) if sink.events]
    assert sizes(sinks[holder]) == list(range(30))  # whoever took the write
    await die(crew[holder])
    others = [index for index in range(3) if index != holder]
    for number in range(30, 40):
        await write(crew[others[number % 2]], driver, push_of("a", number))
    await until(lambda: sum(len(sinks[index].events) for index in others) == 10)
    for index in others:
        await crew[index].stop()


async def test_a_million_would_be_held_within_bounds(
    driver: InMemoryStorage, boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyreg.outbox.window.MOST_EVENTS", 100)
    sink = Collects(failures=10**6)
    patience = Subscription(backoff=0.02, threshold=2)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": patience}))
    for turn in range(10):
        await asyncio.gather(
            *(write(box, driver, push_of(f"r{n}", turn * 100 + n)) for n in range(100))
        )
    [route] = box._routes
    await until(lambda: len(box._queues) == 0 and route.dispatcher.pending >= 100)
    assert len(route.dispatcher._lanes) <= 600  # the window, and a segment
    sink.failures = 0
    await until(lambda: len(sink.events) == 1000)
    assert len({event.id for event in sink.events}) == 1000


async def test_what_an_operator_drops_is_not_tried_again(
    driver: InMemoryStorage, boxes: Boxes
) -> None:
    sink = Collects(failures=10**6)
    patience = Subscription(backoff=0.05, threshold=1)
    box = await boxes.started(outbox(driver, sink, subscriptions={"collects": patience}))
    await write_all(box, driver, "a", 5)
    await until(lambda: sink.attempts > 1)
    inspection = Inspection(driver)
    waiting = [record async for _, record in inspection.waiting("collects")]
    ids = {record.id for record in waiting if record.events[0].target.size in (1, 2)}
    assert await inspection.drop("collects", ids) == 2
    attempts = sink.attempts
    await until(lambda: sink.attempts > attempts + 2)
    sink.failures = 0
    await until(lambda: {0, 3, 4} <= set(sizes(sink)))
    await asyncio.sleep(0.3)
    assert set(sizes(sink)) & {1, 2} == set()


async def test_overviews_tell_of_leftovers_of_endpoints_that_are_gone(
    driver: InMemoryStorage,
) -> None:
    for name in ("old", "Ünïcode name/with:everything"):
        box = outbox(driver, Collects(name, failures=10**6))
        await box.start()
        await write_all(box, driver, "a", 2)
        await box.stop(patience=0.2)
    names = ["Ünïcode name/with:everything", "new"]
    found = await Inspection(driver).overviews(names)
    assert [(item.name, item.configured, item.waiting) for item in found] == [
        ("Ünïcode name/with:everything", True, 2),
        ("new", True, 0),
        ("old", False, 2),
    ]
    assert await Inspection(driver).drop("old", None) == 2
    assert places.sink("../x").startswith(places.SINKS)
    assert time.time() - (found[0].oldest or 0) < 60
