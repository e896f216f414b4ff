"""Events on their way to sinks: in order, again until they arrive, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pyreg import Registry, outbox
from pyreg.hooks import Event, EventSink, Identity, hookimpl
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import client_of, image, post_blob, put_manifest, serving
from tests.fixtures.wire import OCI_MANIFEST, sha256

pytestmark = pytest.mark.anyio


class Collects(EventSink):
    """Keeps what is delivered.

    Args:
        failures: How many deliveries fail first.
        gate: Waited for in each delivery.
    """

    def __init__(
        self, name: str = "collects", failures: int = 0, gate: asyncio.Event | None = None
    ) -> None:
        self.name = name
        self.failures = failures
        self.gate = gate
        self.batches: list[list[Event]] = []
        self.attempts = 0

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    async def deliver(self, events: Sequence[Event]) -> None:
        self.attempts += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("nobody listens")
        self.batches.append(list(events))

    @hookimpl
    def pyreg_event_sink(self) -> EventSink | None:
        return self


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries are short."""
    real = asyncio.sleep

    async def sleep(seconds: float, result: Any = None) -> Any:
        return await real(min(seconds, 0.01), result)

    monkeypatch.setattr(asyncio, "sleep", sleep)


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
    async with serving(sink) as client:
        await post_blob(client, "a", b"{}")
        await post_blob(client, "a", b"layer")
        payload = image(b"{}", [b"layer"])
        await put_manifest(client, "a", "v1", payload)
        await client.get(f"/v2/a/blobs/{sha256(b'layer')}")
        query = {"mount": sha256(b"layer"), "from": "a"}
        await client.post("/v2/b/blobs/uploads/", params=query)
        await client.delete(f"/v2/a/manifests/{sha256(payload)}")
    assert [(event.action, event.kind, event.repository) for event in sink.events] == [
        ("push", "blob", "a"),
        ("push", "blob", "a"),
        ("push", "manifest", "a"),
        ("pull", "blob", "a"),
        ("mount", "blob", "b"),
        ("delete", "manifest", "a"),
    ]
    _, layer, manifest, pull, mount, delete = sink.events
    assert (layer.target.digest, layer.target.size) == (sha256(b"layer"), 5)
    assert layer.target.media_type == "application/octet-stream"
    assert manifest.target.media_type == OCI_MANIFEST
    assert [item.size for item in manifest.references] == [2, 5]
    assert pull.target == layer.target
    assert (mount.from_repository, mount.target.size) == ("a", 5)
    assert (delete.target.digest, delete.target.size) == (sha256(payload), len(payload))
    for event in sink.events:
        assert event.request.client == "127.0.0.1"
        assert event.request.host == "registry.test"
        assert event.request.id
        assert event.source == sink.events[0].source
        assert abs(event.timestamp - sink.events[0].timestamp) < 60
    assert [event.request.method for event in sink.events] == [
        "POST",
        "POST",
        "PUT",
        "GET",
        "POST",
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
    assert [(event.action, event.kind, event.tag) for event in sink.events] == [
        ("push", "blob", ""),
        ("push", "manifest", "v1"),
        ("pull", "blob", ""),
    ]
    assert {event.actor for event in sink.events} == {"ann"}
    assert {event.request.method for event in sink.events} == {""}


async def test_what_was_not_delivered_is_tried_again_in_order(impatient: None) -> None:
    sink = Collects(failures=3)
    async with serving(sink) as client:
        for number in range(5):
            await post_blob(client, "a", b"%d" % number)
    assert sink.attempts >= 4
    assert [event.target.digest for event in sink.events] == [
        sha256(b"%d" % number) for number in range(5)
    ]


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


async def test_a_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "QUEUE", 3)
    gate = asyncio.Event()
    sink = Collects(gate=gate)
    registry = Registry(storage=InMemoryStorage(), plugins=[sink])
    async with registry, client_of(registry) as client:
        await post_blob(client, "a", b"0")
        while sink.attempts == 0:  # the first is on its way, the queue is empty
            await asyncio.sleep(0.001)
        for number in range(1, 6):
            await post_blob(client, "a", b"%d" % number)
        assert registry._outbox.dropped == {"collects": 2}
        gate.set()
    assert len(sink.events) == 4


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
