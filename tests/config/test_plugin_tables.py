"""The tables of plugins' options in the documentation say what the plugins say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from pyreg import plugins
from pyreg.config import PluginOptions, validate_options
from pyreg.config.inherited import TLS
from pyreg.config.shape import all_keys, shape_of
from pyreg.config.source import Document
from pyreg.errors import ConfigurationError
from tests.docs.pages import DOCS
from tests.fixtures.project import PLUGINS

TEXT = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
OURS = {f"pyreg-{path.name.replace('_', '-')}" for path in PLUGINS}
INSTALLED = {
    f"{each.kind}.{each.name}": each for each in plugins.installed() if each.distribution in OURS
}

RULE = {"repositories": "a", "allow": "pull", "to": {"user": "ann"}}
LEAST: dict[str, dict[str, Any]] = {
    "storage.filesystem": {},
    "auth.htpasswd": {"realm": "r", "path": "/p"},
    "auth.token": {"realm": "r", "service": "s", "issuer": "i", "jwks": "/j"},
    "auth.tokenservice": {"keys": "/k"},
    "auth.oidc": {"issuers": [{"issuer": "https://a", "audience": "b", "claims": {"c": "d"}}]},
    "auth.policy": {"rules": [RULE]},
    "auth.certificate": {},
    "events.webhook": {"name": "ci", "url": "http://a"},
    "events.redis": {"name": "ci", "url": "redis://a"},
}
"""The least that a plugin can be told."""


def section(name: str) -> str:
    name = name.replace("events.", "type: ")
    _, found, rest = TEXT.partition(f"\n### `{name}`\n\nFrom ")
    assert found, f"the page has no section {name}"
    return re.split(r"\n##+ ", rest)[0]


def rows(name: str) -> list[tuple[str, str, str, str]]:
    """Option, type, default and meaning."""
    return re.findall(
        r"^\| `([^`]+)` \| ([^|]*) \| (?:([^|]*) )?\| ([^|]+) \|$", section(name), re.MULTILINE
    )


def at(document: Any, path: str) -> Iterator[Any]:
    """The mapping that holds an option, if it is there."""
    for step in path.split(".")[:-1]:
        name, index = step.removesuffix("[]"), step.endswith("[]")
        document = document.setdefault(name, {}) if not index else document.get(name)
        if index:
            document = document[0] if isinstance(document, list) else None
        if document is None:
            return
    yield document


def validated(name: str, values: dict[str, Any]) -> object:
    plugin = INSTALLED[name]
    options = PluginOptions("auth", plugin.name, values, name)
    return validate_options(options, plugins.load(plugin.kind, plugin.name).Options)


def test_every_plugin_has_a_section() -> None:
    for name, plugin in INSTALLED.items():
        place = "http.tls" if name == "extension.tls" else name
        assert section(place).startswith(f"`{plugin.distribution}`")
    assert LEAST.keys() | {"storage.inmemory", "extension.tls"} == INSTALLED.keys()


@pytest.mark.parametrize("name", LEAST)
def test_every_option_has_a_row(name: str) -> None:
    plugin = INSTALLED[name]
    shape = shape_of(plugins.load(plugin.kind, plugin.name).Options)
    # An endpoint's name is the core's.
    known = [path for path, _, _ in all_keys(shape) if (path, plugin.kind) != ("name", "events")]
    assert [row[0] for row in rows(name)] == known
    for option, kind, _, meaning in rows(name):
        assert kind, option
        assert meaning.endswith("."), option


DEFAULTS = [
    (name, option, default)
    for name in LEAST
    for option, _, default, _ in rows(name)
    if default and default != "required"
]


@pytest.mark.parametrize(("name", "option", "default"), DEFAULTS)
def test_a_default_that_is_written_out_changes_nothing(
    name: str, option: str, default: str
) -> None:
    values = deepcopy(LEAST[name])
    (mapping,) = at(values, option)
    mapping[option.rpartition(".")[2]] = Document(default.strip("`"), "default").root.plain()
    assert validated(name, values) == validated(name, LEAST[name])


REQUIRED = [
    (name, option)
    for name in LEAST
    for option, _, default, _ in rows(name)
    if default == "required"
]


@pytest.mark.parametrize(("name", "option"), REQUIRED)
def test_what_is_required_is_missed(name: str, option: str) -> None:
    values = deepcopy(LEAST[name])
    (mapping,) = at(values, option)
    del mapping[option.rpartition(".")[2]]
    with pytest.raises(ConfigurationError) as caught:
        validated(name, values)
    path = f"{name}.{option.replace('[]', '[0]')}"
    assert f"{path}: is required, and nothing is given" in map(str, caught.value.mistakes)


def test_the_options_of_tls_are_those_of_its_plugin() -> None:
    known = {path: key for path, _, key in all_keys(shape_of(TLS))}
    plugin = {
        path: key for path, _, key in all_keys(shape_of(plugins.load("extension", "tls").Options))
    }
    assert known.keys() == plugin.keys()
    for path, key in known.items():
        if key.shape.kind in ("leaf", "list") and path != "letsencrypt.directoryurl":
            assert key.default == plugin[path].default, path
