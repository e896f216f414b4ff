"""Conditions on claims, and names made of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg_auth_token.oidc.conditions import Unmet, check, filled, groups_of


def holds(pattern: str, value: Any) -> bool:
    try:
        check({"claim": [pattern]}, {"claim": value})
    except Unmet:
        return False
    return True


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("main", "main"), ("*", ""), ("*", "a/b"), ("refs/heads/*", "refs/heads/a/b"),
        ("refs/*/main", "refs/heads/main"), ("v?", "v1"), ("a*b*c", "abbc"), ("*a*a*", "aa"),
        ("22", 22), ("true", True), ("false", False), ("0", 0), ("a", ["b", "a"]), ("7", [7]),
        ("[a]", "[a]"), ("a.c", "a.c"), ("*\n*", "a\nb"), ("**", "x"), ("a**b", "ab"),
        ("repo:example/*:ref:refs/heads/main", "repo:example/app:ref:refs/heads/main"),
    ],
)  # fmt: skip
def test_patterns_that_match(pattern: str, value: Any) -> None:
    assert holds(pattern, value)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("main", "Main"), ("main", "main "), ("main", "main\n"), ("main", "xmain"), ("", "a"),
        ("refs/heads/*", "refs/tags/v1"), ("v?", "v"), ("v?", "v10"), ("a*b", "abc"),
        ("*a*a*", "a"), ("a*a", "a"), ("a.c", "abc"), ("[a]", "a"), ("1", True), ("true", 1),
        ("22", 22.0), ("*", None), ("*", {}), ("*", []), ("*", [None]), ("*", [["a"]]),
        ("a", {"a": 1}), ("repo:example/*:ref:refs/heads/main", "repo:other/a:ref:refs/heads/main"),
    ],
)  # fmt: skip
def test_patterns_that_do_not(pattern: str, value: Any) -> None:
    assert not holds(pattern, value)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_patterns_mean_what_they_should(pattern: str, value: str) -> None:
    """The same as the obvious translation, which is slow for some patterns."""
    obvious = "".join({"*": ".*", "?": "."}.get(char, char) for char in pattern)
    assert holds(pattern, value) == bool(re.fullmatch(obvious, value))


def test_many_stars_end() -> None:
    """The obvious translation would still be at it tomorrow."""
    assert not holds("*a" * 100 + "b", "a" * 10_000)


def test_every_condition_has_to_hold() -> None:
    conditions = {"ref": ["main", "v*"], "owner": ["example"]}
    check(conditions, {"ref": "v1", "owner": "example", "more": 1})
    with pytest.raises(Unmet, match="its claim 'owner' is 'evil', and not 'example'"):
        check(conditions, {"ref": "main", "owner": "evil"})
    with pytest.raises(Unmet, match="its claim 'ref' is 'dev', and not 'main' or 'v\\*'"):
        check(conditions, {"ref": "dev", "owner": "example"})
    with pytest.raises(Unmet, match="it has no claim 'owner'"):
        check(conditions, {"ref": "main"})


def test_what_is_said_is_cut_short() -> None:
    with pytest.raises(Unmet) as caught:
        check({"ref": ["main"]}, {"ref": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_names() -> None:
    claims = {"project": "app", "id": 7, "flag": True, "nested": {"a": 1}, "empty": "", "no": None}
    assert filled("ci-{project}-{id}", claims) == "ci-app-7"
    assert filled("{flag}", claims) == "true"
    for template in ("{missing}", "{nested}", "{empty}", "{no}", "a{missing}"):
        with pytest.raises(Unmet):
            filled(template, claims)


def test_claims_are_no_templates() -> None:
    assert filled("{a}", {"a": "{b}", "b": "root"}) == "{b}"


def test_groups() -> None:
    claims = {"owner": "example", "groups": ["a", 7, None, "", ["b"]], "one": "c"}
    templates = ["ci", "of-{owner}", "{groups}", "{one}", "{missing}", "x-{missing}", "x-{groups}"]
    assert groups_of(templates, claims) == {"ci", "of-example", "a", "7", "c"}
