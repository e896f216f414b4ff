"""The options of `auth.oidc`, as a configuration has them."""

from __future__ import annotations

from typing import Any

import pytest

from pyreg.config import PluginOptions, validate_options
from pyreg.errors import ConfigurationError
from pyreg_auth_token.oidc.options import Options

GITHUB = {
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "registry.example.com",
    "claims": {"repository_owner": "example"},
}
GITLAB = {**GITHUB, "issuer": "https://gitlab.com", "claims": {"namespace_path": "example"}}
OWN = {**GITHUB, "issuer": "https://git.example.com", "claims": {"sub": "*"}}


def options(*rules: dict[str, Any]) -> Options:
    values = {"issuers": list(rules)}
    return validate_options(PluginOptions("auth", "oidc", values, "auth.oidc"), Options)


def test_one_and_many_may_be_written_alike() -> None:
    rule = options({**OWN, "claims": {"id": 22, "ref_protected": True}, "groups": "ci"}).issuers[0]
    assert rule.audience == ("registry.example.com",)
    assert rule.claims == {"id": ("22",), "ref_protected": ("true",)}
    assert rule.groups == ("ci",)
    rule = options({**OWN, "audience": ["a", "b"], "claims": {"id": [1, 2]}}).issuers[0]
    assert rule.audience == ("a", "b")
    assert rule.claims == {"id": ("1", "2")}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("6h", 21600)])
def test_lifetimes(text: str, seconds: int) -> None:
    assert options({**OWN, "maxlifetime": text}).issuers[0].maxlifetime == seconds


@pytest.mark.parametrize("rule", [GITHUB, GITLAB, OWN])
def test_rules_that_are_closed(rule: dict[str, Any]) -> None:
    assert options(rule)


@pytest.mark.parametrize("issuer", [GITHUB["issuer"], f"{GITHUB['issuer']}/", GITLAB["issuer"]])
@pytest.mark.parametrize(
    "claims", [{"ref": "refs/heads/main"}, {"sub": "*"}, {"sub": ["repo:example/*", "*"]}]
)
def test_rules_that_let_the_whole_world_in(issuer: str, claims: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="everybody in the world"):
        options({**GITHUB, "issuer": issuer, "claims": claims})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": "http://git.example.com"}, "anybody on the way"),
        ({"issuer": "git.example.com"}, "name its `jwks`"),
        ({"jwks": "http://git.example.com/keys"}, "anybody on the way"),
        ({"audience": []}, "audience"),
        ({"audience": None}, "audience"),
        ({"audience": ""}, "audience"),
        ({"claims": {}}, "claims"),
        ({"claims": None}, "claims"),
        ({"claims": {"sub": []}}, "sub"),
        ({"claims": {"sub": None}}, "claims"),
        ({"claims": {"sub": {"a": "b"}}}, "sub"),
        ({"name": "ci"}, "the same name"),
        ({"name": "{}"}, "{claim}"),
        ({"name": "{sub"}, "{claim}"),
        ({"groups": ["a}"]}, "{claim}"),
        ({"maxlifetime": "600"}, "maxlifetime: expected at least 1"),
        ({"maxlifetime": "0s"}, "maxlifetime: expected at least 1"),
        ({"maxlifetime": "1d"}, "expected a duration"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options({**OWN, **changes})
    assert message in str(caught.value)


def test_rules_of_one_issuer_have_one_key_set() -> None:
    with pytest.raises(ConfigurationError, match="different `jwks`"):
        options({**OWN, "jwks": "/a"}, {**OWN, "jwks": "/b"})


def test_a_mistake_is_reported_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        options({**OWN, "maxlifetime": "1d"})
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "auth.oidc.issuers[0].maxlifetime"
    ]


def test_no_rules() -> None:
    with pytest.raises(ConfigurationError, match="issuers"):
        options()
