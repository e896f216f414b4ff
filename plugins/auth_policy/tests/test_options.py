"""Mistakes in a policy: each is told, with its place, whether in the configuration or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pyreg.assembly import plugin_instances
from pyreg.config.loading import parse
from pyreg.errors import ConfigurationError
from pyreg_auth_policy import Options, PolicyPlugin

MISTAKES = [
    ("group: {devs: [ann]}\nRULES", "group", "is not a known key (did you mean groups?)"),
    ("rules: []", "", "else all is denied|without any, all is denied"),
    ("rules: {}", "rules", ""),
    ("rules:\n  - {repositories: [a], allow: [pul], to: anonymous}", "rules[0].allow[0]", "pull?"),
    ("rules:\n  - {repositories: [A], allow: pull, to: anonymous}", "rules[0].repositories[0]",
     "lower case"),
    ("rules:\n  - {repositories: [], allow: pull, to: anonymous}", "rules[0].repositories",
     "at least"),
    ("rules:\n  - {repositories: a, allow: pull, to: []}", "rules[0].to", "at least"),
    ("rules:\n  - {repositories: a, allow: pull}", "rules[0].to", "is required"),
    ("rules:\n  - {allow: pull, to: anonymous}", "rules[0].repositories", "is required"),
    ("rules:\n  - {repositories: a, to: anonymous}", "rules[0]", "either `allow` or `deny`"),
    ("rules:\n  - {repositories: a, allow: pull, deny: push, to: anonymous}", "rules[0]", "either"),
    ("rules:\n  - {repositories: a, allow: [], to: anonymous}", "rules[0].allow", "at least"),
    ("rules:\n  - {repositories: a, alow: pull, to: anonymous}", "rules[0].alow",
     "did you mean allow?"),
    ("rules:\n  - {repositories: a, allow: pull, to: ann}", "rules[0].to[0]|rules[0].to",
     "`user:NAME`"),
    ("rules:\n  - {repositories: a, allow: pull, to: [\"user:\"]}", "rules[0].to[0]", "not empty"),
    ("rules:\n  - {repositories: a, allow: pull, to: [{}]}", "rules[0].to[0]", "`claims`"),
    ("rules:\n  - {repositories: a, allow: pull, to: [{clams: {a: b}}]}", "rules[0].to[0].clams",
     "did you mean claims?"),
    ("rules:\n  - {repositories: a, allow: pull, to: [{claims: {a: []}}]}",
     "rules[0].to[0].claims.a", "at least"),
    ("groups: {devs: [{group: ops}]}\nRULES", "groups.devs[0]", "cannot have groups"),
    ("anonymousping: perhaps\nRULES", "anonymousping", ""),
]  # fmt: skip

RULES = "rules:\n  - {repositories: a, allow: pull, to: anonymous}"


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(("text", "where", "what"), MISTAKES)
def test_each_mistake_has_its_place(text: str, where: str, what: str, tmp_path: Path) -> None:
    text = text.replace("RULES", RULES)
    line = text[: text.find("- {")].count("\n") + 1 if where.startswith("rules[") else 1
    head = "version: 0.1\nstorage: {inmemory: {}}\nauth:\n  policy:\n"
    configured = parse(head + indented(text), {}, "config.yml").configuration
    with pytest.raises(ConfigurationError) as found:
        plugin_instances(configured)
    [mistake] = found.value.mistakes
    assert any(mistake.path == f"auth.policy.{each}".rstrip(".") for each in where.split("|")), (
        mistake
    )
    assert any(each in f"{mistake}" for each in what.split("|"))
    if where:
        assert mistake.line == line + 4

    path = tmp_path / "policy.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as found:
        PolicyPlugin(Options(file=str(path)))
    [mistake] = found.value.mistakes
    assert any(mistake.path == each for each in (*where.split("|"), "rules")), mistake
    assert any(each in f"{mistake}" for each in what.split("|"))
    assert mistake.line == (line if where else 1)
    assert mistake.source == str(path)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(
        "groups: {a: [{}]}\n"
        "rules:\n"
        "  - {repositories: [A, a], allow: pul, to: anonymus}\n"
        "  - {repositories: a, allow: pull, to: anonymous, except: x}\n"
    )
    with pytest.raises(ConfigurationError) as found:
        PolicyPlugin(Options(file=str(path)))
    assert [(each.line, each.path) for each in found.value.mistakes] == [
        (1, "groups.a[0]"),
        (3, "rules[0].repositories[0]"),
        (3, "rules[0].allow[0]"),
        (3, "rules[0].to[0]"),
        (4, "rules[1].except"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rules": []},
        {"groups": {"a": ["b"]}},
        {"file": "x", "rules": [{"repositories": "a", "allow": "pull", "to": "anonymous"}]},
        {"file": "x", "groups": {"a": ["b"]}},
        {"file": "x", "anonymousping": True},
    ],
)
def test_a_policy_is_here_or_in_a_file(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(given)


def test_names_are_texts_as_they_were_written(tmp_path: Path) -> None:
    """`0123` is a name of four characters, and not eighty-three."""
    path = tmp_path / "policy.yml"
    path.write_text(
        "groups: {1: [0123, yes]}\n"
        "rules:\n"
        "  - {repositories: a, allow: pull, to: [{group: 1}, user:null]}\n"
    )
    plugin = PolicyPlugin(Options(file=str(path)))
    [rule] = plugin.policy.rules
    assert [str(each) for each in rule.conditions] == ["group:1", "user:null"]
    assert rule.place == f"{path}:3"
