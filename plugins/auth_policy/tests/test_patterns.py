"""Patterns, against a model that is too slow and too simple to be wrong."""

from __future__ import annotations

from functools import cache, partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg_auth_policy.patterns import Pattern, Placeholder, TextPattern, compiled, is_repository


@cache
def model(pattern: tuple[str, ...], name: tuple[str, ...]) -> bool:
    """Whether the components of a name match those of a pattern."""
    if not pattern:
        return not name
    first, *rest = pattern
    if first == "**":
        if not rest:
            return bool(name)
        return any(model(tuple(rest), name[at:]) for at in range(len(name) + 1))
    return bool(name) and component(first, name[0]) and model(tuple(rest), name[1:])


@cache
def component(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(component(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return text[:1] == pattern[0] and component(pattern[1:], text[1:])


def means(pattern: str, name: str) -> bool:
    return model(tuple(pattern.split("/")), tuple(name.split("/")))


def only(value: str, _: Placeholder) -> list[str]:
    return [value]


def nobody(_: Placeholder) -> list[str]:
    return []


def matches(pattern: str, name: str) -> bool:
    return Pattern(pattern).matches(name, nobody)


components = st.text("ab", min_size=1, max_size=5)
names = st.lists(components, min_size=1, max_size=6).map("/".join)
pieces = st.one_of(st.just("**"), st.text("ab*", min_size=1, max_size=5))
patterns = (
    st.lists(pieces, min_size=1, max_size=6)
    .map("/".join)
    .filter(lambda text: "***" not in text)
    .filter(lambda text: all(part == "**" or "**" not in part for part in text.split("/")))
    .filter(lambda text: "**/**" not in text)
)


@given(pattern=patterns, name=names)
def test_a_pattern_means_what_the_model_says(pattern: str, name: str) -> None:
    assert matches(pattern, name) is means(pattern, name)


@given(pattern=patterns, name=st.lists(components | st.just(""), min_size=1).map("/".join))
def test_a_text_may_have_empty_parts(pattern: str, name: str) -> None:
    if name and pattern != "**":
        assert TextPattern(pattern).matches(name) is means(pattern, name)


@given(wide=patterns, narrow=patterns, name=names)
def test_a_pattern_that_covers_another_means_all_of_it(wide: str, narrow: str, name: str) -> None:
    if Pattern(wide).covers(Pattern(narrow)) and matches(narrow, name):
        assert matches(wide, name)


@given(pattern=patterns, name=names)
def test_the_first_component_is_a_promise(pattern: str, name: str) -> None:
    first = Pattern(pattern).first
    if first is not None and matches(pattern, name):
        assert name.split("/")[0] == first


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**", "a a/b a/b/c", ""),
        ("*", "a app.v2", "a/b"),
        ("team/*", "team/app", "team team/app/x team2/app"),
        ("team/**", "team/app team/app/x", "team teams/app"),
        ("**/app", "app a/app a/b/app", "app/a myapp a/app/b"),
        ("a/**/z", "a/z a/b/z a/b/c/z", "a z az a/z/b"),
        ("*-dev/**", "x-dev/app", "x-dev dev/app x-prod/app"),
        ("a*c", "ac abc a-b-c", "a/c acb"),
        ("team/app", "team/app", "team/app2 team/app/x team"),
    ],
)
def test_examples_of_the_documentation(pattern: str, yes: str, no: str) -> None:
    for name in yes.split():
        assert matches(pattern, name), name
    for name in no.split():
        assert not matches(pattern, name), name


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a*a*a*a*a*a*a*a*a*a*a*a*b", "a" * 255),
        ("**/*a*a*a*a*a*a/**/*a*a*a*a*b", "/".join(["aaaa"] * 50)),
        ("**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", "/".join(["a"] * 127)),
        ("**/a/*/**/a/*/**/a/*/**/a/*/**/b", "/".join(["a"] * 127)),
        ("*/*/*/*/*/*/*/*/**/*b", "/".join(["a"] * 127)),
    ],
)
def test_patterns_that_would_take_for_ever_in_a_careless_matcher(pattern: str, name: str) -> None:
    assert not matches(pattern, name)
    assert matches(pattern, name + "b") is means(pattern, name + "b")
    assert matches(pattern, name + "/b") is means(pattern, name + "/b")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("", "such as"),
        ("Team/**", "lower case"),
        ("/team", "no `/`"),
        ("team/", "no `/`"),
        ("a//b", "no `/`"),
        ("a/../b", "parts that"),
        (".", "parts that"),
        ("-a", "parts that"),
        ("a..b", "parts that"),
        ("a**", "stand alone"),
        ("***", "stand alone"),
        ("a/**/**", "one `\\*\\*`"),
        ("a?", "lower-case letters"),
        ("a[bc]", "lower-case letters"),
        ("a b", "lower-case letters"),
        ("a\n", "lower-case letters"),
        ("{a,b}/c", "between braces"),
        ("{User}/x", "between braces"),
        ("{user:x}/x", "between braces"),
        ("{claim}/x", "between braces"),
        ("{claim:}/x", "between braces"),
        ("{user/x", "its `}`"),
        ("user}/x", "its `}`"),
        ("-{user}/x", "parts that"),
        ("x-{claimpath:repository}", "alone between slashes"),
        ("a" * 256, "at most 255"),
    ],
)
def test_a_pattern_that_could_match_nothing_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Pattern(pattern)


