"""A stop that cannot wait keeps what has arrived of uploads."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from tests.fixtures.wire import Wire
from tests.servers.process import until
from tests.servers.registries import Registry

SENT = 5_000_000


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_arrived_is_kept_when_the_time_to_drain_is_over(
    short_dir: Path, start_registry: Callable[..., Registry], method: str
) -> None:
    root = short_dir / "root"
    config = {"http": {"draintimeout": "1s"}}
    registry = start_registry(root=root, config=config)
    with Wire(registry.url) as wire:
        location = wire.http.post("/v2/a/blobs/uploads/").headers["location"]
    path = location.partition(registry.address)[2]
    host, _, port = registry.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        query = f"?digest=sha256:{'0' * 64}" if method == "PUT" else ""
        head = f"{method} {path}{query} HTTP/1.1\r\nHost: a\r\nContent-Length: {2 * SENT}\r\n\r\n"
        sock.sendall(head.encode() + bytes(SENT))

        def arrived() -> bool:
            files = registry.store.rglob("data+*")
            return sum(file.stat().st_size for file in files) > SENT // 2

        until(arrived, seconds=20, what="the bytes to arrive")
        registry.stop()
        answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408"), answer
    assert SENT // 2 < kept(start_registry(root=root, config=config), path) <= SENT


def test_what_arrived_over_http2_is_kept_too(
    short_dir: Path, start_registry: Callable[..., Registry]
) -> None:
    root = short_dir / "root"
    config = {"http": {"draintimeout": "1s", "h2c": {"enabled": True}}}
    registry = start_registry(root=root, config=config)
    with Wire(registry.url) as wire:
        location = wire.http.post("/v2/a/blobs/uploads/").headers["location"]
    path = location.partition(registry.address)[2]
    client = h2.connection.H2Connection(h2.config.H2Configuration())
    client.initiate_connection()
    headers = [(":method", "PATCH"), (":path", path), (":scheme", "http"), (":authority", "a")]
    client.send_headers(1, headers)
    for _ in range(4):
        client.send_data(1, bytes(15_000))
    host, _, port = registry.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(client.data_to_send())
        taken = 0
        while taken < 60_000:
            for event in client.receive_data(sock.recv(65536)):
                if isinstance(event, h2.events.WindowUpdated) and event.stream_id == 1:
                    taken += event.delta
        registry.stop()
    assert kept(start_registry(root=root, config=config), path) == 60_000


def kept(registry: Registry, path: str) -> int:
    """How many bytes of an upload a registry has."""
    with Wire(registry.url) as wire:
        status = wire.http.get(path)
    assert status.status_code == 204
    found = re.fullmatch(r"0-(\d+)", status.headers["range"])
    assert found is not None
    return int(found[1]) + 1
