"""Large layers under TLS: both with the same certificate, and a client that checks nothing."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bench.content import Payload, closing
from bench.contest import CONFIGURATION, DEBIAN, PYREG, Contest, Figure
from bench.wire import Unexpected, Wire
from pyreg_tls.authority import Authority
from tests.server.encrypted import start, unverified
from tests.servers.registries import Registry

PUSH = Figure("tls-push-large", "push 1 GiB under TLS, durably", "MiB/s")
PULL = Figure("tls-pull-large", "pull 1 GiB under TLS", "MiB/s", ratio=0.8)
PULL2 = Figure("tls-pull-http2", "pull 1 GiB under TLS by HTTP/2, with curl", "MiB/s")
LOGINS = Figure("tls-connections", "connect, handshake, GET /v2/, close", "connections/s")
FIGURES = (PUSH, PULL, PULL2, LOGINS)

MIB = 1 << 20
CONNECTIONS = 400


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    size = 256 * MIB if contest.quick else 1024 * MIB
    with _both(contest) as registries:
        payload = Payload(size)
        if only & {PULL.key, PULL2.key}:
            for registry in registries.values():
                push(registry, payload)

        def turns(figure: Figure, measure: Callable[[Registry], float]) -> None:
            if figure.key in only:
                contest.take_turns(
                    figure,
                    {name: partial(measure, registry) for name, registry in registries.items()},
                )

        turns(PUSH, lambda registry: push(registry, Payload(size)))
        turns(PULL, lambda registry: pull(registry, payload))
        if shutil.which("curl"):
            turns(PULL2, lambda registry: pull_by_http2(registry, payload))
        turns(LOGINS, lambda registry: connect(registry, CONNECTIONS))


class EncryptedWire(Wire):
    """One keep-alive connection under TLS.

    Args:
        address: `HOST:PORT`.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._sock = unverified().wrap_socket(self._sock)


def push(registry: Registry, payload: Payload) -> float:
    """Push a blob as clients do: POST, one PATCH, an empty PUT. Returns MiB per second."""
    with EncryptedWire(registry.address) as wire:
        began = time.perf_counter()
        upload = wire.request("POST", "/v2/bench/large/blobs/uploads/").require(202)
        upload = wire.send("PATCH", upload.location, payload.size, payload.pieces()).require(202)
        wire.request("PUT", closing(upload.location, payload.digest)).require(201)
        return payload.size / MIB / (time.perf_counter() - began)


def pull(registry: Registry, payload: Payload) -> float:
    """Pull a blob. Returns MiB per second."""
    with EncryptedWire(registry.address) as wire:
        began = time.perf_counter()
        wire.fetch(f"/v2/bench/large/blobs/{payload.digest}", payload.size)
        return payload.size / MIB / (time.perf_counter() - began)


def pull_by_http2(registry: Registry, payload: Payload) -> float:
    """Pull a blob with curl, by HTTP/2. Returns MiB per second."""
    url = f"https://{registry.address}/v2/bench/large/blobs/{payload.digest}"
    form = "%{http_version} %{size_download} %{speed_download}"
    said = subprocess.run(
        ["curl", "--silent", "--insecure", "--http2", "--output", "/dev/null", "-w", form, url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    if said[0] != "2" or int(said[1]) != payload.size:
        raise Unexpected(f"curl got {said[1]} bytes by HTTP/{said[0]}")
    return float(said[2]) / MIB


def connect(registry: Registry, count: int) -> float:
    """Connect anew for each request, as a Docker engine does. Returns connections per second."""
    began = time.perf_counter()
    for _ in range(count):
        with EncryptedWire(registry.address) as wire:
            wire.request("GET", "/v2/").require(200)
    return count / (time.perf_counter() - began)


@contextmanager
def _both(contest: Contest) -> Iterator[dict[str, Registry]]:
    place = contest.directory / "encrypted"
    place.mkdir()
    now = datetime.datetime.now(datetime.UTC)
    certificate, key = place / "server.pem", place / "server.key"
    authority = Authority.new("bench", now)
    authority.server(["127.0.0.1"], 2, now, certificate, key).write()
    tls = {"certificate": str(certificate), "key": str(key)}
    ours = start(place / PYREG, tls, config=CONFIGURATION)
    try:
        theirs = start(
            place / DEBIAN, tls, config=CONFIGURATION, program=shutil.which(DEBIAN) or DEBIAN
        )
        try:
            yield {PYREG: ours, DEBIAN: theirs}
        finally:
            theirs.stop()
    finally:
        ours.stop()
        shutil.rmtree(place)
