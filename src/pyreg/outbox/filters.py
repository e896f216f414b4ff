"""Which events a sink hears of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from pyreg.hooks.events import Action, Event, Subscription
from pyreg.outbox.record import Record

_WILD = re.compile(r"(\*\*|\*|\?)")
_STARS = ("*", "**")


class Filter:
    """A subscription, ready to be asked.

    Args:
        subscription: What the sink is to hear of.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._named = lru_cache(1024)(_matcher(subscription.repositories))

    def hears_of(self, action: Action) -> bool:
        """Whether it hears of any event of an action."""
        wanted = self._subscription.actions
        return (not wanted or action in wanted) and (
            action not in self._subscription.ignored_actions
        )

    def wants(self, event: Event) -> bool:
        """Whether it hears of an event."""
        return (
            self.hears_of(event.action)
            and event.target.media_type not in self._subscription.ignored_media_types
            and self._named(event.repository)
        )

    def apply(self, records: Iterable[Record]) -> list[Record]:
        """What it hears of these records."""
        # The events of a record differ in nothing that a filter looks at.
        found = [record for record in records if self.wants(record.events[0])]
        return found if self._subscription.references else [unreferenced(item) for item in found]


def unreferenced(record: Record) -> Record:
    """A record without what its manifest refers to."""
    if not record.events[0].references:
        return record
    return replace(record, events=tuple(replace(event, references=()) for event in record.events))


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    compiled = [_WILD.split(pattern) for pattern in patterns]
    if not compiled:
        return lambda name: True
    return lambda name: any(_matches(parts, name) for parts in compiled)


def _matches(parts: Sequence[str], name: str) -> bool:
    """Whether a name matches a pattern.

    Clients choose the names. So all ways through the pattern are gone at once, which takes time
    for each character by the length of the pattern; a regular expression could take for ever.
    """
    steps: list[str] = []
    for part in parts:
        steps += [part] if _WILD.fullmatch(part) else part
    here = _skipped(steps, {0})
    for character in name:
        there: set[int] = set()
        for at in here:
            step = steps[at] if at < len(steps) else ""
            if step == "**" or (step == "*" and character != "/"):
                there.add(at)
            elif step == character or (step == "?" and character != "/"):
                there.add(at + 1)
        here = _skipped(steps, there)
    return len(steps) in here


def _skipped(steps: Sequence[str], places: set[int]) -> set[int]:
    """These places, and those behind stars that stand for nothing."""
    found = set(places)
    for at in sorted(places):
        while at < len(steps) and steps[at] in _STARS:
            at += 1
            found.add(at)
    return found
