"""The grammar of scopes, and how much of them is granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.hooks import ANONYMOUS, Access, AccessControl, Identity
from pyreg_auth_token.service.scopes import (
    EVERY_ACTION,
    MAX_LENGTH,
    MAX_SCOPES,
    InvalidScope,
    Scope,
    granted,
    parse_scopes,
)

ACTIONS = st.sampled_from(["pull", "push", "delete", "*", "other"])
NAMES = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True)


class Everything:
    """Allows all that it is asked, and remembers it."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[Access] = []

    async def allows(self, identity: Identity, access: Access) -> bool:
        self.asked.append(access)
        return not self.allowed or access.actions[0] in self.allowed

    request = identify = None


async def grant(access: Everything, text: str) -> list[str]:
    control: AccessControl = access  # type: ignore[assignment]
    return [str(item) for item in await granted(control, ANONYMOUS, parse_scopes([text]))]


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("repository:a:pull", Scope("repository", "a", ("pull",))),
        ("repository:a/b-c/d:pull,push", Scope("repository", "a/b-c/d", ("pull", "push"))),
        ("repository:a:pull,pull,push", Scope("repository", "a", ("pull", "push"))),
        ("repository:host:5000/a:pull", Scope("repository", "host:5000/a", ("pull",))),
        ("repository(plugin):a:pull", Scope("repository", "a", ("pull",))),
        ("registry:catalog:*", Scope("registry", "catalog", ("*",))),
        ("repository:a:", Scope("repository", "a", ())),
        ("repository:a:pull,,push", Scope("repository", "a", ("pull", "push"))),
        ("unheard:of:fly", Scope("unheard", "of", ("fly",))),
    ],
)
def test_the_grammar(text: str, scope: Scope) -> None:
    assert parse_scopes([text]) == [scope]


@pytest.mark.parametrize(
    "text",
    [
        "repository",
        "repository:a",
        ":a:pull",
        "repository::pull",
        "Repository:a:pull",
        "repository:a:PULL",
        "repository:a:pull push",
        "repository:a b:pull",
        "repository:a\n:pull",
        "repository:a:pull\n",
        'repository:a":pull',
        "repository:ä:pull",
        "repository:a\x00:pull",
        "repository:a:p*",
        "repository(a:b:pull",
        f"repository:{'a' * MAX_LENGTH}:pull",
        "/".join(["repository:a"] * 40) + "!",
    ],
)
def test_what_is_not_of_the_grammar(text: str) -> None:
    with pytest.raises(InvalidScope):
        parse_scopes([text])


def test_lists_are_joined() -> None:
    assert parse_scopes(["repository:a:pull repository:b:pull", "", "repository:a:push  "]) == [
        Scope("repository", "a", ("pull", "push")),
        Scope("repository", "b", ("pull",)),
    ]


def test_there_is_an_end_to_scopes() -> None:
    scopes = [f"repository:r{number}:pull" for number in range(MAX_SCOPES)]
    assert len(parse_scopes(scopes)) == MAX_SCOPES
    for texts in ([*scopes, "repository:a:pull"], [" ".join(["repository:a:pull"] * 101)]):
        with pytest.raises(InvalidScope):
            parse_scopes(texts)


@given(st.lists(st.tuples(NAMES, st.lists(ACTIONS, max_size=4)), max_size=10), st.booleans())
def test_what_is_written_is_read(wanted: list[tuple[str, list[str]]], apart: bool) -> None:
    """Against the simplest model: a dictionary of sets."""
    texts = [f"repository:{name}:{','.join(actions)}" for name, actions in wanted]
    model: dict[str, set[str]] = {}
    for name, actions in wanted:
        model.setdefault(name, set()).update(actions)
    found = parse_scopes(texts if apart else [" ".join(texts)])
    assert {scope.name: set(scope.actions) for scope in found} == model
    assert all(len(set(scope.actions)) == len(scope.actions) for scope in found)


@given(st.lists(st.text(max_size=200), max_size=5))
def test_nothing_else_than_an_invalid_scope_is_raised(texts: list[str]) -> None:
    try:
        found = parse_scopes(texts)
    except InvalidScope:
        return
    for scope in found:
        # None of this can end a header, a JSON string, or another scope.
        for part in (scope.kind, scope.name, *scope.actions):
            assert part.isascii()
            assert not set(part) & set(' \r\n\t"\\,;\x00')


@given(st.lists(ACTIONS, max_size=5), st.sets(st.sampled_from(EVERY_ACTION)))
def test_no_more_is_granted_than_asked_and_allowed(asked: list[str], allowed: set[str]) -> None:
    import asyncio

    access = Everything(*allowed, "nothing")
    found = asyncio.run(grant(access, f"repository:a:{','.join(asked)}"))
    wanted = set(EVERY_ACTION) if "*" in asked else set(asked)
    expected = wanted & allowed
    if "*" in asked and allowed == set(EVERY_ACTION):
        expected |= {"*"}
    granted_actions = set(found[0].rpartition(":")[2].split(",")) if found else set()
    assert granted_actions == expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("repository:a:push,pull", ["repository:a:pull,push"]),
        ("repository:a:*", ["repository:a:*,pull,push,delete"]),
        ("repository:a:fly", []),
        ("repository:a:", []),
        ("registry:catalog:*", ["registry:catalog:*"]),
        ("registry:catalog:pull", []),
        ("registry:base:*", []),
        ("unheard:of:pull", []),
        ("repository:host:5000/a:pull", []),
        ("repository:UPPER:pull", []),
        ("repository:../a:pull", []),
        ("repository:a//b:pull", []),
        ("repository:a/:pull", []),
        (f"repository:{'a' * 256}:pull", []),
    ],
)
async def test_what_no_registry_has_is_not_granted(asked: str, expected: list[str]) -> None:
    access = Everything()
    assert await grant(access, asked) == expected
    if not expected:
        assert access.asked == [], "no policy is asked about it"
