"""The sink keeps the contract, in every format."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from plugins.notify_webhook.tests.receiver import Receiver, Request
from pyreg.hooks import EventSink
from pyreg.testing import Endpoint, Received, SinkContract
from pyreg_notify_webhook import Options, WebhookSink

FORMATS: dict[str, dict[str, Any]] = {
    "docker": {},
    "docker-2.8": {"envelope": "v1"},
    "structured": {"format": "cloudevents"},
    "binary": {"format": "cloudevents", "mode": "binary"},
}


class Webhook(Endpoint):
    """A receiver in a process of its own.

    Args:
        directory: For its record.
        options: What the endpoint is told besides its address.
    """

    secrets = ("pass-word", "Bearer-of-nothing", "query-secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    def __init__(self, directory: Path, options: dict[str, Any]) -> None:
        self.receiver = Receiver(directory)
        self.options = options

    def sink(self) -> EventSink:
        password, header, query, secret = self.secrets
        return WebhookSink(
            Options.model_validate(
                {
                    "name": "audit",
                    "url": f"http://ada:{password}@127.0.0.1:{self.receiver.port}/?token={query}",
                    "headers": {"X-Token": [header]},
                    "signature": {"secrets": [f"whsec_{secret}"]},
                    **self.options,
                }
            )
        )

    async def received(self) -> Sequence[Received]:
        return [each for request in self.receiver.accepted() for each in _events(request)]

    async def start(self) -> None:
        self.receiver.start()

    async def stop(self) -> None:
        self.receiver.kill()


def _events(request: Request) -> list[Received]:
    body = json.loads(request.body)
    if request.headers.get("ce-id"):
        return [_received(body, request.headers["ce-type"])]
    if isinstance(body, list):
        return [_received(each["data"], each["type"]) for each in body]
    if "data" in body:
        return [_received(body["data"], body["type"])]
    return [_received(each) for each in body["events"]]


def _received(event: dict[str, Any], kind: str = "") -> Received:
    target = event["target"]
    actor = event["actor"].get("name", "")
    return Received(
        id=event["id"],
        action=event["action"],
        kind=kind.split(".")[1] if kind else None,
        repository=target["repository"],
        digest=target.get("digest", ""),
        tag=target.get("tag", ""),
        # What no encoding of Unicode can carry is replaced.
        actor=actor if "\ufffd" not in actor else None,
    )


@pytest.mark.parametrize("form", FORMATS)
class TestWebhook(SinkContract):
    @pytest.fixture
    async def endpoint(
        self, anyio_backend: str, short_dir: Path, form: str
    ) -> AsyncIterator[Endpoint]:
        webhook = Webhook(short_dir, FORMATS[form])
        await webhook.start()
        yield webhook
        await webhook.stop()
