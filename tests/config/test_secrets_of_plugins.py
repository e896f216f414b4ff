"""What a plugin declares as secret is not shown, whatever its name; and neither is it quoted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stevedore import _cache

from pyreg import plugins
from pyreg.config.commands import config
from pyreg.config.redact import MASK, looks_secret
from pyreg.config.shape import Shape, shape_of
from tests.fixtures.distributions import install
from tests.fixtures.project import PLUGINS

OURS = {f"pyreg-{path.name.replace('_', '-')}" for path in PLUGINS}
INSTALLED = [each for each in plugins.installed() if each.distribution in OURS]
SECTIONS = {"extension": "extensions"}
PLACES = {"tls": ("http", "tls")}
SECRET = "hunter2hunter2"


def secrets(shape: Shape, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a plugin's options may hold what must not be shown."""
    if shape.secret:
        yield path
    for name, key in shape.keys.items():
        if not key.shape.secret and key.shape.kind == "leaf" and looks_secret(name):
            yield (*path, name)
        yield from secrets(key.shape, (*path, name))
    if shape.item is not None:
        yield from secrets(shape.item, (*path, "x" if shape.kind == "map" else 0))


def nested(path: tuple[str | int, ...], value: object) -> object:
    """A document in which a value stands at a place."""
    if not path:
        return value
    inner = nested(path[1:], value)
    return [inner] if isinstance(path[0], int) else {path[0]: inner}


def document(kind: str, name: str, path: tuple[str | int, ...], value: object) -> str:
    place: tuple[str | int, ...] = PLACES.get(name, (SECTIONS.get(kind, kind), name))
    whole: dict[str, Any] = {"version": "0.1", "storage": {"inmemory": {}}}
    if kind == "storage":
        del whole["storage"]
    if kind == "events":
        endpoint = nested(path, value)
        assert isinstance(endpoint, dict)
        place = ("notifications", "endpoints", 0)
        path, value = (), {"name": "ci", "type": name, "url": "http://a/", **endpoint}
    shown = nested((*place, *path), value)
    assert isinstance(shown, Mapping)
    return json.dumps({**whole, **shown})


def said(text: str, tmp_path: Path) -> str:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return "".join(
        CliRunner().invoke(config, [command, "--no-environment", str(path)]).output
        for command in ("show", "check")
    )


# Paths of keys look like keys; whoever declares them says which is which.
FILES = {("tls", ("key",)), ("tls", ("certificates", 0, "key"))}
KEPT = [
    (each.kind, each.name, path)
    for each in INSTALLED
    for path in secrets(shape_of(plugins.load(each.kind, each.name).Options or object))
    if (each.name, path) not in FILES
]


def test_the_secrets_of_our_plugins_are_these() -> None:
    assert {(name, path) for _, name, path in KEPT} == {
        ("tls", ("keypassword",)),
        ("tls", ("letsencrypt", "eab", "hmackey")),
        ("webhook", ("headers", "x", 0)),
        ("webhook", ("signature", "secrets", 0)),
        ("redis", ("password",)),
        # Paths, but nobody declares that.
        ("webhook", ("tls", "key")),
        ("redis", ("tls", "key")),
    }


@pytest.mark.parametrize(("kind", "name", "path"), KEPT)
@pytest.mark.parametrize("wrong", [False, True])
def test_they_are_masked(
    kind: str, name: str, path: tuple[str | int, ...], wrong: bool, tmp_path: Path
) -> None:
    value = [SECRET] if wrong else SECRET
    output = said(document(kind, name, path, value), tmp_path)
    assert SECRET not in output
    assert wrong or MASK in output


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("htpasswd", {"realm": "r", "path": "/etc/htpasswd"}),
        ("token", {"realm": "https://a/token", "rootcertbundle": "/etc/root.pem", "jwks": "/j"}),
        ("tokenservice", {"keys": "/etc/keys", "refreshexpiration": "1h"}),
        ("oidc", {"issuers": [{"issuer": "https://a", "jwks": "/keys", "maxlifetime": "1h"}]}),
        ("policy", {"file": "/etc/policy.yml"}),
        ("certificate", {"identity": "dn"}),
    ],
)
def test_what_is_none_is_shown(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    assert MASK not in said(document("auth", name, (), options), tmp_path)
    assert MASK not in said(document("extension", "tls", ("key",), "/etc/key.pem"), tmp_path)


ODD = """
    from dataclasses import dataclass, field

    from pydantic import SecretBytes, SecretStr


    @dataclass(frozen=True)
    class Inner:
        colour: SecretStr = SecretStr("")


    @dataclass(frozen=True)
    class Options:
        colour: SecretStr = SecretStr("")
        either: SecretStr | int | None = None
        colours: tuple[SecretStr, ...] = ()
        by_name: dict[str, SecretBytes] = field(default_factory=dict)
        inner: tuple[Inner, ...] = ()
        plain: str = ""


    class Plugin:
        api_version = (1, 0)
        Options = Options
"""


@pytest.mark.parametrize(
    "path",
    [("colour",), ("either",), ("colours", 0), ("by_name", "x"), ("inner", 0, "colour")],
    ids=lambda path: path[0],
)
def test_names_do_not_matter(
    path: tuple[str | int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "odd", {"pyreg.auth": {"odd": "odd_plugin:Plugin"}}, {"odd_plugin": ODD})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_cache._c, "_dir", str(tmp_path / "cache"))
    shown = said(document("auth", "odd", path, SECRET), tmp_path)
    assert SECRET not in shown
    assert MASK in shown
    assert SECRET in said(document("auth", "odd", ("plain",), SECRET), tmp_path)
