"""What holds for all records, patterns, and ways in which deliveries can go."""

from __future__ import annotations

import fnmatch
import json
import re
import string
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyreg.hooks import Descriptor, Event, RequestInfo, Subscription
from pyreg.hooks.events import Kind
from pyreg.outbox import places
from pyreg.outbox.filters import Filter
from pyreg.outbox.lanes import Batch, Lanes, Loaded, Waiting
from pyreg.outbox.queue import DeadLetter, Segment
from pyreg.outbox.record import Record, count, decode, decode_all, encode_all, in_groups

texts = st.text(max_size=20)
names = st.text(string.ascii_lowercase + "/", min_size=1, max_size=12)
descriptors = st.builds(
    Descriptor,
    media_type=texts,
    digest=texts,
    size=st.integers(0, 2**63),
    artifact_type=st.none() | st.text(min_size=1, max_size=9),
    annotations=st.none() | st.dictionaries(texts, texts, min_size=1, max_size=3),
    platform=st.none()
    | st.dictionaries(texts, texts | st.lists(texts, max_size=2), min_size=1, max_size=3),
    urls=st.lists(texts, max_size=2).map(tuple),
)
events = st.builds(
    Event,
    id=st.uuids().map(str),
    timestamp=st.floats(0, 4e9),
    action=st.sampled_from(["push", "mount", "delete"]),
    kind=st.sampled_from(["manifest", "blob", "tag"]),
    repository=names,
    target=descriptors,
    tag=texts,
    from_repository=texts,
    references=st.lists(descriptors, max_size=3).map(tuple),
    actor=texts,
    request=st.builds(
        RequestInfo, id=texts, client=texts, host=texts, method=texts, user_agent=texts,
        port=st.integers(0, 65535), base=texts,
    ),
    source=st.tuples(texts, texts),
)  # fmt: skip


@st.composite
def records(draw: st.DrawFn) -> Record:
    first = draw(events)
    known: list[Kind] = ["manifest", "blob", "tag"]
    kinds = st.sampled_from(known)
    others = draw(st.lists(st.tuples(st.uuids().map(str), texts, kinds), max_size=3))
    alike: dict[str, Any] = {
        name: getattr(first, name) for name in Event.__slots__ if name not in ("id", "tag", "kind")
    }
    return Record(
        (first, *(Event(id=id, tag=tag, kind=kind, **alike) for id, tag, kind in others)),
        draw(st.integers(0, 10**19)),
    )


@given(records())
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    line = record.encode()
    assert b"\n" not in line
    assert decode(line) == record


@given(st.lists(records(), max_size=8), st.integers(1, 4), st.integers(1, 3000))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_groups_keep_order_and_bounds(found: list[Record], limit: int, size: int) -> None:
    groups = list(in_groups(found, limit=limit, size=size))
    assert [record for group, _ in groups for record in group] == found
    for group, data in groups:
        assert 0 < len(group) <= limit
        assert len(group) == 1 or len(data) <= size
        assert list(decode_all(data)) == group
        assert encode_all(group) == data


@given(st.binary(max_size=200) | texts.map(str.encode) | records().map(lambda r: r.encode()[:-1]))
def test_what_is_no_record_is_refused(data: bytes) -> None:
    try:
        found = list(decode_all(data))
    except ValueError:
        return
    assert found == []  # nothing but empty lines


@given(records(), texts, st.integers(0, 10**6))
def test_a_dead_letter_keeps_its_event(record: Record, reason: str, attempts: int) -> None:
    event = record.events[0]
    head, _, line = DeadLetter(event, reason, attempts, record.time).encode().partition(b"\n")
    assert json.loads(head) == {"reason": reason, "attempts": attempts}
    assert decode(line) == Record((event,), record.time)


@given(st.integers(0, 10**19), st.integers(0, 10**11), st.integers(0, 10**6), texts)
def test_keys_of_a_queue_are_in_the_order_of_time(
    time: int, later: int, events: int, name: str
) -> None:
    key = places.queued(name, time, "0abc", 7, events)
    assert places.read_queued(key) == (time, events)
    after = places.queued(name, time + later, "0abc", 7, events)
    assert (key < after) == (later > 0)
    assert key.startswith(places.queue(name))


@given(texts, texts)
def test_sinks_of_different_names_have_different_places(one: str, other: str) -> None:
    assert (places.sink(one) == places.sink(other)) == (one == other)


@given(names, names)
def test_a_pattern_without_slashes_is_a_glob(name: str, pattern: str) -> None:
    event = _event(name, 0)
    wild = pattern.replace("a", "*").replace("b", "?")
    found = Filter(Subscription(repositories=(wild,))).wants(event)
    if "/" not in name and "**" not in wild:
        assert found == fnmatch.fnmatchcase(name, wild)
    assert Filter(Subscription(repositories=(wild, "**"))).wants(event)
    assert Filter(Subscription(repositories=(name,))).wants(event)


