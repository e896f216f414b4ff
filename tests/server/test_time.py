"""Clients that stall, and servers that take their time."""

from __future__ import annotations

import socket
import time

import pytest

from tests.server.application import PIECE
from tests.server.conftest import Server, Start

IDLE = 0.8
"""The servers' `http.idletimeout`; a stall may be noticed a quarter later, and slow machines
get as much again."""

LATE = 3 * IDLE


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def impatient(starter: Start, request: pytest.FixtureRequest) -> Server:
    return starter(
        {"http": {"idletimeout": f"{int(IDLE * 1000)}ms", "workers": 1, "h2c": {"enabled": True}}},
        env={"PYREG_TEST_LOOP": request.param},
    )


def seconds_until_closed(sock: socket.socket) -> float:
    began = time.monotonic()
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("first", [b"", b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_an_idle_connection_is_closed(impatient: Server, first: bytes) -> None:
    with impatient.connect() as sock:
        sock.sendall(first)
        assert IDLE * 0.9 <= seconds_until_closed(sock) < LATE


def test_a_connection_that_is_used_stays(impatient: Server) -> None:
    with impatient.connect() as sock:
        for _ in range(5):
            sock.sendall(b"GET /field/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(IDLE / 2)


def test_a_head_that_trickles_is_not_waited_for(impatient: Server) -> None:
    with impatient.connect() as sock:
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT012
            for byte in b"GET /pid HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200:
                sock.sendall(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < LATE


@pytest.mark.parametrize("sent", [b"", b"12345"])
def test_an_upload_that_stalls_is_dropped(impatient: Server, sent: bytes) -> None:
    before = impatient.log.count(f"gone after {len(sent)}")
    with impatient.connect() as sock:
        sock.sendall(b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" + sent)
        assert IDLE * 0.9 <= seconds_until_closed(sock) < LATE
    impatient.wait_for(f"gone after {len(sent)}", count=before + 1)


def test_an_upload_that_trickles_goes_on(impatient: Server) -> None:
    with impatient.connect() as sock:
        sock.sendall(b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(IDLE / 3)
            sock.sendall(b"x")
        assert sock.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("path", ["/work/2", "/leisure/2"])
def test_a_server_that_takes_its_time_is_no_idle_client(impatient: Server, path: str) -> None:
    with impatient.connect() as sock:
        body = bytes(100_000)
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 20")


@pytest.mark.parametrize("kind", ["big", "file"])
def test_a_client_that_takes_no_byte_of_its_answer_is_dropped(impatient: Server, kind: str) -> None:
    before = impatient.log.count("stopped sending")
    with impatient.connect() as sock:
        sock.sendall(f"GET /{kind}/50 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        impatient.wait_for("stopped sending", count=before + 1, seconds=2 * LATE)


@pytest.mark.parametrize("kind", ["big", "file"])
def test_a_client_that_reads_slowly_gets_all(impatient: Server, kind: str) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.connect(("127.0.0.1", impatient.port))
        sock.sendall(f"GET /{kind}/8 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = 0
        for _ in range(30):  # far fewer bytes than the kernel holds back before it asks for more
            received += len(sock.recv(20_000))
            time.sleep(IDLE / 10)
        while received < 8 * len(PIECE):
            piece = sock.recv(1 << 20)
            assert piece, f"cut after {received} bytes"
            received += len(piece)


def test_a_stalled_upload_over_http2_is_dropped(impatient: Server) -> None:
    import h2.config
    import h2.connection

    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    headers = [(":method", "PUT"), (":path", "/count"), (":scheme", "http"), (":authority", "x")]
    connection.send_headers(1, headers)
    connection.send_data(1, b"123")
    before = impatient.log.count("gone after 3")
    with impatient.connect() as sock:
        sock.sendall(connection.data_to_send())
        assert seconds_until_closed(sock) < LATE
    impatient.wait_for("gone after 3", count=before + 1)
