"""What an event looks like in the stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pyreg.hooks import Descriptor, Event, RequestInfo
from pyreg.testing.events.samples import one_of_each
from pyreg_notify_redis.entries import entry_of

DIGEST = "sha256:" + "a" * 64
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PUSH = Event(
    id="an-id",
    timestamp=1_700_000_000.25,
    action="push",
    kind="manifest",
    repository="team/app",
    target=Descriptor(MANIFEST, DIGEST, 708),
    tag="v1",
    actor="ada",
    request=RequestInfo(
        id="a-request",
        client="192.0.2.7",
        port=41961,
        host="registry.test:5000",
        base="https://registry.test:5000",
        method="PUT",
        user_agent="docker/26.1",
    ),
    source=("one.test:5000", "an-instance"),
)


def event_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry_of(event)["event"])
    return found


def test_a_push_of_a_manifest() -> None:
    entry = entry_of(PUSH)
    event = json.loads(entry.pop("event"))
    assert entry == {
        "id": "an-id",
        "action": "push",
        "kind": "manifest",
        "repository": "team/app",
        "tag": "v1",
        "digest": DIGEST,
    }
    assert event == {
        "id": "an-id",
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "action": "push",
        "target": {
            "mediaType": MANIFEST,
            "digest": DIGEST,
            "size": 708,
            "length": 708,
            "repository": "team/app",
            "url": f"https://registry.test:5000/v2/team/app/manifests/{DIGEST}",
            "tag": "v1",
        },
        "request": {
            "id": "a-request",
            "addr": "192.0.2.7:41961",
            "host": "registry.test:5000",
            "method": "PUT",
            "useragent": "docker/26.1",
        },
        "actor": {"name": "ada"},
        "source": {"addr": "one.test:5000", "instanceID": "an-instance"},
    }


def test_a_mount() -> None:
    mount = replace(PUSH, action="mount", kind="blob", tag="", from_repository="team/other")
    target = event_of(mount)["target"]
    assert target["fromRepository"] == "team/other"
    assert target["url"] == f"https://registry.test:5000/v2/team/app/blobs/{DIGEST}"
    assert "tag" not in target


@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_a_deletion_has_the_digest_only(kind: Any) -> None:
    gone = replace(PUSH, action="delete", kind=kind, target=Descriptor("", DIGEST, 0), tag="")
    assert event_of(gone)["target"] == {
        "mediaType": "",
        "digest": DIGEST,
        "size": 0,
        "repository": "team/app",
    }


def test_the_deletion_of_a_tag_has_the_tag_only() -> None:
    gone = replace(PUSH, action="delete", kind="tag", target=Descriptor("", "", 0))
    assert event_of(gone)["target"] == {
        "mediaType": "",
        "digest": "",
        "size": 0,
        "repository": "team/app",
        "tag": "v1",
    }
    assert entry_of(gone)["digest"] == ""


def test_all_of_a_descriptor() -> None:
    target = Descriptor(
        MANIFEST,
        DIGEST,
        708,
        artifact_type="application/vnd.example",
        annotations={"a": "b"},
        platform={"os": "linux", "architecture": "arm64"},
        urls=("https://mirror.test/",),
    )
    event = replace(PUSH, target=target, references=(target, replace(target, urls=())))
    found = event_of(event)["target"]
    described = {
        "mediaType": MANIFEST,
        "digest": DIGEST,
        "size": 708,
        "artifactType": "application/vnd.example",
        "annotations": {"a": "b"},
        "platform": {"os": "linux", "architecture": "arm64"},
    }
    assert found.items() >= described.items()
    assert found["urls"] == ["https://mirror.test/"]
    assert found["references"] == [{**described, "urls": ["https://mirror.test/"]}, described]


def test_a_call_of_the_python_api() -> None:
    event = event_of(replace(PUSH, request=RequestInfo(), actor="", source=("", "")))
    assert event["request"] == {"id": "", "method": "", "useragent": ""}
    assert (event["actor"], event["source"]) == ({}, {})
    assert "url" not in event["target"]


@pytest.mark.parametrize(
    ("client", "port", "address"),
    [
        ("192.0.2.7", 1, "192.0.2.7:1"),
        ("192.0.2.7", 0, "192.0.2.7"),
        ("2001:db8::1", 1, "[2001:db8::1]:1"),
        ("2001:db8::1", 0, "2001:db8::1"),
    ],
)
def test_addresses_of_clients(client: str, port: int, address: str) -> None:
    request = replace(PUSH.request, client=client, port=port)
    assert event_of(replace(PUSH, request=request))["request"]["addr"] == address


def test_every_entry_has_every_field_and_fits_in_utf_8() -> None:
    for event in one_of_each(references=2):
        entry = entry_of(event)
        assert list(entry) == ["id", "action", "kind", "repository", "tag", "digest", "event"]
        for value in entry.values():
            value.encode()
        name = json.loads(entry["event"])["actor"].get("name", "")
        assert name == event.actor.replace("\ud83d", "\ufffd")