@pytest.mark.parametrize("pattern", ["a.c", "a+", "(a)", "[a]", "a|b", "a\\"])
def test_nothing_but_stars_and_question_marks_is_special(pattern: str) -> None:
    for name in ("abc", "aa", "a", "b"):
        assert not Filter(Subscription(repositories=(pattern,))).wants(_event(name, 0))
    assert Filter(Subscription(repositories=(pattern,))).wants(_event(pattern, 0))


def _event(repository: str, number: int) -> Event:
    return Event(str(number), float(number), "push", "blob", repository, Descriptor("", "", 0))


class LanesMachine(RuleBasedStateMachine):
    """Deliveries that begin, succeed, fail and are called off, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.number = 0
        self.now = 0.0
        self.model: dict[str, list[str]] = defaultdict(list)
        self.under_way: list[Batch] = []
        self.origins: list[Loaded] = []
        self.left: set[int] = set()

    @rule(repository=st.sampled_from("abc"), count=st.integers(1, 4))
    def load(self, repository: str, count: int) -> None:
        origin = Loaded(Segment(f"k{self.number}", 0, count), 0, count)
        self.origins.append(origin)
        for _ in range(count):
            self.lanes.add(Waiting(_event(repository, self.number), self.number, origin))
            self.model[repository].append(str(self.number))
            self.number += 1

    @rule(most=st.integers(1, 5), passed=st.floats(0, 2))
    def begin(self, most: int, passed: float) -> None:
        self.now += passed
        batch = self.lanes.take(most, self.now)
        if batch is None:
            return
        taken = [item.event for item in batch.waiting]
        assert 0 < len(taken) <= most
        busy = {item.event.repository for other in self.under_way for item in other.waiting}
        for repository in {event.repository for event in taken}:
            assert repository not in busy  # one after the other
            ids = [event.id for event in taken if event.repository == repository]
            assert ids == self.model[repository][: len(ids)]  # in order
        self.under_way.append(batch)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(["delivered", "failed", "given up", "returned"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        batch = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(batch)
        events = [item.event for item in batch.waiting]
        if outcome == "returned":
            self.lanes.returned(batch)
            return
        gone = {event.id for event in events} if outcome == "delivered" else set()
        if outcome == "given up":
            gone = {events[0].id}
        if outcome == "delivered":
            empty = self.lanes.delivered(batch)
        else:
            empty = self.lanes.failed(batch, gone, self.now + 1)
        for event in events:
            if event.id in gone:
                self.model[event.repository].remove(event.id)
        self.left |= {id(origin) for origin in empty}

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if not self.origins:
            return
        origin = data.draw(st.sampled_from(self.origins))
        busy = {item.event.id for batch in self.under_way for item in batch.waiting}
        gone = {item.event.id for item in self.lanes if item.origin is origin} - busy
        empty = self.lanes.without([origin])
        assert origin.gone
        self.left |= {id(each) for each in empty}
        for repository in "abc":
            self.model[repository] = [id for id in self.model[repository] if id not in gone]

    @rule(before=st.integers(0, 60), most=st.integers(1, 3), twice=st.booleans())
    def give_up(self, before: int, most: int, twice: bool) -> None:
        found = self.lanes.overdue(before, most)
        assert len(found) <= most
        for item in found:
            repository = item.event.repository
            assert item.time < before
            assert self.model[repository][0] == item.event.id
            self.left |= {id(each) for each in self.lanes.drop(item)}
            self.model[repository].pop(0)
            if twice:  # two deliveries that fail at one moment
                assert self.lanes.drop(item) == []

    @invariant()
    def nothing_is_lost(self) -> None:
        found: dict[str, list[str]] = defaultdict(list)
        for item in self.lanes:
            found[item.event.repository].append(item.event.id)
        assert dict(found) == {name: ids for name, ids in self.model.items() if ids}
        assert len(self.lanes) == sum(map(len, self.model.values()))
        for origin in self.origins:
            waiting = sum(item.origin is origin for item in self.lanes)
            assert origin.left == waiting
            assert waiting == 0 or id(origin) not in self.left

    def teardown(self) -> None:
        """Everything that is left can be delivered."""
        for batch in self.under_way:
            self.lanes.returned(batch)
        for _ in range(self.number + 1):
            last = self.lanes.take(3, self.now + 100)
            if last is None:
                break
            self.lanes.delivered(last)
        assert len(self.lanes) == 0


TestLanes = LanesMachine.TestCase
TestLanes.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_events_are_counted_without_being_read() -> None:
    record = Record(tuple(_event("a", number) for number in range(3)), 5)
    assert count([record, record]) == 6


@given(st.text("ab/*?", max_size=8), st.text("ab/", max_size=8))
def test_patterns_mean_what_a_regular_expression_means(pattern: str, name: str) -> None:
    pieces = re.split(r"(\*\*|\*|\?)", pattern)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(wild.get(piece, re.escape(piece)) for piece in pieces)
    found = Filter(Subscription(repositories=(pattern,))).wants(_event(name, 0))
    assert found == (re.fullmatch(expression, name) is not None)


def test_a_pattern_with_many_stars_takes_no_time() -> None:
    hard = Filter(Subscription(repositories=("**a" * 60 + "b",)))
    assert not hard.wants(_event("a" * 250, 0))
