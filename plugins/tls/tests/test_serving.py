"""The port: plain HTTP on it, the redirect beside it, and clients that never begin."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from plugins.tls.tests.conftest import Start, hears
from tests.fixtures.programs import require
from tests.servers.process import free_port, until
from tests.servers.registries import Registry

Trusting = Callable[..., ssl.SSLContext]


def curl(*args: str) -> str:
    """What curl says."""
    done = subprocess.run(
        [require("curl"), "--silent", "--show-error", *args], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def spoken(address: str, data: bytes) -> bytes:
    """What comes back for some bytes, until the server closes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(data)
        found = b""
        while piece := sock.recv(65536):
            found += piece
        return found


@pytest.mark.parametrize(
    ("options", "version"),
    [(("--http2",), "2"), (("--http1.1",), "1.1"), (("--no-alpn",), "1.1")],
    ids=str,
)
def test_versions_of_http(
    serve: Start, material: Path, options: tuple[str, ...], version: str
) -> None:
    registry = serve()
    ca = ("--cacert", str(material / "ca.pem"))
    said = curl(*ca, *options, "-w", " %{http_version}", f"https://{registry.address}/v2/")
    assert said == "{} " + version


def test_http2_can_be_turned_off(serve: Start, material: Path) -> None:
    registry = serve(config={"http": {"http2": {"disabled": True}}})
    ca = ("--cacert", str(material / "ca.pem"))
    said = curl(*ca, "--http2", "-w", " %{http_version}", f"https://{registry.address}/v2/")
    assert said == "{} 1.1"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_plain_http_is_sent_to_https(serve: Start, method: str) -> None:
    registry = serve()
    answer = httpx.request(method, f"http://{registry.address}/v2/a/b?n=1&x=%20", trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{registry.address}/v2/a/b?n=1&x=%20"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "request_", [
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"PUT /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"DELETE /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://y/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x y\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x/evil\r\n\r\n",
        b"GET /v2/ HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"NONSENSE\r\n\r\n",
    ],
)  # fmt: skip
def test_plain_http_gets_nothing_else(serve: Start, request_: bytes) -> None:
    registry = serve()
    answer = spoken(registry.address, request_)
    if answer.startswith(b"HTTP/1.1 308 "):
        assert b"\r\nlocation: https://" in answer
    else:
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 426 "))
    if b"application/json" in answer:
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]
        assert "speaks HTTPS" in error["message"]
    assert b"registry/2.0" not in answer


