"""Events of a registry: which there are, what they say, and that each sink gets its own."""

from __future__ import annotations

import asyncio

import pytest

from pyreg import Registry
from pyreg.errors import PluginError
from pyreg.hooks import Identity, Subscription
from pyreg.outbox import pulls
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import client_of, image, post_blob, put_manifest, serving
from tests.fixtures.wire import OCI_MANIFEST, sha256
from tests.outbox.sinks import Collects

pytestmark = pytest.mark.anyio


async def test_one_event_for_each_tag_of_a_push() -> None:
    sink = Collects()
    async with serving(sink) as client:
        await post_blob(client, "a", b"{}")
        payload = image(b"{}")
        answer = await put_manifest(
            client, "a", sha256(payload), payload, params={"tag": ["v1", "v1.2", "v1"]}
        )
        assert answer.status_code == 201
    pushes = [event for event in sink.events if event.kind == "manifest"]
    assert [event.tag for event in pushes] == ["v1", "v1.2"]
    assert {event.target.digest for event in pushes} == {sha256(payload)}
    assert len({event.id for event in sink.events}) == 3


async def test_a_push_by_digest_alone_is_one_event_without_a_tag() -> None:
    sink = Collects()
    async with serving(sink) as client:
        await post_blob(client, "a", b"{}")
        payload = image(b"{}")
        await put_manifest(client, "a", sha256(payload), payload)
    assert [event.tag for event in sink.events if event.kind == "manifest"] == [""]


async def test_fields_of_a_push_a_pull_a_mount_and_a_delete() -> None:
    sink = Collects()
    heard = {"collects": Subscription(references=True)}
    async with serving(sink, subscriptions=heard) as client:
        await post_blob(client, "a", b"{}")
        await post_blob(client, "a", b"layer")
        payload = image(b"{}", [b"layer"])
        await put_manifest(client, "a", "v1", payload)
        await client.get(f"/v2/a/blobs/{sha256(b'layer')}")
        query = {"mount": sha256(b"layer"), "from": "a"}
        await client.post("/v2/b/blobs/uploads/", params=query)
        await client.delete(f"/v2/a/manifests/{sha256(payload)}")
    # A pull is told of from memory, a little later.
    events = sorted(sink.events, key=lambda event: event.timestamp)
    assert [(event.action, event.kind, event.repository) for event in events] == [
        ("push", "blob", "a"),
        ("push", "blob", "a"),
        ("push", "manifest", "a"),
        ("pull", "blob", "a"),
        ("mount", "blob", "b"),
        ("delete", "manifest", "a"),
        ("delete", "tag", "a"),
    ]
    _, layer, manifest, pull, mount, delete, untagged = events
    assert (layer.target.digest, layer.target.size) == (sha256(b"layer"), 5)
    assert layer.target.media_type == "application/octet-stream"
    assert manifest.target.media_type == OCI_MANIFEST
    assert [item.size for item in manifest.references] == [2, 5]
    assert pull.target == layer.target
    assert (mount.from_repository, mount.target.size) == ("a", 5)
    assert (delete.target.digest, delete.target.size) == (sha256(payload), len(payload))
    assert (delete.tag, untagged.tag) == ("", "v1")
    for event in events:
        assert (event.request.client, event.request.port) == ("127.0.0.1", 123)
        assert event.request.base == "http://registry.test"
        assert event.request.host == "registry.test"
        assert event.request.id
        assert event.source == sink.events[0].source
        assert abs(event.timestamp - sink.events[0].timestamp) < 60
    assert [event.request.method for event in events] == [
        "POST",
        "POST",
        "PUT",
        "GET",
        "POST",
        "DELETE",
        "DELETE",
    ]


async def test_what_is_refused_or_fails_is_no_event() -> None:
    sink = Collects()
    async with serving(sink) as client:
        await put_manifest(client, "a", "v1", image(b"missing"))
        await client.get("/v2/a/manifests/v1")
        await client.delete("/v2/a/manifests/v1")
        wrong = {"digest": sha256(b"another")}
        answer = await client.post("/v2/a/blobs/uploads/", params=wrong, content=b"one")
        assert answer.status_code == 400
    assert sink.events == []


