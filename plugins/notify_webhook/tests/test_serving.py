"""`pyreg serve` with endpoints in its configuration, and real clients."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.notify_webhook.tests.receiver import Receiver
from pyreg import Registry as App
from pyreg.hooks import ANONYMOUS
from pyreg_notify_webhook import Options, WebhookPlugin
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.client import Client
from tests.fixtures.images import small_image
from tests.servers.process import free_port, until
from tests.servers.registries import Registry

Starter = Callable[..., Registry]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def endpoints(*found: dict[str, Any]) -> dict[str, Any]:
    """A part of a configuration."""
    return {"notifications": {"endpoints": list(found)}}


def pyreg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of pyreg."""
    return subprocess.run(
        [sys.executable, "-m", "pyreg.cli", *arguments], capture_output=True, text=True, timeout=60
    )


def written(path: Path, *found: dict[str, Any]) -> str:
    """A configuration file."""
    config = {"version": "0.1", "storage": "inmemory", **endpoints(*found)}
    path.write_text(json.dumps(config, indent=1))
    return str(path)


def test_skopeo_pushes_and_the_receiver_hears(
    short_dir: Path, start_registry: Starter, skopeo: Client, tmp_path: Path
) -> None:
    receiver = Receiver(short_dir / "receiver").start()
    cloud = {"name": "cloud", "url": f"{receiver.origin}/cloud", "format": "cloudevents"}
    registry = start_registry(config=endpoints({"name": "audit", "url": receiver.url}, cloud))
    layout, image = small_image(tmp_path / "image", "webhooks")
    skopeo(
        "copy", "--dest-tls-verify=false", layout.source("v1"),
        f"docker://{registry.address}/team/app:v1",
    )  # fmt: skip

    def tags(path: str) -> list[str]:
        bodies = [each.body for each in receiver.requests() if each.path == path]
        return [body for body in bodies if '"v1"' in body]

    until(lambda: bool(tags("/events") and tags("/cloud")), seconds=30, what="the tag's events")
    [event] = json.loads(tags("/events")[0])["events"]
    assert event["action"] == "push"
    assert event["target"]["digest"] == image["digest"]
    assert event["request"]["useragent"].startswith("skopeo/")
    cloud_event = json.loads(tags("/cloud")[0])
    assert cloud_event["subject"] == "team/app:v1"
    # The two endpoints have different ids for nothing: it is one event.
    assert cloud_event["id"] == event["id"]
    receiver.stop()


def test_events_wait_for_a_receiver_that_comes_later(
    short_dir: Path, start_registry: Starter, skopeo: Client, tmp_path: Path
) -> None:
    receiver = Receiver(short_dir / "receiver")
    registry = start_registry(
        config=endpoints({"name": "audit", "url": receiver.url, "backoff": "100ms"})
    )
    layout, _ = small_image(tmp_path / "image", "webhooks")
    skopeo(
        "copy", "--dest-tls-verify=false", layout.source("v1"),
        f"docker://{registry.address}/team/app:v1",
    )  # fmt: skip
    process = registry.process
    assert process is not None
    trouble = f"{receiver.origin} cannot be reached: connection refused"
    until(lambda: trouble in process.log(), seconds=30, what="a failure in the log")
    receiver.start()
    until(
        lambda: any('"v1"' in each.body for each in receiver.accepted()),
        seconds=60,
        what="the tag's event",
    )
    receiver.stop()


def test_a_missing_file_keeps_the_registry_from_starting(tmp_path: Path) -> None:
    secretfile = str(tmp_path / "missing")
    config = written(
        tmp_path / "config.yml",
        {"name": "audit", "url": "http://127.0.0.1:1/", "signature": {"secretfile": secretfile}},
    )
    shown = pyreg("serve", config, "--bind", f"127.0.0.1:{free_port()}")
    assert shown.returncode != 0
    assert f"cannot read {secretfile}: no such file or directory" in shown.stdout + shown.stderr


def test_mistakes_have_a_line_and_no_secrets(tmp_path: Path) -> None:
    config = written(
        tmp_path / "config.yml",
        {
            "name": "audit",
            "url": "ftp://ada:pass-word@hooks.example.com/?token=query-secret",
            "headers": {"X-Token": ["header-secret\r\nX-Evil: 1"]},
            "signature": {"secrets": ["signing-secret"]},
            "format": "cloudevent",
        },
    )
    shown = pyreg("config", "check", config)
    text = shown.stdout + shown.stderr
    assert shown.returncode != 0
    assert "notifications.endpoints[0].url: expected an http:// or https:// address" in text
    assert "notifications.endpoints[0].headers: a value of the header X-Token has a control" in text
    assert "notifications.endpoints[0].signature: a secret is base64 of 24 to 64" in text
    assert "did you mean cloudevents?" in text
    for secret in ("pass-word", "query-secret", "header-secret", "signing-secret"):
        assert secret not in text


def test_the_configuration_is_shown_without_secrets(tmp_path: Path) -> None:
    config = written(
        tmp_path / "config.yml",
        {
            "name": "audit",
            "url": "https://ada:pass-word@hooks.example.com/?token=query-secret",
            "headers": {"X-Team": ["header-secret"]},
            "signature": {"secrets": [SECRET]},
            "proxy": "http://bea:proxy-secret@proxy:3128",
        },
    )
    shown = pyreg("config", "show", config)
    assert shown.returncode == 0, shown.stderr
    assert "hooks.example.com" in shown.stdout
    for secret in ("pass-word", "query-secret", "header-secret", SECRET, "proxy-secret"):
        assert secret not in shown.stdout + shown.stderr


@pytest.mark.anyio
async def test_in_somebody_elses_program(receiver: Receiver) -> None:
    plugin = WebhookPlugin(Options(url=receiver.url, name="audit"))
    async with App(storage=InMemoryStorage(), plugins=[plugin]) as registry:
        digest = await registry.repository("team/app", identity=ANONYMOUS).blobs.put(b"hello")
    [request] = receiver.requests()
    [event] = request.events
    assert event["target"]["digest"] == digest
    assert "url" not in event["target"]
    assert event["request"] == {"id": "", "method": "", "useragent": ""}