@given(value=st.text() | st.text("ab./*-_{}", max_size=6), name=names)
def test_a_name_reaches_only_what_is_called_like_it(value: str, name: str) -> None:
    """Whatever somebody is called: never another's repositories, never a pattern."""
    pattern = Pattern("{user}/**")
    if pattern.matches(name, lambda _: [value]):
        assert "/" not in value
        assert name.startswith(f"{value}/")


@pytest.mark.parametrize(
    "value",
    ["", "a/b", "*", "**", "..", ".", "a*", "Ann", "a/", "/a", "{user}", "a\n", "ä", "a..b"],
)
def test_values_that_are_no_component_mean_nothing(value: str) -> None:
    for text in ("{user}/**", "x/{claim:team}", "{group}", "{user}-dev/**"):
        assert list(Pattern(text).bound(lambda _: [value])) == []


def test_a_claimpath_takes_several_components() -> None:
    pattern = Pattern("{claimpath:repository}/**")
    assert list(pattern.bound(lambda _: ["acme/app"])) == ["acme/app/**"]
    assert pattern.matches("acme/app/x", lambda _: ["acme/app"])
    assert not pattern.matches("acme/apps/x", lambda _: ["acme/app"])
    for value in ("acme/../app", "acme/*", "/acme", "Acme/app", "acme//app"):
        assert not list(pattern.bound(partial(only, value)))


def test_several_values_and_placeholders() -> None:
    pattern = Pattern("{group}/{claim:https://acme.test/env}/*")
    assert pattern.first is None
    assert pattern.placeholders == [
        Placeholder("group"),
        Placeholder("claim", "https://acme.test/env"),
    ]
    values = {"group": ["devs", "ops", "no/good"], "claim": ["prod"]}
    assert list(pattern.bound(lambda item: values[item.kind])) == ["devs/prod/*", "ops/prod/*"]
    assert pattern.matches("ops/prod/app", lambda item: values[item.kind])
    assert not pattern.matches("ops/test/app", lambda item: values[item.kind])
    many = [f"g{number}" for number in range(100_000)]
    assert not pattern.matches("h/h/h", lambda _: many), "the number of tries is bounded"


def test_first_components() -> None:
    firsts = {
        text: Pattern(text).first
        for text in ("a", "a/**", "a-{user}/b", "a/{user}", "{user}", "a*/b", "**", "*/a")
    }
    assert firsts == {
        "a": "a", "a/**": "a", "a-{user}/b": None, "a/{user}": "a",
        "{user}": None, "a*/b": None, "**": None, "*/a": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("refs/heads/*", ["refs/heads/main"], ["refs/heads/release/1", "refs/tags/v1"]),
        ("refs/heads/**", ["refs/heads/main", "refs/heads/release/1"], ["refs/heads"]),
        (
            "repo:acme/*:ref:refs/heads/main",
            ["repo:acme/app:ref:refs/heads/main"],
            # A branch can be called so; a `*` that went past slashes would take it for main.
            ["repo:acme/app:ref:refs/heads/x:ref:refs/heads/main"],
        ),
        ("{a}?", ["{a}?"], ["a"]),
        ("ann", ["ann"], ["Ann", "anna", "ann\n"]),
        ("**", ["a", "/", "a/b"], [""]),
    ],
)
def test_texts(pattern: str, yes: list[str], no: list[str]) -> None:
    test = TextPattern(pattern)
    assert all(test.matches(text) for text in yes)
    assert not any(test.matches(text) for text in no)


@pytest.mark.parametrize("text", ["", "a**", "x" * 5000])
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        TextPattern(text)


def test_what_is_a_repository() -> None:
    assert is_repository("team/app.v2__x-y")
    assert not any(map(is_repository, ("", "a//b", "a/../b", "A", "a\n", "a" * 256, "a/")))
    assert compiled("a/**")("a/b")
