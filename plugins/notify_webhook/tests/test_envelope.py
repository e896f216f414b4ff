"""The Docker registry's envelope, byte by byte and for any event."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.notify_webhook.tests.samples import DIGEST, MANIFEST, REQUEST, event
from pyreg.hooks import Descriptor, Event, RequestInfo
from pyreg_notify_webhook.envelope import Version, encode, record, timestamp

PUSHED = """\
{
   "events": [
      {
         "id": "7f9a0b9e-54f4-4a8c-9f6a-0a4a4d1c2f3e",
         "timestamp": "2026-09-21T14:13:20.125Z",
         "action": "push",
         "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": "sha256:DIGEST",
            "size": 528,
            "length": 528,
            "repository": "team/app",
            "url": "https://registry.example.com/v2/team/app/manifests/sha256:DIGEST",
            "tag": "v1",
            "references": [
               {
                  "mediaType": "application/vnd.oci.image.config.v1+json",
                  "digest": "sha256:DIGEST",
                  "size": 0
               }
            ]
         },
         "request": {
            "id": "7c1d",
            "addr": "192.0.2.7:40000",
            "host": "registry.example.com",
            "method": "PUT",
            "useragent": "containers/5.29 \\u003c\\u0026\\u003e"
         },
         "actor": {
            "name": "ada"
         },
         "source": {
            "addr": "registry-1:5000",
            "instanceID": "0f5c6d1e-0000-4000-8000-000000000001"
         }
      }
   ]
}"""
CONFIG = Descriptor("application/vnd.oci.image.config.v1+json", DIGEST, 0)


def target(version: Version, **changes: Any) -> dict[str, Any]:
    """The target of a changed event, decoded."""
    found: dict[str, Any] = record(event(**changes), version)["target"]
    return found


def test_a_push_byte_by_byte() -> None:
    expected = PUSHED.replace("DIGEST", "a" * 64)
    assert encode([event(references=(CONFIG,))], "v2").decode() == expected


def test_older_receivers_get_the_size_first_and_nothing_that_is_empty() -> None:
    found = target("v1", references=(CONFIG,))
    assert list(found) == [
        "mediaType", "size", "digest", "length", "repository", "url", "tag", "references",
    ]  # fmt: skip
    assert list(found["references"][0]) == ["mediaType", "digest"]
    assert list(target("v1", target=Descriptor("", DIGEST, 0), tag="")) == [
        "digest", "repository", "url",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_of_what_is_deleted_there_is_a_digest_and_a_repository(kind: str) -> None:
    gone = {"kind": kind, "action": "delete", "references": (CONFIG,), "from_repository": "x"}
    assert target("v1", **gone) == {"digest": DIGEST, "repository": "team/app"}
    assert json.dumps(target("v2", **gone)) == json.dumps(
        {"mediaType": "", "digest": DIGEST, "size": 0, "repository": "team/app"}
    )


def test_of_a_deleted_tag_there_is_the_tag() -> None:
    gone = {"kind": "tag", "action": "delete"}
    assert target("v1", **gone) == {"repository": "team/app", "tag": "v1"}
    assert target("v2", **gone) == {
        "mediaType": "", "digest": "", "size": 0, "repository": "team/app", "tag": "v1",
    }  # fmt: skip


def test_a_mount_names_where_the_blob_comes_from() -> None:
    found = target("v2", action="mount", kind="blob", tag="", from_repository="team/other")
    assert found["fromRepository"] == "team/other"
    assert found["url"] == f"https://registry.example.com/v2/team/app/blobs/{DIGEST}"
    assert list(found).index("repository") + 1 == list(found).index("fromRepository")


def test_the_python_api_has_no_address() -> None:
    found = record(event(request=RequestInfo(), actor="", source=("", "")), "v2")
    assert "url" not in found["target"]
    assert found["request"] == {"id": "", "method": "", "useragent": ""}
    assert found["actor"] == {}
    assert found["source"] == {}


@pytest.mark.parametrize(
    ("client", "port", "shown"),
    [
        ("192.0.2.7", 40000, "192.0.2.7:40000"),
        ("192.0.2.7", 0, "192.0.2.7"),
        ("2001:db8::7", 40000, "[2001:db8::7]:40000"),
        ("2001:db8::7", 0, "2001:db8::7"),
    ],
)
def test_the_port_of_a_client_where_it_is_known(client: str, port: int, shown: str) -> None:
    request = RequestInfo(client=client, port=port)
    assert record(event(request=request), "v2")["request"]["addr"] == shown


def test_a_descriptor_with_all_that_it_can_have() -> None:
    whole = Descriptor(
        MANIFEST,
        DIGEST,
        7,
        artifact_type="application/example",
        annotations={"b": "2", "a": "1"},
        platform={
            "architecture": "arm64", "os": "linux", "os.version": "6", "os.features": ["x"],
            "variant": "v8", "made.up": "no",
        },
        urls=("https://example.com/a",),
    )  # fmt: skip
    newer, older = (target(version, references=(whole,))["references"][0] for version in VERSIONS)
    assert list(newer) == [
        "mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType",
    ]  # fmt: skip
    assert list(newer["annotations"]) == ["a", "b"]
    assert list(newer["platform"]) == [
        "architecture", "os", "os.version", "os.features", "variant",
    ]  # fmt: skip
    assert list(older) == ["mediaType", "size", "digest", "urls", "annotations"]
    # Of the target itself nothing more is said, whatever is known of it.
    assert list(target("v2", target=whole))[:4] == ["mediaType", "digest", "size", "length"]


@pytest.mark.parametrize(
    "platform", [{}, {"os": 5, "architecture": None}, {"os.features": "win32k"}]
)
def test_a_platform_that_is_none(platform: dict[str, Any]) -> None:
    found = target("v2", references=(Descriptor(MANIFEST, DIGEST, 7, platform=platform),))
    assert found["references"][0]["platform"] == {"architecture": "", "os": ""}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (1.5, "1970-01-01T00:00:01.5Z"),
        (1790000000.000001, "2026-09-21T14:13:20.000001Z"),
    ],
)
def test_timestamps_end_where_the_zeros_begin(seconds: float, shown: str) -> None:
    assert timestamp(seconds) == shown


VERSIONS: tuple[Version, ...] = ("v2", "v1")

# Everything that Python can hold in a text, halves of surrogate pairs included.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
descriptors = st.builds(
    Descriptor,
    media_type=texts,
    digest=texts,
    size=st.integers(0, 2**63 - 1),
    artifact_type=st.none() | texts,
    annotations=st.none() | st.dictionaries(texts, texts, max_size=3),
    platform=st.none()
    | st.dictionaries(
        st.sampled_from(["architecture", "os", "os.version", "os.features", "variant"]),
        texts | st.lists(texts, max_size=2) | st.floats() | st.none(),
    ),
    urls=st.lists(texts, max_size=2).map(tuple),
)
events = st.builds(
    Event,
    id=texts,
    timestamp=st.floats(0, 4e9),
    action=st.sampled_from(["push", "pull", "mount", "delete"]),
    kind=st.sampled_from(["manifest", "blob", "tag"]),
    repository=texts,
    target=descriptors,
    tag=texts,
    from_repository=texts,
    references=st.lists(descriptors, max_size=3).map(tuple),
    actor=texts,
    request=st.builds(
        RequestInfo, id=texts, client=texts, host=texts, method=texts, user_agent=texts,
        port=st.integers(0, 65535), base=texts,
    ),
    source=st.tuples(texts, texts),
)  # fmt: skip

ORDER = {
    "": ("events",),
    "events": ("id", "timestamp", "action", "target", "request", "actor", "source"),
    "target": (
        "mediaType", "digest", "size", "length", "repository", "fromRepository", "url", "tag",
        "references",
    ),
    "references": (
        "mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType",
    ),
    "request": ("id", "addr", "host", "method", "useragent"),
    "actor": ("name",),
    "source": ("addr", "instanceID"),
    "platform": ("architecture", "os", "os.version", "os.features", "variant"),
}  # fmt: skip
ALWAYS = {
    "events": {"timestamp", "action", "target", "request", "actor", "source"},
    "request": {"id", "method", "useragent"},
    "platform": {"architecture", "os"},
}


def check_order(found: Any, where: str, version: Version) -> None:
    """Every object has known fields only, in their order, and none that could be left out."""
    if isinstance(found, list):
        for each in found:
            check_order(each, where, version)
    elif isinstance(found, dict) and where in ORDER:
        order = list(ORDER[where])
        always = set(ALWAYS.get(where, ()))
        if where in ("target", "references"):
            if version == "v1":
                order[1:3] = ["size", "digest"]
                order = [name for name in order if name not in ("platform", "artifactType")]
            else:
                always |= {"mediaType", "digest", "size"}
        assert list(found) == [name for name in order if name in found]
        for name in order:
            assert name not in always or name in found, name
            assert name in always or found.get(name, "x"), f"{name} is empty"
        for name, value in found.items():
            check_order(value, name, version)


@given(st.lists(events, min_size=1, max_size=3), st.sampled_from(VERSIONS))
def test_any_event_is_encoded_as_go_does(batch: list[Event], version: Version) -> None:
    data = encode(batch, version)
    written = data.decode("utf-8")
    assert not re.search("[<>&\u2028\u2029]", written)
    decoded = json.loads(written)
    assert len(decoded["events"]) == len(batch)
    check_order(decoded, "", version)
    # Decoding and encoding by the same rules changes nothing: it is one kind of JSON throughout.
    again = json.dumps(decoded, indent=3, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        again = again.replace(char, f"\\u{ord(char):04x}")
    assert again == written


@given(events)
def test_what_can_be_sent_arrives(one: Event) -> None:
    [found] = json.loads(encode([one], "v2"))["events"]
    for sent, value in (
        (one.id, found.get("id", "")),
        (one.actor, found["actor"].get("name", "")),
        (one.request.user_agent, found["request"]["useragent"]),
    ):
        assert value == re.sub("[\ud800-\udfff]", "\ufffd", sent)
    moment = datetime.datetime.fromisoformat(found["timestamp"])
    assert moment.timestamp() == pytest.approx(one.timestamp, abs=1e-6)
    if one.action != "delete":
        assert found["target"]["size"] == one.target.size
        assert found["target"].get("length", 0) == one.target.size


def test_a_large_event_has_room() -> None:
    references = tuple(Descriptor(MANIFEST, DIGEST, size) for size in range(1, 10_001))
    [found] = json.loads(encode([event(references=references, request=REQUEST)], "v2"))["events"]
    assert [each["size"] for each in found["target"]["references"]] == list(range(1, 10_001))
