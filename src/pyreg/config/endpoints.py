"""The endpoints of `notifications` as they are written: their names, and whose their keys are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import get_args

from pyreg.config.mistakes import did_you_mean, quoted
from pyreg.config.notifications import TYPE
from pyreg.config.shape import Shape
from pyreg.config.tree import Node, Origin, is_true, items
from pyreg.errors import Mistake
from pyreg.hooks.events import Action

_DEFAULT = Origin("default")
_PATH = "notifications.endpoints"


def endpoints(root: Node) -> Iterator[tuple[str, Node]]:
    """The path and the tree of each endpoint that is not disabled."""
    for index, node in _endpoints(root):
        yield f"{_PATH}[{index}]", node


def name_endpoints(root: Node) -> tuple[list[Mistake], list[Mistake]]:
    """Give a name to each endpoint that has none: the Docker registry does not ask for one.

    Args:
        root: The tree of the whole configuration; it is changed.

    Returns:
        The mistakes: names that two endpoints have. The warnings: names that were left out.
    """
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    known: dict[str, Origin] = {}
    for index, node in _endpoints(root):
        path = f"{_PATH}[{index}]"
        name = node.child("name")
        if name is None or name.value in (None, ""):
            name = node.mapping()["name"] = Node(f"endpoint-{index + 1}", _DEFAULT)
            message = (
                f"has no name, and is called {name.value} after its place; name it, "
                "since events that wait for it are kept under its name"
            )
            warnings.append(Mistake(path, message, node.origin.source, node.origin.line))
        if not name.written:
            continue  # something else than text, which validation tells
        origin = node.origin if name.origin is _DEFAULT else name.origin
        if name.written not in known:
            known[name.written] = origin
            continue
        message = (
            f"{quoted(name.written)} is the name of another endpoint, too "
            f"({known[name.written]}); events that wait are kept under the name, so each "
            "endpoint needs its own"
        )
        mistakes.append(Mistake(f"{path}.name", message, origin.source, origin.line))
    return mistakes, warnings


def ignored_in_vain(root: Node) -> Iterator[Mistake]:
    """Words in `ignore.actions` that are no actions; the Docker registry takes any word."""
    actions = get_args(Action)
    for path, node in endpoints(root):
        for index, word in enumerate(items(node.child("ignore", "actions"))):
            if word.written and word.written.lower() not in actions:
                message = f"{quoted(word.written)} is no action, and has no effect"
                where = word.origin
                hint = did_you_mean(word.written, actions)
                place = f"{path}.ignore.actions[{index}]"
                yield Mistake(place, message, where.source, where.line, hint)


def sink_type(node: Node) -> str:
    """The event sink that an endpoint asks for."""
    kind = node.child("type")
    return kind.written if kind is not None and kind.written else TYPE


def sink_options(node: Node, core: Collection[str]) -> Node:
    """What an endpoint says to its sink: its name, and every key that is not the core's."""
    own = {key: part for key, part in node.mapping().items() if key == "name" or key not in core}
    return Node(own, node.origin)


def core_keys(shape: Shape) -> tuple[str, ...]:
    """The keys of an endpoint that the core acts on itself.

    Args:
        shape: The shape of the whole configuration.
    """
    endpoint = shape.inside("notifications").inside("endpoints").inside(0)
    return tuple(name for name, key in endpoint.keys.items() if key.status == "honoured")


def _endpoints(root: Node) -> Iterator[tuple[int, Node]]:
    for index, node in enumerate(items(root.child("notifications", "endpoints"))):
        if isinstance(node.value, dict) and not is_true(node.child("disabled")):
            yield index, node
