"""What will not do what its author may think: unknown keys, keys without effect, traps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyreg.config.mistakes import did_you_mean
from pyreg.config.shape import Key, Shape, all_keys
from pyreg.config.tree import Node, dotted
from pyreg.errors import Mistake


def warnings_of(node: Node, shape: Shape, prefix: Sequence[str | int] = ()) -> list[Mistake]:
    """Walk a tree and its shape together, and list the warnings in the order of the file.

    Args:
        node: The tree.
        shape: Its shape.
        prefix: Where the tree stands in the whole configuration.
    """
    found = list(_walk(node, shape, list(prefix), shape))
    found.sort(key=lambda warning: warning.line or 0)
    return found


def _walk(node: Node, shape: Shape, path: list[str | int], root: Shape) -> Iterator[Mistake]:
    if shape.kind == "leaf":
        if shape.unit == "duration" and type(node.value) is int and node.value:
            text = node.text
            message = f"{text} without a unit is {text} nanoseconds; write {text}s for seconds"
            yield _warning(node, path, message)
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield from _walk(item, shape.inside(index), [*path, index], root)
    elif isinstance(node.value, dict) and shape.kind in ("section", "map"):
        for name, child in node.value.items():
            entry = shape.keys.get(name)
            if shape.kind == "section" and entry is None and shape.item is None:
                if not shape.forbids:
                    hint = did_you_mean(name, shape.keys) or _elsewhere(name, root)
                    message = "is not a known key, and is ignored"
                    yield _warning(child, [*path, name], message, hint)
                continue
            if entry is not None and child.value is not None:
                yield from _effect(entry, child, [*path, name])
            if entry is None or entry.status != "ignored":
                yield from _walk(child, shape.inside(name), [*path, name], root)


def _effect(entry: Key, node: Node, path: Sequence[str | int]) -> Iterator[Mistake]:
    if entry.status == "ignored" and not entry.quiet:
        yield _warning(node, path, f"is accepted and ignored: {entry.reason}")
    elif entry.status == "deprecated":
        yield _warning(node, path, f"is deprecated: {entry.reason}")
    elif entry.shape.page and node.not_positive:
        message = f"{node.written} stands for the default, {entry.default}"
        yield _warning(node, path, message)


def _elsewhere(name: str, root: Shape) -> str:
    """A hint for a key that is known, but in another section."""
    places = [path for path, _, _ in all_keys(root) if path.rpartition(".")[2] == name.lower()]
    return f"did you mean {places[0]}?" if len(places) == 1 else ""


def _warning(node: Node, path: Sequence[str | int], message: str, hint: str = "") -> Mistake:
    return Mistake(dotted(path), message, node.origin.source, node.origin.line, hint)
