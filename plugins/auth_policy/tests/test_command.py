"""`pyreg access`, as it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """\
version: 0.1
storage: {inmemory: {}}
auth:
  policy:
    groups: {devs: [ann]}
    rules:
      - {repositories: ["team/**"], allow: [push], to: ["group:devs"]}
      - repositories: ["{user}/**"]
        allow: all
        to: authenticated
      - {repositories: team/frozen, deny: push, to: everybody}
      - {repositories: "ci/**", allow: push, to: {claims: {owner: acme, team: [red, blue]}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    return path


def access(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyreg.cli", "access", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_explain_allowed(config: Path) -> None:
    done = access("explain", "--user", "ann", "push", "team/app", "--config", config)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "allowed: ann may push team/app"
    assert f"push: allowed by rule 1 ({config}:7)" in lines
    assert "  allow pull, push on team/** to group:devs" in lines
    [own] = {line for line in lines if f"rule 2 ({config}:8)" in line}
    assert own.endswith("it does not name team/app (for this caller: ann/**)")
    assert "Traceback" not in done.stderr


def test_explain_denied(config: Path) -> None:
    done = access("explain", "--user", "ann", "push", "team/frozen", "--config", config)
    assert done.returncode == 1
    assert done.stdout.startswith("denied: ann may not push team/frozen\n")
    assert f"push: denied by rule 3 ({config}:11)" in done.stdout
    assert "it would allow it, but a denial wins" in done.stdout
    done = access("explain", "--anonymous", "pull", "team/app", "--config", config)
    assert done.returncode == 1
    assert "pull: no rule allows it" in done.stdout
    assert "it is not about this caller" in done.stdout


def test_explain_for_programs(config: Path) -> None:
    claims = ("--claim", "owner=acme", "--claim", "team=green", "--claim", "team=red")
    done = access("explain", *claims, "push", "ci/app", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["allowed"] is True
    assert [each["action"] for each in document["actions"]] == ["pull", "push"]
    assert document["actions"][1]["rule"] == {
        "number": 4,
        "place": f"{config}:12",
        "text": "allow pull, push on ci/** to claim:owner=acme & claim:team=red|blue",
    }
    assert [each["number"] for each in document["actions"][1]["others"]] == [1, 2, 3]


def test_groups_and_authenticators_can_be_told(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nstorage: {inmemory: {}}\nauth:\n  policy:\n    rules:\n"
        "      - {repositories: a, allow: pull, to: {group: ops, authenticator: oidc}}\n"
    )
    asked = ("explain", "pull", "a", "--user", "ann", "--config", config)
    assert access(*asked, "--group", "ops", "--authenticator", "oidc").returncode == 0
    assert access(*asked, "--group", "ops").returncode == 1
    assert access(*asked, "--authenticator", "oidc").returncode == 1


def test_list(config: Path) -> None:
    done = access("list", "--user", "ann", "team/app", "team/frozen", "x", "--config", config)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "team/app  pull, push\nteam/frozen  pull\nx  nothing\n"
    rows = json.loads(access("list", "--user", "ann", "--config", config, "--json").stdout)
    assert [(each["allows"], each["repositories"]) for each in rows] == [
        (True, ["team/**"]),
        (True, ["ann/**"]),
        (False, ["team/frozen"]),
    ]
    done = access("list", "--user", "An*n", "--config", config)
    assert "ann" not in done.stdout.lower(), "nobody is a pattern"


def test_a_policy_of_its_own(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_text("rules:\n\n  - {repositories: a, allow: pull, to: anonymous}\n")
    config = f"version: 0.1\nstorage: {{inmemory: {{}}}}\nauth: {{policy: {{file: {policy}}}}}\n"
    done = access("explain", "--anonymous", "pull", "a", "--config", "-", stdin=config)
    assert done.returncode == 0, done.stderr
    assert f"rule 1 ({policy}:3)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("explain", "pull", "a"), "say who calls"),
        (("explain", "pull", "a", "--user", "ann", "--anonymous"), "say who calls"),
        (("explain", "frobnicate", "a", "--anonymous"), "frobnicate"),
        (("explain", "pull", "A/..", "--anonymous"), "cannot be the name"),
        (("explain", "pull", "a", "--claim", "x"), "NAME=VALUE"),
        (("list", "--anonymous", "--config", "none.yml"), "no such file"),
    ],
)
def test_what_is_no_question_has_no_answer(arguments: tuple[str, ...], complaint: str) -> None:
    done = access(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not done.stdout


def test_without_a_policy_there_is_no_answer(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("version: 0.1\nstorage: {inmemory: {}}\n")
    done = access("explain", "--anonymous", "pull", "a", "--config", config)
    assert done.returncode == 2
    assert "no policy" in done.stderr
    config.write_text(CONFIG.replace("deny: push", "deny: psh"))
    done = access("explain", "--anonymous", "pull", "a", "--config", config)
    assert done.returncode == 2
    assert "did you mean push?" in done.stderr
