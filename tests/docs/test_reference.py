"""The reference is complete: every hook, method, error, command and key, as it is in the code."""

from __future__ import annotations

import inspect
import re

import pytest
from ruamel.yaml import YAML

from pyreg import Registry, errors
from pyreg.api.address import Addresses
from pyreg.config.environment import CONFIGURATION_PATH
from pyreg.config.loading import configuration_shape, parse
from pyreg.config.shape import all_keys, shape_of
from pyreg.content.blobs import Blobs
from pyreg.content.manifests import Manifests
from pyreg.content.purge import Purger
from pyreg.content.referrers import Referrers
from pyreg.content.repository import Repository
from pyreg.content.rules import Rules
from pyreg.content.tags import Tags
from pyreg.errors import ConfigurationError, ErrorCode
from pyreg.hooks import HookSpecs
from pyreg.plugins import GROUPS, load
from tests.docs.commands import PAGE, updated
from tests.docs.pages import DOCS, Document, pages, read
from tests.docs.signatures import signatures

REFERENCE = DOCS / "reference"


def test_every_hook_has_a_heading_with_its_exact_signature() -> None:
    hooks = signatures(HookSpecs)
    assert len(hooks) == len([name for name in vars(HookSpecs) if name.startswith("pyreg_")])
    headings = [text for level, text in read(REFERENCE / "hooks.md").headings if level == 3]
    assert sorted(headings) == sorted(f"`{text}`" for text in hooks.values())


def test_every_hook_has_an_example_that_uses_it() -> None:
    page = read(REFERENCE / "hooks.md")
    code = "\n".join(block.text for block in page.blocks if block.language == "python")
    for name in signatures(HookSpecs):
        assert re.search(rf"@hookimpl\n +(async )?def {name}\(self", code), f"no example of {name}"


@pytest.mark.parametrize(
    "cls", [Registry, Repository, Manifests, Tags, Blobs, Referrers], ids=lambda cls: cls.__name__
)
def test_every_method_of_the_python_api_has_a_heading(cls: type) -> None:
    methods = signatures(cls)
    wanted = {f"`{text}`" for name, text in methods.items() if name} - INTERNAL
    headings = {text for level, text in read(REFERENCE / "python-api.md").headings if level == 3}
    missing = wanted - headings
    assert not missing, f"{cls.__name__}: no heading for {sorted(missing)}"


INTERNAL = {
    "`" + signatures(Registry)["configure_server"] + "`",
    "`" + signatures(Registry)["open_to_all"] + "`",
    *(
        f"`{signatures(cls)[name]}`"
        for cls, names in {
            Blobs: ("read", "small", "pulled"),
            Referrers: ("add", "remove"),
        }.items()
        for name in names
    ),
}
"""Public inside of pyreg, for the HTTP API and the server; nobody else needs them."""


def test_the_python_api_has_nothing_that_is_not_there() -> None:
    known = {
        f"`{text}`"
        for cls in (Registry, Repository, Manifests, Tags, Blobs, Referrers)
        for text in signatures(cls).values()
    }
    headings = {text for level, text in read(REFERENCE / "python-api.md").headings if level == 3}
    assert headings <= known, f"not in the code: {sorted(headings - known)}"


@pytest.mark.parametrize("cls", [Rules, Purger], ids=lambda cls: cls.__name__)
def test_every_field_is_in_a_table(cls: type) -> None:
    text = (REFERENCE / "python-api.md").read_text(encoding="utf-8")
    for name in cls.__dataclass_fields__:  # type: ignore[attr-defined]
        assert f"| `{name}` |" in text, f"{cls.__name__}.{name} is not in the table"


@pytest.mark.parametrize("cls", [Registry, Addresses], ids=lambda cls: cls.__name__)
def test_every_argument_is_in_a_table(cls: type) -> None:
    text = (REFERENCE / "python-api.md").read_text(encoding="utf-8")
    for name in inspect.signature(cls).parameters:
        assert f"| `{name}` |" in text, f"{cls.__name__}: {name} is not in the table"


def test_every_error_is_in_the_table() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| ([^|]+?) \|", text, re.MULTILINE))
    codes = [each for each in vars(errors).values() if isinstance(each, ErrorCode)]
    assert rows == {(each.code, str(each.status), each.message) for each in codes}


def test_the_help_of_every_command_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == updated(text), "run: python -m tests.docs.commands"


SECTIONS = {path.partition(".")[0] for path, _, _ in all_keys(configuration_shape())}
KEYS = {re.sub(r"\[\]", "", path) for path, _, _ in all_keys(configuration_shape())}
KINDS = {"storage": "storage", "auth": "auth", "extensions": "extension"}


def known_key(key: str) -> bool:
    """Whether a dotted key is one of the configuration, or of an installed plugin's options."""
    parts = key.split(".")
    if key in KEYS or (len(parts) == 2 and parts[0] in KINDS):
        return True
    if len(parts) == 3 and parts[0] in KINDS:
        options = load(KINDS[parts[0]], parts[1]).Options
        return parts[2] in shape_of(options).keys
    return False


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: page.name)
def test_every_key_of_the_configuration_that_is_mentioned_exists(page: Document) -> None:
    for line, text in page.spans:
        key = text.partition(":")[0]
        if re.fullmatch(r"[a-z]+(\.[a-z0-9]+)+", key) and key.partition(".")[0] in SECTIONS:
            if key.rpartition(".")[2] in ("py", "md", "yml", "yaml", "json", "log"):
                continue
            assert known_key(key), f"{page.name}:{line}: there is no key {key}"


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: page.name)
def test_every_variable_that_is_mentioned_exists(page: Document) -> None:
    text = page.path.read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"\bREGISTRY_[A-Z0-9_]+(?![A-Z0-9_<*])", text))):
        assert name in FOREIGN or known_variable(name), f"{page.name}: no variable {name}"


FOREIGN = {"REGISTRY_PORT_5000_TCP_ADDR"}
"""Mentioned as what is ignored."""


def known_variable(name: str) -> bool:
    """Whether a variable leads to an option."""
    if name == CONFIGURATION_PATH:
        return True
    try:
        loaded = parse("version: 0.1\nstorage: {inmemory: {}}\n", {name: "1"})
    except ConfigurationError:
        return True  # 1 is not what the option wants, so there is one
    said = [str(warning) for warning in loaded.configuration.warnings]
    return not any(name in each and "names no option" in each for each in said)


def test_the_groups_of_entry_points_are_in_the_plugin_reference() -> None:
    text = (REFERENCE / "hooks.md").read_text(encoding="utf-8")
    for group in GROUPS.values():
        assert f"`{group}`" in text


def test_the_http_api_page_has_what_the_description_has() -> None:
    described = YAML(typ="safe").load(REFERENCE / "openapi.yaml")["paths"]
    wanted = {
        (method.upper(), re.sub(r"\{[^}]+\}", "<>", path))
        for path, item in described.items()
        for method in item
        if method in ("get", "put", "post", "patch", "delete")
    }
    text = (REFERENCE / "http-api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+) (/v2/[^`?]*)", text, re.MULTILINE)
    assert {(method, re.sub(r"<[^>]+>", "<>", path)) for method, path in rows} == wanted
