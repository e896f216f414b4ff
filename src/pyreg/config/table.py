"""The table of all keys in the documentation, generated from the model.

`python -m pyreg.config.table docs/reference/configuration.md` brings the page up to date.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from pyreg.config.loading import configuration_shape
from pyreg.config.schema import default_text
from pyreg.config.shape import Key, Shape

BEGIN = "<!-- keys: begin; written by `python -m pyreg.config.table` -->"
END = "<!-- keys: end -->"

_HEADER = "| key | type | default | environment | status | meaning |\n|---|---|---|---|---|---|\n"
_NAMES: dict[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true, false",
    SecretStr: "secret text",
    re.Pattern[str]: "regular expression",
    ipaddress.IPv4Network | ipaddress.IPv6Network: "network",
}


def table() -> str:
    """One table for each section at the top, in Markdown."""
    parts = []
    shape = configuration_shape()
    for name, key in shape.keys.items():
        rows = "".join(_rows(key, name, f"REGISTRY_{key.variable}", key))
        parts.append(f"### `{name}`\n\n{_HEADER}{rows}")
    return "\n".join(parts)


def update(text: str) -> str:
    """Put the current table into the page.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def _rows(key: Key, path: str, variable: str, owner: Key) -> Iterator[str]:
    """The row of a key, and those of the keys below it.

    Args:
        key: The key.
        path: Its dotted path.
        variable: Its environment variable.
        owner: The nearest key around it that is not simply honoured, or itself.
    """
    if key.status != "honoured":
        owner = key
    cells = [
        f"`{path}`",
        _type(key.shape),
        _default(key),
        f"`{variable}`",
        owner.status,
        _meaning(key, owner),
    ]
    yield f"| {' | '.join(cells)} |\n"
    shape = key.shape
    if shape.kind == "list" and shape.item is not None and shape.item.keys:
        path, variable, shape = f"{path}[]", f"{variable}_<n>", shape.item
    for inner in shape.keys.values():
        yield from _rows(inner, f"{path}.{inner.name}", f"{variable}_{inner.variable}", owner)
    if shape.word:
        name, status = f"{path}.<name>", "plugin" if shape.keys else owner.status
        meaning = "Options of the plugin of that name; its documentation lists them."
        yield (f"| `{name}` | options |  | `{variable}_<NAME>_<OPTION>` | {status} | {meaning} |\n")


def _type(shape: Shape) -> str:
    if shape.unit:
        return shape.unit
    if shape.kind == "section":
        return "section"
    if shape.kind == "any":
        return "anything"
    if shape.kind in ("map", "list"):
        item = shape.item
        inner = "" if item is None or item.kind in ("any", "section") else f" of {_type(item)}"
        return f"{'mapping' if shape.kind == 'map' else 'list'}{inner}"
    if typing.get_origin(shape.annotation) is Literal:
        return ", ".join(f"`{word}`" for word in typing.get_args(shape.annotation))
    return _NAMES[shape.annotation]


def _default(key: Key) -> str:
    default = key.default
    if default is PydanticUndefined:
        return "required"
    if key.shape.unit:
        return default_text(key)
    if key.shape.kind == "section" or default in ("", None, ()) or default == {}:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ", ".join(str(item) for item in default)
    return f"`{default}`" if isinstance(default, str) else str(default)


def _meaning(key: Key, owner: Key) -> str:
    if key is not owner or not key.reason:
        return key.meaning
    if key.status == "plugin":
        return f"{key.meaning} Needs {key.reason}."
    return f"{key.meaning} {key.status.capitalize()}: {key.reason}."


def _main(path: Path) -> None:
    path.write_text(update(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
