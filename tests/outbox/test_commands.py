"""`pyreg events`, beside a registry that serves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from plugins.notify_webhook.tests.receiver import Receiver
from tests.fixtures.wire import sha256
from tests.servers.process import until
from tests.servers.registries import Registry, start_pyreg


@dataclass
class Stage:
    """A registry with two endpoints."""

    registry: Registry
    receiver: Receiver
    config: Path

    def run(self, *arguments: str, status: int = 0) -> str:
        """`pyreg events`; what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "pyreg.cli", "events", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + (done.stderr if status else "")

    def push(self, *blobs: bytes) -> None:
        """Push blobs."""
        for blob in blobs:
            url = f"{self.registry.url}/v2/team/app/blobs/uploads/"
            assert httpx.post(url, params={"digest": sha256(blob)}, content=blob).status_code == 201

    def listed(self, *arguments: str) -> list[dict[str, object]]:
        """`pyreg events list --json`."""
        found: list[dict[str, object]] = json.loads(self.run("list", *arguments, "--json"))
        return found

    def until_listed(self, count: int, *arguments: str) -> list[dict[str, object]]:
        """The same, once there are so many."""
        until(lambda: len(self.listed(*arguments)) == count, seconds=30, what=f"{count} events")
        return self.listed(*arguments)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Endpoints: one is well, one refuses and is given up after two attempts, one refuses."""
    tmp_path = tmp_path_factory.mktemp("stage")
    receiver = Receiver(tmp_path / "receiver").start()
    quick = {"threshold": 1, "backoff": "100ms"}
    endpoints = [
        {"name": "well", "url": receiver.url, **quick},
        {"name": "away", "url": f"{receiver.url}?status=503", "maxattempts": 2, **quick},
        {"name": "never", "url": f"{receiver.url}?status=500", **quick},
    ]
    registry = start_pyreg(
        tmp_path / "registry", config={"notifications": {"endpoints": endpoints}}
    )
    yield Stage(registry, receiver, tmp_path / "registry" / "pyreg.yml")
    registry.stop()
    receiver.stop()


def test_an_operator_finds_out_and_sends_again(stage: Stage) -> None:
    stage.push(b"one", b"two")
    letters = stage.until_listed(2, "away", "--dead")
    assert {letter["attempts"] for letter in letters} == {2}
    assert all("503" in str(letter["reason"]) for letter in letters)
    assert len(stage.until_listed(2, "never")) == 2
    assert stage.until_listed(0, "well") == []

    until(lambda: "in a row" in stage.run("list"), seconds=30, what="the state")
    rows = stage.run("list").splitlines()
    assert rows[0].split() == ["ENDPOINT", "WAITING", "OLDEST", "DEAD", "STATE"]
    cells = {row.split()[0]: row.split() for row in rows[1:]}
    assert cells["well"][1:4] == ["0", "-", "0"]
    assert cells["away"][3] == "2"
    assert cells["never"][1] == "2"
    assert "in a row" in next(row for row in rows if row.startswith("never"))

    first = str(letters[0]["id"])
    shown = json.loads(stage.run("show", "away", first[:8]))
    assert (shown["id"], shown["repository"]) == (first, "team/app")

    assert "will be sent again" in stage.run("replay", "away", first[:8])
    stage.until_listed(1, "away", "--dead")
    stage.until_listed(2, "away", "--dead")  # it was tried, and given up again
    assert "2 events dropped" in stage.run("drop", "away", "--all", "--yes")
    assert stage.listed("away", "--dead") == []

    waiting = [str(event["id"]) for event in stage.listed("never")]
    assert "1 event dropped" in stage.run("drop", "never", waiting[0], "--waiting", "--yes")
    assert [event["id"] for event in stage.until_listed(1, "never")] == waiting[1:]


def test_a_sample_shows_what_the_endpoint_answers(stage: Stage) -> None:
    assert "200" in stage.run("test", "well")
    events = [event for request in stage.receiver.accepted() for event in request.events]
    assert ("pyreg/test", "test") in {
        (event["target"]["repository"], event["target"].get("tag")) for event in events
    }
    assert "503" in stage.run("test", "away", status=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["test", "wel"], "no endpoint wel (it has: well, away, never)"),
        (["show", "well", "abc"], "whose id begins with abc"),
        (["replay", "away", "abc"], "no dead letter whose id begins with abc"),
        (["drop", "away", "abc", "--yes", "--waiting"], "no waiting event whose id begins"),
    ],
)
def test_mistakes_are_told(stage: Stage, arguments: list[str], said: str) -> None:
    assert said in stage.run(*arguments, status=1)


@pytest.mark.parametrize(
    "arguments", [["replay", "away"], ["drop", "away", "--yes"], ["drop", "away", "x", "--all"],
                  ["list", "--dead"]],
)  # fmt: skip
def test_usage_is_told(stage: Stage, arguments: list[str]) -> None:
    assert "Usage:" in stage.run(*arguments, status=2)
