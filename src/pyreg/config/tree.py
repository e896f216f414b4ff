"""A configuration as it was written: values, each with the place it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from.

    Attributes:
        source: The file's name, the environment variable's name, or `default`.
        line: The line in the file, counted from 1; None for anything but a file.
        variable: Whether `source` is an environment variable.
    """

    source: str
    line: int | None = None
    variable: bool = False

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(slots=True)
class Node:
    """One value, and everything inside it.

    Attributes:
        value: A scalar, a mapping or a list.
        origin: Where it came from.
        text: A scalar exactly as it was written; "" for anything that was not written.
        implied: A mapping that nobody wrote: it is there because the name of an environment
            variable led through it, so an underscore may have been part of a key instead.
        secret: Whether a plugin has declared that it must not be shown.
    """

    value: Scalar | dict[str, Node] | list[Node]
    origin: Origin
    text: str = ""
    implied: bool = False
    secret: bool = False

    @property
    def written(self) -> str:
        """A scalar as it was written, or would be; "" for anything else, and for nothing."""
        if self.text or self.value is None or isinstance(self.value, dict | list):
            return self.text
        return json.dumps(self.value) if isinstance(self.value, bool) else str(self.value)

    @property
    def not_positive(self) -> bool:
        """Whether it is a number of 0 or less, quoted or not."""
        try:
            number = float(self.value if isinstance(self.value, int) else self.written)
        except ValueError:
            return False
        return number <= 0

    def mapping(self) -> dict[str, Node]:
        """The entries of a mapping; none for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def child(self, *names: str) -> Node | None:
        """The value under these keys, one inside the other; None where there is none."""
        node: Node | None = self
        for name in names:
            if node is None:
                return None
            node = node.mapping().get(name)
        return node

    def find(self, location: Sequence[str | int]) -> tuple[Node, int]:
        """Follow keys and indices as far as they lead.

        Returns:
            The node that was reached, and how many steps led there.
        """
        node = self
        for depth, step in enumerate(location):
            found: Node | None = None
            if isinstance(node.value, dict):
                found = node.value.get(str(step))
            elif isinstance(node.value, list) and isinstance(step, int):
                found = node.value[step] if 0 <= step < len(node.value) else None
            if found is None:
                return node, depth
            node = found
        return node, len(location)

    def plain(self) -> Any:
        """The value as Python data; keys with nothing behind them are left out."""
        if isinstance(self.value, dict):
            return {
                name: node.plain() for name, node in self.value.items() if node.value is not None
            }
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def copy(self) -> Node:
        """A copy that shares nothing that can change."""
        if isinstance(self.value, dict):
            return Node(
                {name: node.copy() for name, node in self.value.items()},
                self.origin,
                implied=self.implied,
            )
        if isinstance(self.value, list):
            return Node([node.copy() for node in self.value], self.origin)
        return Node(self.value, self.origin, self.text)

    def walk(self) -> Iterator[Node]:
        """This node and every node inside it."""
        yield self
        inside = self.value
        if isinstance(inside, dict):
            inside = list(inside.values())
        if isinstance(inside, list):
            for node in inside:
                yield from node.walk()

    def size(self) -> int:
        """How many nodes it is made of."""
        return sum(1 for _ in self.walk())


def items(node: Node | None) -> list[Node]:
    """The items of a list; none for anything else, and for nothing."""
    return node.value if node is not None and isinstance(node.value, list) else []


def is_true(node: Node | None) -> bool:
    """Whether it says true, in one of the ways in which a switch may say so."""
    return node is not None and node.written.lower() in ("true", "yes", "on", "y", "t", "1")


def from_python(value: Any, origin: Origin = Origin("")) -> Node:
    """Make a tree of mappings, lists and scalars that do not come from a text."""
    if isinstance(value, Mapping):
        return Node({str(name): from_python(part, origin) for name, part in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([from_python(part, origin) for part in value], origin)
    return Node(value, origin)


def dotted(location: Sequence[str | int]) -> str:
    """Write a location as people do: `health.http[0].timeout`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path
