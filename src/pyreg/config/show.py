"""The effective configuration as YAML: every value with its origin, secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from pyreg.config.loading import Loaded, configuration_shape
from pyreg.config.model import Configuration, Storage
from pyreg.config.redact import MASK, mask_text
from pyreg.config.section import Section
from pyreg.config.shape import ANYTHING, Shape
from pyreg.config.source import resolve
from pyreg.config.tree import Node
from pyreg.config.values import format_duration, format_size

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class _Shown:
    """Something to show: a scalar in YAML, a mapping or a list; and where it came from."""

    value: str | dict[str, _Shown] | list[_Shown]
    origin: str = ""


def show(loaded: Loaded) -> str:
    """Write the effective configuration as YAML.

    Honoured options are shown with their defaults, all others as far as they are given. A
    comment names the line or the variable that a value came from; a value without one is the
    default. Loading the result configures the same, save for the secrets. Plugins are imported,
    as only they know which of their options are secret.
    """
    from pyreg.config.vetting import conceal_secrets

    configuration = loaded.configuration
    conceal_secrets(configuration.plugins)
    shown = _section(configuration, configuration_shape(), loaded.root)
    return "".join(f"{line}\n" for line in _lines(shown, 0))


def _section(section: Section, shape: Shape, node: Node) -> _Shown:
    parts: dict[str, _Shown] = {}
    for name, key in shape.keys.items():
        child = node.child(name)
        given = child is not None and child.value is not None
        if key.status == "honoured" and getattr(section, name) is not None:
            if key.shape.page and given and child is not None and child.not_positive:
                child = None  # it asks for the default
            value = _value(getattr(section, name), name, key.shape, child)
            if key.shape.kind != "section" or value.value:
                parts[name] = value
        elif given and child is not None and key.status != "deprecated":
            parts[name] = _raw(child, key.shape, name, False)
    if shape.item is ANYTHING:
        parts |= {
            name: _raw(child, ANYTHING, name, False)
            for name, child in node.mapping().items()
            if name not in shape.keys and child.value is not None
        }
    if isinstance(section, Storage):
        driver = section.driver
        parts = {driver.name: _raw(driver.node, ANYTHING, "", False), **parts}
    return _Shown(parts)


def _value(value: Any, name: str, shape: Shape, node: Node | None) -> _Shown:
    """An honoured option: the value that is in force."""
    if isinstance(value, Section):
        return _section(value, shape, node if node is not None else _NOTHING)
    origin = _origin(node)
    if isinstance(value, Mapping):
        entries = node.mapping() if node is not None else {}
        return _Shown(
            {
                inner: _value(part, inner, shape.inside(inner), entries.get(inner))
                for inner, part in value.items()
            },
            origin,
        )
    if isinstance(value, list | tuple):
        item = shape.inside(0)
        items = node.value if node is not None and isinstance(node.value, list) else []
        nodes = [*items, *[None] * (len(value) - len(items))]
        return _Shown(
            [_value(part, name, item, inner) for part, inner in zip(value, nodes, strict=True)],
            origin,
        )
    if isinstance(value, SecretStr):
        return _Shown(_scalar(MASK if value.get_secret_value() else ""), origin)
    if value not in (None, "") and shape.hides(name):
        return _Shown(_scalar(MASK), origin)
    if shape.unit == "duration":
        return _Shown(format_duration(value), origin)
    if shape.unit == "size":
        return _Shown(format_size(value), origin)
    return _Shown(_scalar(value.pattern if isinstance(value, re.Pattern) else value), origin)


def _raw(node: Node, shape: Shape, name: str, hidden: bool) -> _Shown:
    """What a plugin will read, or nobody: as it was written."""
    container = isinstance(node.value, dict | list)
    hidden = hidden or node.secret or shape.hides(name, container=container)
    if isinstance(node.value, dict):
        return _Shown(
            {
                inner: _raw(child, shape.inside(inner), inner, hidden)
                for inner, child in node.value.items()
                if child.value is not None
            },
            _origin(node),
        )
    if isinstance(node.value, list):
        item = shape.inside(0)
        return _Shown([_raw(child, item, name, hidden) for child in node.value], _origin(node))
    if hidden and node.written:
        return _Shown(_scalar(MASK), _origin(node))
    return _Shown(
        _scalar(node.value) if isinstance(node.value, str) else node.written, _origin(node)
    )


_NOTHING = Node({}, Configuration().storage.driver.origin)


def _origin(node: Node | None) -> str:
    return "" if node is None or node.origin.source == "default" else str(node.origin)


def _scalar(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return str(value)
    text = mask_text(str(value))
    if _PLAIN.fullmatch(text) and isinstance(resolve(text), str) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else f"\\U{ord(character):08X}" for character in quoted
    )


def _lines(shown: _Shown, indent: int) -> Iterator[str]:
    pad = "  " * indent
    if isinstance(shown.value, dict):
        for name, part in shown.value.items():
            yield from _entry(f"{pad}{_scalar(name)}:", part, indent)
    elif isinstance(shown.value, list):
        for part in shown.value:
            if isinstance(part.value, dict) and part.value:
                first, *rest = _lines(part, indent + 1)
                yield f"{pad}- {first.lstrip()}"
                yield from rest
            else:
                yield from _entry(f"{pad}-", part, indent)


def _entry(head: str, part: _Shown, indent: int) -> Iterator[str]:
    inline = _inline(part)
    if inline is not None:
        comment = f"  # {_comment(part)}" if _comment(part) else ""
        yield f"{head} {inline}{comment}"
    else:
        yield head
        yield from _lines(part, indent + 1)


def _inline(part: _Shown) -> str | None:
    """The YAML of a scalar, of a list of scalars, or of something empty; else None."""
    if isinstance(part.value, str):
        return part.value
    if isinstance(part.value, dict):
        return None if part.value else "{}"
    texts = [item.value for item in part.value if isinstance(item.value, str)]
    return f"[{', '.join(texts)}]" if len(texts) == len(part.value) else None


def _comment(part: _Shown) -> str:
    """Where it came from; for a list, where its first item did if the list itself says nothing."""
    if isinstance(part.value, list):
        origins = dict.fromkeys([part.origin, *(item.origin for item in part.value)])
        variables = [origin for origin in origins if origin.startswith("REGISTRY_")]
        return ", ".join(variables) if variables else part.origin
    return part.origin
