"""Much data under TLS, in both directions, by clients that are in no hurry."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from plugins.tls.tests.conftest import Start, hears
from tests.fixtures.programs import require
from tests.servers.process import until
from tests.servers.registries import Registry

MIB = 1 << 20

Trusting = Callable[..., ssl.SSLContext]


@pytest.fixture(params=["uvloop", "asyncio"])
def registry(serve: Start, request: pytest.FixtureRequest) -> Registry:
    """A registry with one worker, on each of the event loops."""
    hidden = {} if request.param == "uvloop" else {"PYTHONPATH": str(_without_uvloop(request))}
    return serve(workers=1, env=hidden)


def _without_uvloop(request: pytest.FixtureRequest) -> Path:
    """A directory whose module `uvloop` cannot be imported."""
    directory: Path = request.getfixturevalue("tmp_path")
    (directory / "uvloop.py").write_text("raise ImportError\n")
    return directory


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(24 * MIB + 4321)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def connect(registry: Registry, context: ssl.SSLContext, window: int = 0) -> ssl.SSLSocket:
    """A client; with a small receive buffer, if told."""
    sock = socket.socket()
    if window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.settimeout(60)
    host, _, port = registry.address.rpartition(":")
    sock.connect((host, int(port)))
    return context.wrap_socket(sock, server_hostname=host)


def push(registry: Registry, context: ssl.SSLContext, data: bytes) -> str:
    """Push a blob in one PATCH. Returns its path."""
    digest = digest_of(data)
    with httpx.Client(verify=context, trust_env=False, timeout=60) as client:
        answer = client.post(f"https://{registry.address}/v2/transfers/blobs/uploads/")
        location = answer.headers["location"]
        answer = client.patch(location, content=data)
        assert answer.status_code == 202, answer.text
        answer = client.put(answer.headers["location"], params={"digest": digest})
        assert answer.status_code == 201, answer.text
    return f"/v2/transfers/blobs/{digest}"


def receive(sock: ssl.SSLSocket, pause: Callable[[], None] = lambda: None) -> bytes:
    """The body of a response."""
    found = bytearray()
    while b"\r\n\r\n" not in found:
        found += sock.recv(65536)
    head, _, body = bytes(found).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    [length] = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    found = bytearray(body)
    while len(found) < length:
        pause()
        piece = sock.recv(65536)
        assert piece, f"the body broke off after {len(found)} of {length} bytes"
        found += piece
    return bytes(found)


def test_there_and_back(registry: Registry, trusting: Trusting, data: bytes) -> None:
    path = push(registry, trusting(), data)
    with connect(registry, trusting()) as sock:
        for _ in range(2):  # the second request comes over the same connection
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert receive(sock) == data
        # Requests that are sent together are answered one after the other.
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 2)
        assert receive(sock) == data
        assert receive(sock) == data


def test_parts(registry: Registry, trusting: Trusting, data: bytes) -> None:
    path = push(registry, trusting(), data)
    with httpx.Client(verify=trusting(), trust_env=False, timeout=60) as client:
        for first, last in ((0, 0), (1, 600_000), (524_287, 3 * MIB + 7), (MIB, len(data) - 1)):
            answer = client.get(
                f"https://{registry.address}{path}", headers={"range": f"bytes={first}-{last}"}
            )
            assert answer.status_code == 206
            assert answer.content == data[first : last + 1]


def test_a_client_that_takes_it_slowly(registry: Registry, trusting: Trusting, data: bytes) -> None:
    """OpenSSL has to be given again what the client did not take, and is not sent twice."""
    path = push(registry, trusting(), data)
    pauses = iter(range(10**9))

    def pause() -> None:
        if next(pauses) % 64 == 0:
            threading.Event().wait(0.02)

    with connect(registry, trusting(), window=16384) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert receive(sock, pause) == data


def test_a_client_that_stands_still_is_dropped(
    serve: Start, trusting: Trusting, data: bytes
) -> None:
    """And one that moves, however slowly, is not."""
    registry = serve(workers=1, config={"http": {"idletimeout": "1s"}})
    path = push(registry, trusting(), data)

    def pause() -> None:
        threading.Event().wait(0.3)

    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with (
        connect(registry, trusting(), window=16384) as still,
        connect(registry, trusting(), window=16384) as slow,
    ):
        still.sendall(request)
        slow.sendall(request)
        assert slow.recv(1000)
        for _ in range(15):
            pause()
            assert slow.recv(65536)
        with pytest.raises(OSError):  # noqa: PT012 - whatever was in the buffers comes first
            while still.recv(65536):
                pass
            raise ConnectionResetError("the end came in order")


def test_clients_that_leave_in_the_middle(
    registry: Registry, trusting: Trusting, data: bytes
) -> None:
    path = push(registry, trusting(), data)
    for number in range(20):
        sock = connect(registry, trusting(), window=16384)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sock.recv(1 + number * 10_000)
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    assert registry.process is not None
    pid = registry.process.pid

    def files() -> list[str]:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = Path(f"/proc/{children[-1]}/fd").iterdir()
        return [target for each in found if "blobs" in (target := _target(each))]

    until(lambda: not files(), seconds=30, what="every file to be closed")
    with connect(registry, trusting()) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert receive(sock) == data


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def test_an_early_answer_arrives(registry: Registry, trusting: Trusting) -> None:
    """The client is still sending when it is refused, and must see why."""
    with connect(registry, trusting()) as sock:
        sock.sendall(
            b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"
            b"Content-Length: 100000000\r\n\r\n"
        )
        try:
            for _ in range(20):
                sock.sendall(b"x" * MIB)
        except OSError:
            pass  # it stopped listening; what it said before has come all the same
        assert sock.recv(12) == b"HTTP/1.1 413"


def test_the_end_is_announced(registry: Registry, trusting: Trusting) -> None:
    """With a `close_notify`, so that nobody can cut an answer short unnoticed."""
    with connect(registry, trusting()) as sock:
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = b""
        while piece := sock.recv(65536):  # raises at an end without one
            found += piece
    assert found.startswith(b"HTTP/1.1 200")


def test_http2(registry: Registry, trusting: Trusting, data: bytes, material: Path) -> None:
    path = push(registry, trusting(), data)
    program = require("curl")
    url = f"https://{registry.address}{path}"
    argv = [program, "-sS", "--http2", "--cacert", str(material / "ca.pem"), "--parallel"]
    paths = [material / f"out{number}" for number in range(4)]
    for each in paths:
        argv += ["-o", str(each), url]
    subprocess.run(argv, check=True, timeout=120)
    for each in paths:
        assert each.read_bytes() == data
        each.unlink()
    upload = subprocess.run(
        [program, "-sS", "--http2", "--cacert", str(material / "ca.pem"), "-X", "POST",
         "--data-binary", "@-", "-H", "content-type: application/octet-stream",
         "-w", "%{http_code}",
         f"https://{registry.address}/v2/http2/blobs/uploads/?digest={digest_of(data)}"],
        input=data, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert upload.stdout == b"201"


def test_a_stop_lets_a_pull_finish(registry: Registry, trusting: Trusting, data: bytes) -> None:
    path = push(registry, trusting(), data)
    with connect(registry, trusting(), window=16384) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        first = sock.recv(
            1000,
        )
        stopper = threading.Thread(target=registry.stop)
        stopper.start()
        hears(registry, "stopping")
        found = bytearray(first)
        while piece := sock.recv(65536):
            found += piece
        stopper.join()
    assert bytes(found).endswith(data[-1000:])
    assert len(found) > len(data)


@pytest.mark.anyio
async def test_many_pulls_at_once(registry: Registry, trusting: Trusting, data: bytes) -> None:
    path = push(registry, trusting(), data[: 4 * MIB])

    async def pull(client: httpx.AsyncClient) -> bool:
        answer = await client.get(f"https://{registry.address}{path}")
        return answer.content == data[: 4 * MIB]

    limits = httpx.Limits(max_connections=32)
    async with httpx.AsyncClient(
        verify=trusting(), trust_env=False, timeout=60, limits=limits
    ) as client:
        assert all(await asyncio.gather(*(pull(client) for _ in range(64))))
