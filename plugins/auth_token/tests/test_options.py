"""The options of `auth.token`, as a configuration has them."""

from __future__ import annotations

from typing import Any

import pytest

from pyreg.config import PluginOptions, validate_options
from pyreg.errors import ConfigurationError
from pyreg_auth_token.plugin import Options

GOOD = {"realm": "https://a/token", "service": "r", "issuer": "i", "rootcertbundle": "/b.pem"}


def options(**changes: Any) -> Options:
    values = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return validate_options(PluginOptions("auth", "token", values, "auth.token"), Options)


def test_the_docker_registrys_example() -> None:
    found = options()
    assert (found.autoredirect, found.autoredirectpath) == (False, "/auth/token")
    assert found.signingalgorithms == ()


def test_a_key_set_may_have_an_address() -> None:
    assert options(jwks="https://auth.example.com/keys", rootcertbundle=None).jwks


def test_an_automatic_realm_needs_no_other() -> None:
    assert options(realm=None, autoredirect=True).autoredirect


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"realm": None}, "`realm` is missing"),
        ({"service": None}, "service"),
        ({"service": ""}, "service"),
        ({"issuer": None}, "issuer"),
        ({"rootcertbundle": None}, "`rootcertbundle` or `jwks` is missing"),
        ({"jwks": "http://auth.example.com/keys"}, "anybody on the way"),
        ({"jwks": "ftp://auth.example.com/keys"}, "expected an https:// address"),
        ({"signingalgorithms": ["HS256"]}, "sign with a private key"),
        ({"signingalgorithms": ["none"]}, "'none' is none of RS256"),
        ({"signingalgorithms": ["rs256"]}, "'rs256' is none of RS256"),
        ({"autoredirectpath": "auth/token"}, "autoredirectpath"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options(**changes)
    assert message in str(caught.value)
