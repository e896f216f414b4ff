"""What clients of one server see, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.server.application import PIECE
from tests.server.conftest import Server, Start
from tests.server.http2 import Exchange, exchange

MIB = 1024 * 1024


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def curl(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    return subprocess.run(
        [program, "-sS", "--max-time", "20", *arguments], input=stdin, capture_output=True
    )


def test_a_small_response_is_one_packet(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
        data = sock.recv(65536)
    head, body = data.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"\r\ndate: " in head
    assert b"\r\nserver:" not in head
    assert body.isdigit()


def test_the_head_does_not_wait_for_a_late_body(server: Server) -> None:
    with server.connect() as sock:
        began = time.monotonic()
        sock.sendall(b"GET /late/0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 0.4
        read_until(sock, b"0\r\n\r\n")


def test_a_connection_is_used_again(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert len({client.get("/pid").text for _ in range(20)}) == 1


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    requests = [b"GET /work/0.2", b"PUT /count", b"GET /field/nothing", b"GET /big/1"]
    bodies = [b"", b"hello", b"", b""]
    with server.connect() as sock:
        sock.sendall(
            b"".join(
                request + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                for request, body in zip(requests, bodies, strict=True)
            )
            + b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        data = read_all(sock)
    statuses = re.findall(rb"HTTP/1.1 (\d+)", data)
    assert statuses == [b"200", b"201", b"200", b"200", b"200"]
    assert data.index(b"done") < data.index(b"\r\n\r\n5") < data.index(PIECE)


def test_expect_100_continue(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(
            b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        sock.sendall(b"hello")
        assert read_until(sock, b"5").startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_and_downloads_are_whole(server: Server, chunked: bool) -> None:
    content: Iterator[bytes] | bytes = (PIECE for _ in range(20)) if chunked else PIECE * 20
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.put("/count", content=content).text == str(20 * MIB)
        assert client.get("/big/20").content == PIECE * 20


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_before_the_end_of_the_body_arrives(server: Server, chunked: bool) -> None:
    """The client goes on sending for a while; it must not be reset before it reads."""
    how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 8388608"
    piece = b"10000\r\n" + bytes(65536) + b"\r\n" if chunked else bytes(65536)
    for _ in range(5):
        with server.connect() as sock:
            sock.sendall(b"PUT /refuse HTTP/1.1\r\nHost: x\r\n" + how + b"\r\n\r\n")
            for _ in range(60):
                sock.sendall(piece)
            data = read_all(sock)
        assert data.startswith(b"HTTP/1.1 413")
        assert data.endswith(b"too large")


def test_a_client_that_goes_away_is_noticed(server: Server) -> None:
    before = server.log.count("gone after 3")
    with server.connect() as sock:
        sock.sendall(b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    server.wait_for("gone after 3", count=before + 1, seconds=5)
    server.wait_for(" 499 PUT    /count ", seconds=5)


def test_files_are_sent_whole(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for _ in range(3):
            assert client.get("/file/20").content == PIECE * 20
            assert client.get("/pid").status_code == 200


@pytest.mark.parametrize("kind", ["big", "file"])
def test_a_reset_is_noticed_while_sending(server: Server, kind: str) -> None:
    before = server.log.count("stopped sending")
    sock = server.connect()
    sock.sendall(f"GET /{kind}/100 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    sock.recv(65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    server.wait_for("stopped sending", count=before + 1, seconds=5)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
        (b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (
            b"PUT /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"400",
        ),
    ],
)
def test_what_is_not_http_is_refused(server: Server, request_: bytes, status: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(request_)
        assert read_all(sock).split()[1] == status


def test_a_malformed_websocket_handshake_ends_the_connection(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(
            b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")


def test_a_failing_application_is_a_500_with_a_traceback_that_forges_no_line(
    server: Server,
) -> None:
    assert server.get("/fail").status_code == 500
    server.wait_for("RuntimeError: a bug")
    assert "\n    RuntimeError: a bug\n    with a second line" in server.log


def test_workers_share_the_connections(server: Server) -> None:
    clients = [httpx.Client(base_url=server.url, trust_env=False) for _ in range(32)]
    try:
        with ThreadPoolExecutor(32) as pool:
            count = Counter(pool.map(lambda client: client.get("/pid").text, clients))
    finally:
        for client in clients:
            client.close()
    assert len(count) == 2
    assert min(count.values()) >= 8


def test_clear_text_http2(server: Server) -> None:
    upgraded = curl("--http2", "-w", " %{http_version}", f"{server.url}/pid")
    assert upgraded.stdout.endswith(b" 2"), upgraded
    known = curl(
        "--http2-prior-knowledge", "-w", " %{http_version}", "-T", "-", f"{server.url}/count",
        stdin=PIECE * 20,
    )  # fmt: skip
    assert known.stdout == b"%d 2" % (20 * MIB), known
    assert curl("--http2-prior-knowledge", f"{server.url}/big/20").stdout == PIECE * 20


def test_many_streams_of_one_http2_connection(server: Server) -> None:
    """Downloads that need the window, and uploads that are taken, or not, or slowly."""
    down = [Exchange("GET", "/big/3") for _ in range(6)]
    up = [Exchange("PUT", "/count", PIECE * 3) for _ in range(6)]
    refused = [Exchange("PUT", "/refuse", PIECE * 3) for _ in range(6)]
    slow = [Exchange("PUT", "/leisure/0.05", PIECE * 2)]
    mixed = [each for group in zip(down, refused, up, strict=True) for each in group]
    with server.connect() as sock:
        exchange(sock, *slow, *mixed)
    assert all(each.received == PIECE * 3 for each in down)
    assert {bytes(each.received) for each in up} == {b"%d" % (3 * MIB)}
    assert {each.status for each in refused} == {413}
    assert slow[0].status == 201


def test_without_h2c_only_http1_is_spoken(start: Start) -> None:
    server = start()
    assert curl("--http2", "-w", " %{http_version}", f"{server.url}/pid").stdout.endswith(b" 1.1")
    assert curl("--http2-prior-knowledge", f"{server.url}/pid").returncode != 0


def test_tls_of_a_plugin(start: Start, certificate: dict[str, str]) -> None:
    server = start({"log": {"fields": certificate}})
    url = f"https://127.0.0.1:{server.port}"
    assert f"serving on {url}" in server.log
    context = ssl.create_default_context(cafile=certificate["certificate"])
    for http2 in (False, True):
        with httpx.Client(http2=http2, verify=context, base_url=url, trust_env=False) as client:
            response = client.put("/count", content=PIECE * 5)
            assert response.text == str(5 * MIB)
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert client.get("/big/5").content == PIECE * 5
            assert client.put("/refuse", content=PIECE).status_code == 413
    with server.connect() as sock:  # not TLS: dropped, and nothing else happens
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in read_all(sock)
    assert server.stop() < 10
    assert "Traceback" not in server.log


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


def test_uploads_that_are_taken_slowly_do_not_fill_the_memory(start: Start) -> None:
    server = start({"http": {"workers": 1}})
    (pid,) = server.pids(1)
    before = resident(pid)
    socks = [server.connect() for _ in range(64)]
    for sock in socks:
        sock.sendall(b"PUT /leisure/0.2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
        sock.setblocking(False)
    sent = 0
    until_time = time.monotonic() + 2
    while time.monotonic() < until_time:
        for sock in socks:
            try:
                sent += sock.send(PIECE)
            except BlockingIOError:
                time.sleep(0.0005)
    grown = resident(pid) - before
    for sock in socks:
        sock.close()
    assert sent > 64 * MIB, "the clients did not send enough for the test to mean anything"
    assert grown < 80 * MIB, f"{grown / MIB:.0f} MiB for 64 uploads"


def test_a_head_that_is_too_long_is_refused_however_it_arrives(server: Server) -> None:
    """In two halves, neither of which is too long by itself."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n"
    with server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head[:50_000])
        time.sleep(0.3)
        sock.sendall(head[50_000:])
        assert read_all(sock).split()[1] == b"431"
