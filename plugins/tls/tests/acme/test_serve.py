"""`pyreg serve` with certificates from an authority."""

from __future__ import annotations

import fcntl
import json
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from tests.servers.pebble import Pebble
from tests.servers.process import Process, free_port, until

HOST = "registry.example.com"
BLOB = 64 << 20

Serve = Callable[..., Process]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `pyreg serve` on a port, with a directory of certificates that all share."""
    started: list[Process] = []

    def start(authority: Pebble, port: int, **tls: Any) -> Process:
        directory = tmp_path / f"pyreg{len(started)}"
        directory.mkdir()
        letsencrypt = {
            "cachefile": str(tmp_path / "certificates"),
            "hosts": [HOST],
            "directoryurl": authority.url,
            "cacertificate": str(authority.root),
            **tls.pop("letsencrypt", {}),
        }
        config = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
            "http": {"addr": f"127.0.0.1:{port}", "tls": {"letsencrypt": letsencrypt, **tls}},
        }
        path = directory / "config.yml"
        path.write_text(json.dumps(config))
        process = Process(
            "pyreg",
            [sys.executable, "-m", "pyreg.cli", "serve", "--workers", "2", str(path)],
            directory,
            ready=lambda: status(port, "/") in (308, 400),
        )
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        if process.alive:
            assert process.stop() == 0, process.log()
        assert "Traceback" not in process.log(), process.log()


def status(port: int, path: str) -> int:
    """The status of a plain GET; 0 if there is none."""
    try:
        url = f"http://127.0.0.1:{port}{path}"
        return httpx.get(url, timeout=5.0, trust_env=False).status_code
    except httpx.TransportError:
        return 0


def connect(port: int, authority: Pebble) -> ssl.SSLSocket:
    """A connection of a client that trusts the authority and nobody else."""
    context = ssl.create_default_context(cadata=authority.issuers())
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    try:
        return context.wrap_socket(sock, server_hostname=HOST)
    except BaseException:
        sock.close()
        raise


def serial(port: int, authority: Pebble) -> int:
    with connect(port, authority) as tls:
        shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def trusted(port: int, authority: Pebble) -> bool:
    """Whether both workers have a certificate: each takes about every other connection."""
    try:
        return all(serial(port, authority) for _ in range(16))
    except OSError:
        return False


def ask(tls: ssl.SSLSocket, path: str) -> bytes:
    """The answer to a GET whose body fits into one piece; the connection stays open."""
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    return tls.recv(65_536)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_one_port_is_enough(kind: str, serve: Serve, start_pebble: Callable[..., Pebble]) -> None:
    port = free_port()
    authority = start_pebble(proofs=port)
    process = serve(authority, port, letsencrypt={"challenges": [kind]})
    until(lambda: trusted(port, authority), seconds=60, what="the certificate")
    with connect(port, authority) as tls:
        assert ask(tls, "/v2/").startswith(b"HTTP/1.1 200 ")
        health = ask(tls, "/debug/health")
        assert health.startswith(b"HTTP/1.1 200 "), health
    assert f"{HOST} has a certificate until" in process.log()
    assert authority.issued == 1, "two workers, and one of them asked"


def test_proofs_on_the_address_for_redirects(
    serve: Serve, start_pebble: Callable[..., Pebble]
) -> None:
    port, redirect = free_port(), free_port()
    authority = start_pebble(proofs=redirect)
    challenges = {"challenges": ["http-01"]}
    serve(authority, port, redirect=f"127.0.0.1:{redirect}", letsencrypt=challenges)
    until(lambda: trusted(port, authority), seconds=60, what="the certificate")
    assert status(redirect, "/v2/") == 308
    assert status(redirect, "/.well-known/acme-challenge/0123456789abcdef") == 308


def test_while_there_is_no_certificate(serve: Serve, start_pebble: Callable[..., Pebble]) -> None:
    port = free_port()
    authority = start_pebble(proofs=port)
    roots = authority.issuers()
    authority.process.kill()
    process = serve(authority, port)
    until(lambda: "the next attempt" in process.log(), seconds=30, what="the first attempt")
    assert f"no certificate for {HOST}: {authority.url} cannot be reached" in process.log()
    context = ssl.create_default_context(cadata=roots)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as sock,
        pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"),
    ):
        context.wrap_socket(sock, server_hostname=HOST)
    assert status(port, "/v2/") == 308
    authority.start()
    until(lambda: trusted(port, authority), seconds=60, what="the certificate")


def test_a_renewal_under_running_connections(
    serve: Serve, start_pebble: Callable[..., Pebble], tmp_path: Path
) -> None:
    """None breaks: neither an idle one nor one in the middle of a blob. New ones see the new."""
    port = free_port()
    authority = start_pebble(proofs=port, lifetime=24)
    serve(authority, port)
    until(lambda: trusted(port, authority), seconds=60, what="the certificate")
    first = serial(port, authority)
    context = ssl.create_default_context(cadata=authority.issuers())
    digest = push(port, context)
    with connect(port, authority) as idle, connect(port, authority) as pulling:
        assert ask(idle, "/v2/").startswith(b"HTTP/1.1 200 ")
        pulling.sendall(f"GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        received = len(pulling.recv(65_536))
        until(lambda: serial(port, authority) != first, seconds=60, what="the renewal")
        while received < BLOB:
            piece = pulling.recv(1 << 20)
            assert piece, "the connection was cut"
            received += len(piece)
        assert ask(idle, "/v2/").startswith(b"HTTP/1.1 200 ")
    assert authority.accounts == 1


def push(port: int, context: ssl.SSLContext) -> str:
    """Push a large blob; returns its digest."""
    from tests.fixtures.wire import sha256

    data = bytes(BLOB)
    digest = sha256(data)
    with httpx.Client(
        base_url=f"https://127.0.0.1:{port}", verify=context, timeout=60, trust_env=False
    ) as client:
        answer = client.post(
            "/v2/app/blobs/uploads/",
            params={"digest": digest},
            content=data,
            extensions={"sni_hostname": HOST},
        )
    assert answer.status_code == 201, answer.text
    return digest


def test_two_replicas_order_once(
    serve: Serve, start_pebble: Callable[..., Pebble], tmp_path: Path
) -> None:
    """The authority comes to one of them with its challenge, whoever has asked."""
    ports = free_port(), free_port()
    authority = start_pebble(proofs=ports[1])
    (tmp_path / "certificates").mkdir()
    with (tmp_path / "certificates" / "+lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # nobody asks before both are there
        for port in ports:
            serve(authority, port)
    for port in ports:
        until(lambda port=port: trusted(port, authority), seconds=60, what=str(port))  # type: ignore[misc]
    assert serial(ports[0], authority) == serial(ports[1], authority)
    time.sleep(4)  # each worker has looked again by now
    assert (authority.accounts, authority.issued) == (1, 1)


def test_killed_in_the_middle_of_an_order(
    serve: Serve, start_pebble: Callable[..., Pebble]
) -> None:
    port = free_port()
    authority = start_pebble(proofs=port)
    process = serve(authority, port)
    until(lambda: "POST /chalZ" in authority.log(), seconds=60, what="the challenge")
    process.kill()
    process.start()
    until(lambda: trusted(port, authority), seconds=90, what="the certificate")
    assert (authority.accounts, authority.issued) == (1, 1)
