"""Turn what validation found into mistakes that name a line, and say what was expected."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pyreg.config.redact import MASK, mask_text
from pyreg.config.shape import ANYTHING, Shape
from pyreg.config.tree import Node, dotted
from pyreg.errors import Mistake

_LONGEST_QUOTE = 60
_MISSING = ("missing", "missing_argument")

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "a mapping (lines of `key: value`)",
    "model_attributes_type": "a mapping (lines of `key: value`)",
    "dataclass_type": "a mapping (lines of `key: value`)",
    "dict_type": "a mapping (lines of `key: value`)",
    "mapping_type": "a mapping (lines of `key: value`)",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def from_validation(
    error: ValidationError, root: Node, shape: Shape, prefix: Sequence[str | int] = ()
) -> list[Mistake]:
    """Every mistake that pydantic found, in the order of the file.

    Args:
        error: What pydantic raised.
        root: The tree that was validated.
        shape: Its shape.
        prefix: Where the tree stands in the whole configuration.
    """
    reader = _Reader(root, shape)
    details = error.errors(include_url=False, include_input=False)
    found = [reader.mistake(detail, prefix) for detail in details]
    found.sort(key=lambda mistake: mistake.line or 0)
    return list(dict.fromkeys(found))


class _Reader:
    """Reads what pydantic says of one tree."""

    def __init__(self, root: Node, shape: Shape) -> None:
        self._root = root
        self._shape = shape
        self._secrets = sorted(secrets_in(root, shape), key=len, reverse=True)

    def mistake(self, detail: ErrorDetails, prefix: Sequence[str | int]) -> Mistake:
        location = [step for step in detail["loc"] if step != "[key]"]
        node, depth = self._root.find(location)
        # What follows a value that is there is pydantic's own: the name of a union's branch.
        shown = location if detail["type"] in _MISSING else location[:depth]
        message, hint = self._message(detail, node, location[:depth])
        origin = node.origin
        return Mistake(dotted([*prefix, *shown]), message, origin.source, origin.line, hint)

    def _message(
        self, detail: ErrorDetails, node: Node, location: Sequence[str | int]
    ) -> tuple[str, str]:
        """What was expected and what was found, and a hint."""
        kind = detail["type"]
        context: dict[str, Any] = detail.get("ctx", {})
        secret = _is_secret(self._shape, location) or node.written in self._secrets
        if kind in _MISSING:
            return "is required, and nothing is given", ""
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            section = self._shape
            for step in location[:-1]:
                section = section.inside(step)
            return "is not a known key", did_you_mean(str(location[-1]), section.keys)
        if kind in ("value_error", "assertion_error"):
            text = "expected another value"
            if not secret:
                text = self._without_secrets(str(context.get("error", ""))) or text
            if not text.startswith("expected") or node.value is None:
                return text, ""
            return f"{text}, got {_got(node, secret)}", ""
        template = _EXPECTED.get(kind)
        if template is None:
            expected = self._without_secrets(detail["msg"]).removeprefix("Input should be ")
        else:
            bounds = {name: _number(value) for name, value in context.items()}
            expected = template.format_map(bounds).replace("'", "")
        hint = ""
        if kind in ("literal_error", "enum"):
            words = expected.replace(" or ", ", ").split(", ")
            if len(words) > 1:
                expected = f"one of {expected}"
                hint = did_you_mean(node.written, words) if not secret else ""
        return f"expected {expected}, got {_got(node, secret)}", hint

    def _without_secrets(self, text: str) -> str:
        """Mask secrets in a message of a plugin's own validation, which may quote its input."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return mask_text(text)


def _is_secret(shape: Shape, location: Sequence[str | int]) -> bool:
    """Whether what stands at a location must not be shown."""
    name = ""
    for depth, step in enumerate(location, start=1):
        shape = shape.inside(step)
        name = step if isinstance(step, str) else name
        if shape.hides(name, container=depth < len(location)):
            return True
    return False


def _number(value: Any) -> str:
    """Write a bound as people do: 1.0 is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _got(node: Node, secret: bool) -> str:
    """Describe what was found, without giving a secret away."""
    value = node.value
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if secret:
        return MASK
    if not isinstance(value, str):
        return node.written[:_LONGEST_QUOTE]
    return quoted(value)


def quoted(text: str) -> str:
    """A text in quotes, on one line, shortened, and without the credentials of URLs."""
    text = mask_text(text)
    if len(text) > _LONGEST_QUOTE:
        text = text[:_LONGEST_QUOTE] + "..."
    return json.dumps(text, ensure_ascii=not text.isprintable())


def secrets_in(node: Node, shape: Shape, name: str = "", hidden: bool = False) -> set[str]:
    """Every text in a tree that must not be shown."""
    container = isinstance(node.value, dict | list)
    hidden = hidden or shape.hides(name, container=container)
    if isinstance(node.value, dict):
        parts = (
            secrets_in(child, shape.inside(step), step, hidden)
            for step, child in node.value.items()
        )
        return set().union(*parts)
    if isinstance(node.value, list):
        item = shape.inside(0)
        return set().union(*(secrets_in(child, item, name, hidden) for child in node.value))
    return {node.written} if hidden and node.written else set()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that is nearest to `word`, as a hint; "" when none is near."""
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]}?" if close else ""


def strings(node: Node, shape: Shape = ANYTHING) -> Any:
    """A tree as the data that pydantic validates.

    Scalars that a shape wants as they were written become text: `secretkey: 0123` is the four
    characters, and not eighty-three. A key that a section knows and that has no value is as good
    as left out; among names of the author's own that would be a line without any effect.
    """
    if isinstance(node.value, dict):
        return {
            name: strings(child, shape.inside(name))
            for name, child in node.value.items()
            if child.value is not None or shape.kind == "map"
        }
    if isinstance(node.value, list):
        return [strings(child, shape.inside(0)) for child in node.value]
    if shape.as_written and node.text and node.value is not None:
        return node.text
    return node.value
