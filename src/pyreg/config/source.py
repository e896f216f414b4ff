"""Read YAML into a tree that remembers its lines, within bounds.

The reading follows what the Docker registry's parser does with a file: YAML with anchors and
merge keys, of which the first document counts. Stricter than there: a key that is given twice
is a mistake, and so is a file that is larger, deeper or more repetitive than any configuration.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from pyreg.config.tree import Node, Origin, Scalar
from pyreg.errors import ConfigurationError, Mistake

MAX_BYTES = 1024 * 1024
"""The largest configuration, in bytes."""

MAX_NODES = 20_000
"""The most values, counting each use of an anchor in full."""

MAX_DEPTH = 32
"""How deep mappings and lists may nest."""

STDIN = "-"
"""The path that stands for the standard input."""

# What the third-party scanner lets slip on junk besides its own errors: `"\U99999999"` is an
# OverflowError, `%YAML 1.99999999999999` an AssertionError, and so on.
_JUNK = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError)

_CORE_TAG = re.compile(r"tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LONGEST_NUMBER = 64
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_file(path: str | Path) -> tuple[str, str]:
    """Read a configuration file; `-` is the standard input.

    Returns:
        The text, and the name under which mistakes will speak of it.

    Raises:
        ConfigurationError: it is missing, unreadable, a directory, too large, or not text.
    """
    source = "<stdin>" if str(path) == STDIN else str(path)
    try:
        if str(path) == STDIN:
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _failure(source, "there is no such file") from None
    except IsADirectoryError:
        raise _failure(source, "is a directory; expected a YAML file") from None
    except PermissionError:
        raise _failure(source, "cannot be read: permission denied") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a possible file name"
        raise _failure(source, f"cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise _failure(source, f"is larger than {MAX_BYTES} bytes; expected a configuration")
    try:
        return data.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = "is not text in UTF-8; expected a YAML file"
        raise _failure(source, message, line=line) from None


class Document:
    """The first document of a YAML text.

    Args:
        text: The text.
        source: The name of the file, or of the environment variable.
        variable: Whether it is the value of an environment variable. Messages then quote
            nothing of it, since it may be a secret.

    Attributes:
        root: The tree; a null scalar when the text is empty.
        mistakes: What is wrong, but does not keep the rest from being read (duplicate keys).
        warnings: What will not do what its author may think.

    Raises:
        ConfigurationError: it is not YAML, or beyond the bounds.
    """

    def __init__(self, text: str, source: str, *, variable: bool = False) -> None:
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self._source = source
        self._variable = variable
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        if len(text) > MAX_BYTES:
            raise self._error(f"is larger than {MAX_BYTES} bytes", None)
        yaml = YAML(typ="safe", pure=True)
        yaml.version = None
        self._events = yaml.parse(text)
        try:
            self.root = self._document()
        except MarkedYAMLError as error:
            raise self._syntax(error) from None
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._error("contains characters that no text has", line) from None
        except (YAMLError, *_JUNK):
            raise self._error("is not YAML", None) from None

    def _document(self) -> Node:
        for event in self._events:
            if isinstance(event, StreamEndEvent):
                break
            if isinstance(event, DocumentStartEvent):
                root = self._node(next(self._events), 0, None)
                self._after_the_first()
                return root
        return Node(None, self._origin(1))

    def _after_the_first(self) -> None:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                line = None if self._variable else event.start_mark.line + 1
                message = "only the first YAML document is read; this one is ignored"
                self.warnings.append(Mistake("", message, self._source, line))
                return

    def _node(self, event: Any, depth: int, line: int | None) -> Node:
        """Compose the node that begins with `event`.

        Args:
            event: An event of the parser.
            depth: How many mappings and lists are around it.
            line: The line of its key, where it has one.
        """
        mark = event.start_mark.line + 1
        origin = self._origin(line or mark)
        self._count(1, mark)
        if depth > MAX_DEPTH:
            raise self._error(f"nests deeper than {MAX_DEPTH} levels", mark)
        if isinstance(event, AliasEvent):
            target = self._anchors.get(event.anchor)
            if target is None:
                raise self._error("uses an anchor (*name) that is not defined before it", mark)
            self._count(target.size(), mark)
            return target.copy()
        tag = getattr(event, "tag", None)
        if tag not in (None, "!") and not _CORE_TAG.fullmatch(str(tag)):
            raise self._error("uses a YAML tag (!name), which a configuration does not need", mark)
        node: Node
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, origin)
        elif isinstance(event, SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self._events), SequenceEndEvent):
                items.append(self._node(inner, depth + 1, None))
            node = Node(items, origin)
        elif isinstance(event, MappingStartEvent):
            node = Node(self._mapping(depth), origin)
        else:
            raise self._error("is not YAML", mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            line = event.start_mark.line + 1
            key = self._node(event, depth + 1, None)
            if isinstance(key.value, dict | list):
                raise self._error("has a mapping or a list as a key; expected a word", line)
            plain_merge = key.text == "<<" and event.implicit[0] if key.text else False
            value = self._node(next(self._events), depth + 1, line)
            if plain_merge:
                merged.append(value)
            elif key.text in entries:
                self._twice(key.text, entries[key.text], line)
            else:
                entries[key.text] = value
        for source in merged:
            parts = source.value if isinstance(source.value, list) else [source]
            for part in parts:
                if not isinstance(part.value, dict):
                    raise self._error("merges (<<) something that is not a mapping", None)
                for name, node in part.value.items():
                    entries.setdefault(name, node)
        return entries

    def _twice(self, name: str, first: Node, line: int) -> None:
        if self._variable:
            self.mistakes.append(Mistake("", "gives one key twice", self._source))
            return
        message = f"the key {name!r} is given twice; the first is on line {first.origin.line}"
        self.mistakes.append(Mistake("", message, self._source, line))

    def _scalar(self, event: ScalarEvent, origin: Origin) -> Node:
        plain = bool(event.implicit[0])
        text = str(event.value)
        if _SURROGATE.search(text):
            raise self._error("contains characters that no text has", event.start_mark.line + 1)
        return Node(resolve(text) if plain else text, origin, text)

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._error(f"has more than {MAX_NODES} values, counting anchors in full", line)

    def _origin(self, line: int) -> Origin:
        return Origin(self._source, None if self._variable else line, self._variable)

    def _error(self, message: str, line: int | None) -> ConfigurationError:
        return _failure(self._source, message, line=None if self._variable else line)

    def _syntax(self, error: MarkedYAMLError) -> ConfigurationError:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        problem = str(error.problem or error.context or "cannot be understood")
        if "'\\t'" in problem:
            message = "a tab cannot indent YAML; use spaces"
        elif self._variable:
            message = "is not YAML; put the value in single quotes if it is text"
        else:
            message = f"is not YAML: {problem}"
        return self._error(message, line)


def resolve(text: str) -> Scalar:
    """What an unquoted scalar stands for.

    `yes`, `on` and their like stay text here; whoever expects a truth value takes them as one.
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> int | str:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    try:
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            return sign * int(digits, 8)
        return sign * int(digits, 0)
    except ValueError:
        return text


def _failure(source: str, message: str, *, line: int | None = None) -> ConfigurationError:
    return ConfigurationError([Mistake("", message, source, line)])
