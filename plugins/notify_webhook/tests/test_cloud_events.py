"""CloudEvents, read by the library of the CloudEvents project."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from hypothesis import assume, given

from plugins.notify_webhook.tests.conftest import Opened
from plugins.notify_webhook.tests.receiver import Receiver, Request
from plugins.notify_webhook.tests.samples import DIGEST, PUSH, event, several
from plugins.notify_webhook.tests.test_envelope import events
from pyreg.hooks import Event, RequestInfo
from pyreg_notify_webhook import cloud_events
from pyreg_notify_webhook.envelope import record

pytestmark = pytest.mark.anyio

CLOUD = {"format": "cloudevents"}


def read(request: Request) -> Any:
    """What the library makes of a request."""
    return from_http(HTTPMessage(request.headers, request.body.encode()), JSONFormat())


@pytest.mark.parametrize("mode", ["structured", "binary"])
async def test_an_event_is_read_by_the_library(
    receiver: Receiver, opened: Opened, mode: str
) -> None:
    await (await opened(receiver.url, mode=mode, **CLOUD)).deliver([PUSH])
    [request] = receiver.requests()
    found = read(request)
    assert found.get_id() == PUSH.id
    assert found.get_source() == "https://registry.example.com"
    assert found.get_type() == "pyreg.manifest.push"
    assert found.get_subject() == "team/app:v1"
    assert found.get_time().timestamp() == PUSH.timestamp
    assert found.get_datacontenttype() == "application/json"
    assert found.get_extension("partitionkey") == "team/app"
    assert found.get_data() == record(PUSH, "v2")
    expected = {
        "structured": "application/cloudevents+json",
        "binary": "application/json",
    }
    assert request.headers["content-type"] == expected[mode]


async def test_what_needs_no_encoding_is_plain(receiver: Receiver, opened: Opened) -> None:
    await (await opened(receiver.url, mode="binary", **CLOUD)).deliver([PUSH])
    [request] = receiver.requests()
    assert request.headers["ce-source"] == "https://registry.example.com"
    assert request.headers["ce-subject"] == "team/app:v1"
    assert request.headers["ce-time"] == "2026-09-21T14:13:20.125Z"


async def test_several_are_a_batch(receiver: Receiver, opened: Opened) -> None:
    sent = several(3)
    await (await opened(receiver.url, **CLOUD)).deliver(sent)
    [request] = receiver.requests()
    assert request.headers["content-type"] == "application/cloudevents-batch+json"
    assert [each["id"] for each in json.loads(request.body)] == [each.id for each in sent]
    for each in json.loads(request.body):
        JSONFormat().read(None, json.dumps(each))


async def test_in_binary_mode_each_has_a_request(receiver: Receiver, opened: Opened) -> None:
    sent = several(3)
    sink = await opened(
        receiver.url,
        mode="binary",
        signature={"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]},
        **CLOUD,
    )
    await sink.deliver(sent)
    requests = receiver.requests()
    assert [request.headers["ce-id"] for request in requests] == [each.id for each in sent]
    assert [request.headers["webhook-id"] for request in requests] == [each.id for each in sent]


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"tag": ""}, "subject", f"team/app@{DIGEST}"),
        ({"kind": "tag", "action": "delete"}, "type", "pyreg.tag.delete"),
        ({"kind": "blob", "action": "mount"}, "type", "pyreg.blob.mount"),
        ({"request": RequestInfo()}, "source", "//registry-1:5000"),
        ({"request": RequestInfo(), "source": ("", "")}, "source", "pyreg"),
    ],
)
def test_attributes(changes: dict[str, Any], attribute: str, value: str) -> None:
    _, body = cloud_events.structured([event(**changes)], "v2")
    assert json.loads(body)[attribute] == value


def test_older_data() -> None:
    _, body = cloud_events.structured([PUSH], "v1")
    assert list(json.loads(body)["data"]["target"])[:3] == ["mediaType", "size", "digest"]


@given(events)
def test_any_event_can_be_sent_and_read(one: Event) -> None:
    assume(one.id)  # every event has one
    for headers, body in (
        cloud_events.structured([one], "v2"),
        cloud_events.binary(one, "v2"),
    ):
        assert all(value.isascii() and value.isprintable() for value in headers.values())
        found = from_http(HTTPMessage(dict(headers), body), JSONFormat())
        assert found.get_data() == json.loads(json.dumps(record(one, "v2")))
        assert found.get_type() == f"pyreg.{one.kind}.{one.action}"
        assert found.get_extension("partitionkey") == record(one, "v2")["target"].get(
            "repository", ""
        )