async def test_the_python_api_makes_the_same_events() -> None:
    sink = Collects()
    async with Registry(storage=InMemoryStorage(), plugins=[sink]) as registry:
        repository = registry.repository("a", identity=Identity("ann", authenticator="test"))
        digest = await repository.blobs.put(b"{}")
        await repository.manifests.put(image(b"{}"), "v1", media_type=OCI_MANIFEST)
        assert await repository.blobs.get(digest) == b"{}"
    events = sorted(sink.events, key=lambda event: event.timestamp)
    assert [(event.action, event.kind, event.tag) for event in events] == [
        ("push", "blob", ""),
        ("push", "manifest", "v1"),
        ("pull", "blob", ""),
    ]
    assert {event.actor for event in sink.events} == {"ann"}
    assert {event.request.method for event in sink.events} == {""}


async def test_a_slow_sink_delays_neither_clients_nor_other_sinks() -> None:
    gate = asyncio.Event()
    slow, quick = Collects("slow", gate=gate), Collects("quick")
    async with serving(slow, quick) as client:
        async with asyncio.timeout(5):
            for number in range(5):
                assert (await post_blob(client, "a", b"%d" % number)).status_code == 201
            while len(quick.events) < 5:
                await asyncio.sleep(0.001)
        assert slow.events == []
        gate.set()
    assert [event.id for event in slow.events] == [event.id for event in quick.events]


async def test_pulls_that_find_no_room_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "ROOM", 3)
    sink = Collects()
    registry = Registry(storage=InMemoryStorage(), plugins=[sink])
    async with registry, client_of(registry) as client:
        await post_blob(client, "a", b"0")
        for _ in range(5):
            await client.get(f"/v2/a/blobs/{sha256(b'0')}")
        counted = figures(registry)
        assert counted["registry_notifications_events_total", "Dropped"] == 2
        assert counted["registry_notifications_events_total", "Events"] >= 5
    assert [event.action for event in sink.events].count("pull") == 3
    assert [event.action for event in sink.events].count("push") == 1


def figures(registry: Registry) -> dict[tuple[str, str], float]:
    """Values by metric and type."""
    return {
        (metric.name, labels.get("type", "")): value
        for metric in registry.metrics()
        for labels, value in metric.samples
    }


async def test_counters_only_grow_also_over_a_stop_and_a_start() -> None:
    registry = Registry(storage=InMemoryStorage(), plugins=[Collects()])
    for turn in (1, 2):
        async with registry:
            await registry.repository("a").blobs.put(b"%d" % turn)
        counted = figures(registry)
        assert counted["registry_notifications_events_total", "Events"] == turn
        assert counted["registry_notifications_events_total", "Successes"] == turn


async def test_two_sinks_of_one_name_are_refused() -> None:
    with pytest.raises(PluginError, match="two event sinks are called same"):
        Registry(storage=InMemoryStorage(), plugins=[Collects("same"), Collects("same")])


async def test_the_health_report_tells_how_each_sink_is() -> None:
    good, bad = Collects("good"), Collects("bad", failures=10**6)
    async with serving(good, bad) as client:
        await post_blob(client, "a", b"0")
        async with asyncio.timeout(20):
            while True:
                answer = await client.get("/debug/health")
                notes = answer.json()["notes"]
                if "in a row" in notes["notifications.bad"]:
                    break
                await asyncio.sleep(0.05)
    assert answer.status_code == 200  # it is the endpoint that is ill, not the registry
    assert "1 event waiting" in notes["notifications.bad"]
    assert "nobody listens" not in answer.text  # the address is as public as the registry
    assert notes["notifications.good"] in ("well", "nothing was delivered yet")


async def test_stopping_does_not_wait_for_a_dead_sink_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = Collects(gate=asyncio.Event())
    registry = Registry(storage=InMemoryStorage(), plugins=[sink])
    await registry.start()
    await registry.repository("a").blobs.put(b"never heard of")
    async with asyncio.timeout(10):
        await registry._outbox.stop(patience=0.05)
        await registry.stop()
    assert sink.events == []


async def test_an_event_that_is_delivered_to_a_registry_causes_no_further_ones() -> None:
    sink = Collects()
    async with serving(sink) as client:
        await post_blob(client, "a", b"{}")
        query = {"mount": sha256(b"{}"), "from": "a"}
        headers = {"Pyreg-Delivery": "instance"}
        answer = await client.post("/v2/b/blobs/uploads/", params=query, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (508, "DENIED")
        answer = await client.get(f"/v2/a/blobs/{sha256(b'{}')}", headers=headers)
        assert answer.status_code == 508
    assert [(event.action, event.repository) for event in sink.events] == [("push", "a")]
    async with serving() as client:  # nobody hears of anything
        await post_blob(client, "a", b"{}")
        answer = await client.get(f"/v2/a/blobs/{sha256(b'{}')}", headers=headers)
        assert answer.status_code == 200
