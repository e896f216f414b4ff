"""A policy in a file of its own: read whole or not at all, and read again when it changes."""

from __future__ import annotations

import difflib
import io
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pyreg.errors import ConfigurationError, Mistake
from pyreg_auth_policy.advice import warnings_of
from pyreg_auth_policy.options import Action, Caller, Rule, Rules
from pyreg_auth_policy.policy import Policy

log = logging.getLogger("pyreg.auth.policy")

MAX_BYTES = 1024 * 1024
"""The largest policy, in bytes."""

MAX_VALUES = 50_000
"""The most values in one, counting each use of an anchor in full."""

SETTLED = 1.0
"""Seconds for which a file has to rest before it is read again: who writes it may not be done."""

_MAX_DEPTH = 16

_EXPECTED = {
    "model_type": "expected a mapping (lines of `key: value`)",
    "model_attributes_type": "expected a mapping (lines of `key: value`)",
    "mapping_type": "expected a mapping (lines of `key: value`)",
    "too_short": "expected at least one entry",
}

Version = tuple[int, int, int]


class PolicyFile:
    """The policy that a file has.

    Args:
        path: The file.

    Attributes:
        policy: The last one that was good.

    Raises:
        ConfigurationError: it is missing or has mistakes, each with its line.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen = _version(path)
        self.policy = load(path)

    def refresh(self) -> None:
        """Read the file if it has changed and rests; while it is broken, the old one stays.

        A file that somebody is writing in place could be a policy without its last rules, so
        it is read once nobody has touched it for a moment.
        """
        version = _version(self.path)
        if version == self._seen:
            return
        if version is not None and abs(time.time() - version[0] / 1e9) < SETTLED:
            return
        try:
            if version is None:
                raise ConfigurationError([Mistake("", "is gone", self.path)])
            policy = load(self.path)
            if _version(self.path) != version:
                return
        except ConfigurationError as error:
            log.error("the old policy stays in force, since the new one has mistakes:\n%s", error)
        else:
            self.policy = policy
            log.info("%s was read again; rules in it: %d", self.path, len(policy.rules))
        self._seen = version


def load(path: str) -> Policy:
    """Read a policy.

    Raises:
        ConfigurationError: with every mistake and its line.
    """
    root = _composed(path)
    plain = _Plain(path)
    try:
        rules = Rules.model_validate(plain.value(root) if root is not None else None)
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = [_mistake(detail, path, plain.lines) for detail in details]
        found.sort(key=lambda mistake: mistake.line or 0)
        raise ConfigurationError(list(dict.fromkeys(found))) from None
    places = [f"{path}:{plain.lines['rules', index]}" for index in range(len(rules.rules))]
    policy = Policy(rules, places)
    for warning in warnings_of(policy):
        log.warning("%s", warning)
    return policy


def rule_lines(path: str, *above: str) -> list[int]:
    """The lines of the rules in a file that has them below some keys; empty if it has none."""
    node = _composed(path)
    for key in (*above, "rules"):
        entries = node.value if isinstance(node, MappingNode) else []
        node = next((value for name, value in entries if name.value == key), None)
    items = node.value if isinstance(node, SequenceNode) else []
    return [item.start_mark.line + 1 for item in items]


def _version(path: str) -> Version | None:
    """What changes when the file does; None if it cannot be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _composed(path: str) -> Node | None:
    """The tree of a YAML file, not constructed into anything."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise _failure(path, f"the policy cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _failure(path, "is not text in UTF-8; expected a policy in YAML") from None
    if len(data) > MAX_BYTES:
        raise _failure(path, f"is larger than {MAX_BYTES} bytes; expected a policy")
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(io.StringIO(text))
        return root
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        message = f"is not YAML: {error.problem or error.context}"
        hint = "a pattern that begins with `*` or `{` has to be in quotes"
        raise ConfigurationError([Mistake("", message, path, line, hint)]) from None
    except (YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
        raise _failure(path, "is not YAML") from None


class _Plain:
    """Turns a tree into plain data, in which each scalar is the text that was written.

    Attributes:
        lines: Of each value, by where it is.
    """

    def __init__(self, path: str) -> None:
        self.lines: dict[tuple[str | int, ...], int] = {}
        self._path = path
        self._count = 0

    def value(self, node: Node, location: tuple[str | int, ...] = ()) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(location, line)
        self._count += 1
        if self._count > MAX_VALUES or len(location) > _MAX_DEPTH:
            raise _failure(self._path, "is too large or too deep for a policy", line)
        if isinstance(node, MappingNode):
            found: dict[str, Any] = {}
            for key, inner in node.value:
                name = key.value if isinstance(key, ScalarNode) else None
                at = key.start_mark.line + 1
                if name is None:
                    raise _failure(self._path, "has a mapping or a list as a key", at)
                if name in found:
                    raise _failure(self._path, f"the key {name!r} is given twice", at)
                self.lines[*location, name] = at
                found[name] = self.value(inner, (*location, name))
            return {name: inner for name, inner in found.items() if inner is not None}
        if isinstance(node, SequenceNode):
            return [self.value(item, (*location, at)) for at, item in enumerate(node.value)]
        return None if node.tag == "tag:yaml.org,2002:null" else node.value


def _mistake(
    detail: ErrorDetails, path: str, lines: Mapping[tuple[str | int, ...], int]
) -> Mistake:
    location = tuple(detail["loc"])
    where = location
    while where not in lines and where:
        where = where[:-1]
    message, hint = _explained(detail, location)
    return Mistake(dotted(location), message, path, lines.get(where), hint)


def _explained(detail: ErrorDetails, location: Sequence[str | int]) -> tuple[str, str]:
    """What was expected, and a hint."""
    kind = detail["type"]
    if kind == "missing":
        return "is required, and nothing is given", ""
    if kind == "extra_forbidden":
        sections: dict[int, type[BaseModel]] = {1: Rules, 3: Rule}
        section = sections.get(len(location), Caller)
        return "is not a known key", _did_you_mean(location[-1], section.model_fields)
    got = detail["input"]
    found = f', got "{got}"' if isinstance(got, str) else ""
    if kind == "literal_error":
        actions = get_args(Action)
        return f"expected one of {', '.join(actions)}{found}", _did_you_mean(got, actions)
    message = _EXPECTED.get(kind) or str(detail.get("ctx", {}).get("error", detail["msg"]))
    return message + (found if message.startswith("expected") else ""), ""


def _did_you_mean(word: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]}?" if close else ""


def dotted(location: Sequence[str | int]) -> str:
    """Write a location as people do: `rules[2].to[0]`."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _failure(path: str, message: str, line: int | None = None) -> ConfigurationError:
    return ConfigurationError([Mistake("", message, path, line)])
