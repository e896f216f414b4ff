"""The table of keys, and the page that it is in."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from pyreg.config.loading import configuration_shape, parse
from pyreg.config.shape import all_keys
from pyreg.config.table import BEGIN, table, update
from pyreg.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"

DOCKER = (Path(__file__).parent / "docker-registry-keys.txt").read_text().splitlines()
OURS = [
    "http.workers",
    "http.idletimeout",
    "http.trustedproxies",
    "http.maxmanifestsize",
    "storage.cache.memory",
    "referrers.maxentries",
    "extensions",
    "extensions.<name>",
]


@cache
def rows() -> dict[str, list[str]]:
    found = {}
    for line in table().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 6, line
            found[cells[0].strip("`")] = cells
    return found


@pytest.mark.parametrize("path", DOCKER + OURS)
def test_every_key_has_a_row(path: str) -> None:
    assert path in rows()


def test_every_row_is_complete() -> None:
    for path, (_, kind, _, variable, status, meaning) in rows().items():
        assert kind, path
        assert re.fullmatch(r"`REGISTRY_[A-Z0-9_<>n]+`", variable), path
        assert status in ("honoured", "deprecated", "plugin", "ignored"), path
        assert meaning.endswith("."), path


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert update(page) == page, f"run `python -m pyreg.config.table {PAGE}`"


def test_a_page_without_a_place_for_it() -> None:
    with pytest.raises(ValueError, match="has no lines"):
        update("# Configuration\n")
    assert BEGIN in PAGE.read_text(encoding="utf-8")


SETTABLE = [
    (path, variable)
    for path, variable, key in all_keys(configuration_shape())
    if key.shape.kind == "leaf" and "version" not in path
]


@pytest.mark.parametrize(("path", "variable"), SETTABLE)
def test_every_variable_of_the_table_reaches_its_key(path: str, variable: str) -> None:
    """A value that fits nothing is a mistake at exactly that key, from exactly that variable."""
    text = "version: 0.1\nstorage: inmemory\n"
    name = variable.replace("<n>", "0")
    with pytest.raises(ConfigurationError) as caught:
        parse(text, {name: "{a: 1}"})
    path = "log.level" if path == "loglevel" else path.replace("[]", "[0]")
    assert (name, path) in {(each.source, each.path) for each in caught.value.mistakes}