def test_the_redirect_address(serve: Start) -> None:
    redirect = f"127.0.0.1:{free_port()}"
    registry = serve({"redirect": redirect})
    answer = httpx.get(f"http://{redirect}/v2/?a=b", trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{registry.address}/v2/?a=b"
    assert spoken(redirect, b"\x16\x03\x01\x00\x05hello").startswith(b"HTTP/1.1 400 ")
    hears(registry, f"requests to http://{redirect} are sent to HTTPS")


def test_the_redirect_goes_to_the_address_that_clients_know(serve: Start) -> None:
    redirect = f"127.0.0.1:{free_port()}"
    serve({"redirect": redirect}, config={"http": {"host": "https://registry.example.com"}})
    answer = httpx.get(f"http://{redirect}/v2/", trust_env=False)
    assert answer.headers["location"] == "https://registry.example.com/v2/"


def test_a_redirect_address_that_is_taken(serve: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AssertionError) as caught:
        serve({"redirect": f"127.0.0.1:{taken.getsockname()[1]}"})
    assert "address already in use" in str(caught.value)


def test_a_reload_moves_the_redirect(serve: Start) -> None:
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    registry = serve({"redirect": first})
    assert registry.process is not None
    path = registry.process.directory / "pyreg.yml"
    path.write_text(path.read_text().replace(first, second))
    registry.process.popen.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    hears(registry, "the workers of the old configuration are done")
    assert httpx.get(f"http://{second}/v2/", trust_env=False).status_code == 308
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{first}/v2/", trust_env=False)


def test_hsts(serve: Start, trusting: Trusting) -> None:
    registry = serve({"hsts": {"maxage": "8760h", "includesubdomains": True, "preload": True}})
    url = f"https://{registry.address}"
    for path in ("/v2/", "/v2/nothing/manifests/latest", "/debug/health"):
        answer = httpx.get(url + path, verify=trusting(), trust_env=False)
        told = answer.headers["strict-transport-security"]
        assert told == "max-age=31536000; includeSubDomains; preload"
    plain = httpx.get(f"http://{registry.address}/v2/", trust_env=False)
    assert "strict-transport-security" not in plain.headers


def test_without_hsts(serve: Start, trusting: Trusting) -> None:
    url = f"https://{serve().address}/v2/"
    answer = httpx.get(url, verify=trusting(), trust_env=False)
    assert "strict-transport-security" not in answer.headers


def descriptors(registry: Registry) -> int:
    """Open files of the registry's only worker."""
    assert registry.process is not None
    pid = registry.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(list(Path(f"/proc/{children[-1]}/fd").iterdir()))


def test_clients_that_never_begin(serve: Start, trusting: Trusting) -> None:
    """They cost a bounded number of descriptors, and those who do begin are served all along."""
    registry = serve({"handshaketimeout": "5s"}, workers=1)
    url = f"https://{registry.address}/v2/"
    host, _, port = registry.address.rpartition(":")
    before = descriptors(registry)
    idle: list[socket.socket] = []
    with httpx.Client(verify=trusting(), trust_env=False, timeout=30) as client:
        assert client.get(url).status_code == 200
        for number in range(3000):
            sock = socket.create_connection((host, int(port)), timeout=10)
            # Some say nothing, some begin a hello, and some begin a request.
            sock.sendall((b"", b"\x16\x03\x01\x02\x00\x01", b"GET /")[number % 3])
            idle.append(sock)
            if number % 500 == 0:
                assert client.get(url).status_code == 200
        # A known client, and new ones.
        assert client.get(url).status_code == 200
        for _ in range(5):
            answer = httpx.get(url, verify=trusting(), trust_env=False, timeout=30)
            assert answer.status_code == 200
        assert descriptors(registry) - before <= 2 * 1024 + 64
        until(
            lambda: descriptors(registry) - before <= 2,
            seconds=60,
            what="all of them to be dropped",
        )
    for sock in idle:
        sock.close()


def test_a_client_in_the_middle_of_a_handshake_is_dropped(serve: Start) -> None:
    registry = serve({"handshaketimeout": "1s"})
    assert spoken(registry.address, b"\x16\x03\x01\x02\x00\x01\x00") == b""


def test_a_handshake_does_not_keep_a_stop_waiting_for_long(serve: Start) -> None:
    registry = serve({"handshaketimeout": "2s"})
    host, _, port = registry.address.rpartition(":")
    with socket.create_connection((host, int(port))):
        registry.stop()


def test_systemd_hands_both_sockets_over(
    pair: dict[str, str], short_dir: Path, trusting: Trusting
) -> None:
    """The one that is called `redirect` redirects."""
    config = {
        "version": "0.1",
        "storage": {"inmemory": {}},
        "log": {"formatter": "text"},
        "http": {"tls": pair},
    }
    path = short_dir / "config.yml"
    path.write_text(json.dumps(config))
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    https, http = (sock.getsockname()[1] for sock in sockets)
    program = (
        "import os, sys; "
        f"os.dup2({sockets[0].fileno()}, 113); os.dup2({sockets[1].fileno()}, 114); "
        "os.dup2(113, 3); os.dup2(114, 4); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', "
        "LISTEN_FDNAMES='pyreg:redirect'); "
        f"os.execv(sys.executable, [sys.executable, '-m', 'pyreg.cli', 'serve', {str(path)!r}])"
    )
    with (short_dir / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            pass_fds=[sock.fileno() for sock in sockets],
            stdout=log,
            stderr=log,
        )
    for sock in sockets:
        sock.close()
    try:
        log_path = short_dir / "log"
        until(lambda: "serving on" in log_path.read_text(), seconds=30, what="the server")
        answer = httpx.get(f"https://127.0.0.1:{https}/v2/", verify=trusting(), trust_env=False)
        assert answer.status_code == 200
        answer = httpx.get(f"http://127.0.0.1:{http}/v2/", trust_env=False)
        assert answer.headers["location"] == f"https://127.0.0.1:{https}/v2/"
    finally:
        process.terminate()
        assert process.wait(20) == 0
