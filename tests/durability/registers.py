"""Whether what was seen of a value that many change at once can be explained at all.

A tag, and likewise the presence of a blob or a manifest, is a register: written, deleted and read
by concurrent clients. The operations on it are *linearizable* if each can be given one moment
between its beginning and its end, so that every read sees the last write before it. An operation
whose answer never came may have had its moment, or have had no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Value = str | None
"""A digest; None where there is nothing."""

World = tuple[Value, frozenset[int]]
"""A possible truth: the value, and which of the operations under way have had their moment."""


@dataclass(slots=True)
class Operation:
    """One operation on a register.

    Attributes:
        number: Tells it from others.
        kind: Deletes are writes of None.
        value: What it writes, or what it has read.
        outcome: `sure`: it was acknowledged; `lost`: nobody knows whether it happened.
        note: For people.
    """

    number: int
    kind: Literal["write", "read"]
    value: Value
    outcome: Literal["open", "sure", "lost"] = "open"
    note: str = ""

    def __str__(self) -> str:
        value = "nothing" if self.value is None else self.value[:19]
        return f"#{self.number} {self.kind} {value} ({self.outcome}) {self.note}"


Event = tuple[Literal["begin", "end"], Operation]


class Impossible(AssertionError):
    """What was seen cannot be explained: something acknowledged was lost, or came back."""


@dataclass
class Register:
    """All that may be true of one register.

    Attributes:
        name: For messages.
        values: What its value may be, at a moment without operations under way.
    """

    name: str
    values: frozenset[Value] = frozenset({None})
    _history: list[str] = field(default_factory=list)

    def settle(self, events: Sequence[Event]) -> None:
        """Take in what happened up to a moment at which nothing is under way.

        Args:
            events: In the order in which they were seen; each operation begins and ends.

        Raises:
            Impossible: no order of moments explains them.
        """
        worlds: set[World] = {(value, frozenset()) for value in self.values}
        running: dict[int, Operation] = {}
        for what, operation in events:
            self._history.append(f"{what:5} {operation}")
            if what == "begin":
                running[operation.number] = operation
                continue
            del running[operation.number]
            worlds = self._after(worlds, operation, running.values())
            if not worlds:
                raise Impossible(self._told(operation))
        assert not running, f"{self.name}: settled with operations under way: {running}"
        self.values = frozenset(value for value, _ in worlds)
        del self._history[:-40]

    def _after(
        self, worlds: set[World], ended: Operation, running: Iterable[Operation]
    ) -> set[World]:
        reached = _reach(worlds, [ended, *running])
        happened = {
            (value, done - {ended.number}) for value, done in reached if ended.number in done
        }
        if ended.outcome == "sure":
            return happened
        return happened | {world for world in reached if ended.number not in world[1]}

    def _told(self, operation: Operation) -> str:
        before = ", ".join(value or "nothing" for value in self.values)
        lines = "\n  ".join(self._history[-40:])
        return (
            f"{self.name}: {operation} cannot be explained; at the last check it was {before}; "
            f"since then and before:\n  {lines}"
        )


def _reach(worlds: set[World], running: Sequence[Operation]) -> set[World]:
    """All worlds that come about when some of the operations have their moment now."""
    reached = set(worlds)
    fresh = list(worlds)
    while fresh:
        value, done = fresh.pop()
        for operation in running:
            if operation.number in done:
                continue
            if operation.kind == "read" and operation.value != value:
                continue
            after = operation.value if operation.kind == "write" else value
            world = (after, done | {operation.number})
            if world not in reached:
                reached.add(world)
                fresh.append(world)
    return reached
