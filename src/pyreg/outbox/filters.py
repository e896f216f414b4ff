"""Which events a sink hears of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

from pyreg.hooks.events import Action, Event, Subscription
from pyreg.outbox.record import Record

_WILD = re.compile(r"\*\*|\*|\?")


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
            and self._named(event.repository) is not None
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


def _matcher(patterns: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    expression = "|".join(map(_expression, patterns)) or ".*"
    return re.compile(expression).fullmatch


def _expression(pattern: str) -> str:
    parts = []
    at = 0
    for wild in _WILD.finditer(pattern):
        parts.append(re.escape(pattern[at : wild.start()]))
        parts.append({"**": ".*", "*": "[^/]*", "?": "[^/]"}[wild[0]])
        at = wild.end()
    return "".join([*parts, re.escape(pattern[at:])])
