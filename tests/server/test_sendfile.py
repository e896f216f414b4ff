"""Content that the kernel sends: whole, in its place between other responses, and bounded."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.server.conftest import Server, Start

IDLE = 0.8
"""The server's `http.idletimeout` in seconds."""

SIZE = 40 * 1024 * 1024 + 12_345
"""More than a burst, more than the kernel's buffers, and no round number."""


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def sender(starter: Start, request: pytest.FixtureRequest) -> Server:
    return starter(
        {"http": {"idletimeout": f"{int(IDLE * 1000)}ms", "workers": 1}},
        env={"PYREG_TEST_LOOP": request.param},
    )


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("content") / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


def request(path: Path, start: int, stop: int, announced: int | None = None) -> str:
    return f"/part/{start}-{stop}-{announced or stop - start}{path}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("start", "stop"), [(0, SIZE), (0, 1), (SIZE - 1, SIZE), (4096, 70_000), (1, SIZE - 1)]
)
def test_a_part_of_a_file_arrives_whole(
    sender: Server, content: Path, start: int, stop: int
) -> None:
    response = sender.get(request(content, start, stop))
    assert digest(response.content) == digest(content.read_bytes()[start:stop])


def test_responses_around_a_file_keep_their_order(sender: Server, content: Path) -> None:
    expected = content.read_bytes()
    with httpx.Client(base_url=sender.url, trust_env=False, timeout=20) as client:
        for _ in range(3):
            assert client.get("/field/nothing").status_code == 200
            assert digest(client.get(request(content, 0, SIZE)).content) == digest(expected)
    line = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
    with sender.connect() as sock:
        sock.sendall(
            "".join(
                line.format(target) for target in ("/pid", request(content, 7, 7_000_007), "/pid")
            ).encode()
        )
        received = b""
        while received.count(b"HTTP/1.1 200") < 3 or not received.endswith(
            b"\r\n\r\n" + pid_of(received)
        ):
            piece = sock.recv(1 << 20)
            assert piece
            received += piece
    assert expected[7:7_000_007] in received


def pid_of(received: bytes) -> bytes:
    """The body of the first response, which is that of the last one, too."""
    return received.partition(b"\r\n\r\n")[2].partition(b"HTTP/1.1")[0]


def test_a_client_that_stops_reading_is_dropped(sender: Server, content: Path) -> None:
    before = sender.log.count("stopped sending")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", sender.port))
        sock.sendall(f"GET {request(content, 0, SIZE)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sender.wait_for("stopped sending", count=before + 1)


def test_a_client_that_reads_slowly_is_served(sender: Server, content: Path) -> None:
    received = hashlib.sha256()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", sender.port))
        sock.sendall(f"GET {request(content, 0, SIZE)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(4096)
        body = data.partition(b"\r\n\r\n")[2]
        received.update(body)
        count = len(body)
        for _ in range(10):  # twice the idle time in all, always with some bytes in between
            time.sleep(IDLE / 5)
            body = sock.recv(262_144)
            received.update(body)
            count += len(body)
        while count < SIZE:
            body = sock.recv(1 << 20)
            assert body, "cut"
            received.update(body)
            count += len(body)
    assert received.hexdigest() == digest(content.read_bytes())


def test_a_client_that_leaves_ends_the_sending(sender: Server, content: Path) -> None:
    before = sender.log.count("stopped sending")
    with sender.connect() as sock:
        sock.sendall(f"GET {request(content, 0, SIZE)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sock.recv(100_000)
    sender.wait_for("stopped sending", count=before + 1)
    assert sender.get("/pid").status_code == 200


def test_a_file_that_is_too_short_breaks_the_response_off(sender: Server, content: Path) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        sender.get(request(content, SIZE - 10, SIZE + 10))
    assert sender.get("/pid").status_code == 200
