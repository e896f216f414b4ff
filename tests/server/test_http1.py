"""HTTP/1.1 where the order of bytes matters."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypercorn.protocol.events import Request
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ConnectionState

from pyreg.server.access_log import HypercornLogger, access_logger
from pyreg.server.context import ServingContext
from pyreg.server.protocols import Requests
from pyreg.server.settings import ServerConfig
from tests.fixtures.wire import sha256
from tests.server.application import PIECE, answer
from tests.server.conftest import Server
from tests.servers.process import until
from tests.servers.registries import Registry


@pytest.fixture
def registry(start_registry: Callable[..., Registry]) -> Registry:
    """`pyreg serve`."""
    return start_registry()


@pytest.fixture
def connection(registry: Registry) -> Iterator[socket.socket]:
    """A connection to it."""
    host, _, port = registry.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        yield sock


def until_it_ends(sock: socket.socket) -> bytes:
    """All that the server sends until it closes."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_a_length_beside_chunks_ends_the_connection(connection: socket.socket) -> None:
    """RFC 9112, section 6.1: somebody in front may have read the request in another way."""
    path = f"/v2/a/blobs/uploads/?digest={sha256(b'abc')}"
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n".encode()
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        + b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    data = until_it_ends(connection)
    assert data.count(b"HTTP/1.1 ") == 1, data
    assert b"\r\nconnection: close\r\n" in data.lower()


def test_who_expects_to_continue_is_told_when_the_body_is_wanted(
    connection: socket.socket,
) -> None:
    """RFC 9110, section 10.1.1."""
    head = f"POST /v2/a/blobs/uploads/?digest={sha256(b'abc')} HTTP/1.1\r\nHost: a\r\n".encode()
    connection.sendall(head + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
    connection.sendall(b"abc")
    assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    # And the connection serves the next one.
    connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_is_refused_is_not_told_to_continue(connection: socket.socket) -> None:
    head = b"PATCH /v2/a/blobs/uploads/unknown HTTP/1.1\r\nHost: a\r\n"
    connection.sendall(head + b"Content-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
    data = until_it_ends(connection)
    assert data.startswith(b"HTTP/1.1 404 "), data
    assert data.count(b"HTTP/1.1 ") == 1, data


def test_who_is_refused_and_goes_was_answered(
    registry: Registry, connection: socket.socket
) -> None:
    """Nobody waits for a body that the client was not told to send."""
    head = b"PATCH /v2/a/blobs/uploads/unknown HTTP/1.1\r\nHost: a\r\n"
    connection.sendall(head + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
    data = b""
    while not data.endswith(b"}]}"):
        data += connection.recv(65536)
    connection.close()
    assert registry.process is not None
    process = registry.process
    until(lambda: "/uploads/unknown" in process.log(), seconds=5, what="the access log")
    [line] = [line for line in process.log().splitlines() if "/uploads/unknown" in line]
    assert json.loads(line)["http.response.status"] == 404


def test_who_does_not_wait_is_served_all_the_same(connection: socket.socket) -> None:
    head = f"POST /v2/a/blobs/uploads/?digest={sha256(b'abc')} HTTP/1.1\r\nHost: a\r\n".encode()
    connection.sendall(head + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
    data = connection.recv(65536)
    while b" 201 " not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (b"GET /field/x HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n\r\n"),
        (b"GET /work/0.3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"done"),
        (b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"\r\n\r\n3"),
        (b"PUT /leisure/0.3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"done"),
        (b"GET /big/20 HTTP/1.1\r\nHost: a\r\n\r\n", PIECE * 20),
        (b"GET /file/20 HTTP/1.1\r\nHost: a\r\n\r\n", PIECE * 20),
    ],
    ids=["at-once", "later", "with-a-body", "body-taken-later", "large", "file"],
)
def test_who_sends_no_more_after_a_request_is_answered(
    server: Server, request_: bytes, end: bytes
) -> None:
    """Half of the connection is closed; the other half still takes an answer."""
    with server.connect() as sock:
        sock.sendall(request_)
        sock.shutdown(socket.SHUT_WR)
        data = until_it_ends(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 20"), head
    assert (b"\r\n\r\n" + body).endswith(end)


def test_who_sends_no_more_after_several_requests_is_answered_all(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /work/0.1 HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        sock.shutdown(socket.SHUT_WR)
        assert until_it_ends(sock).count(b"HTTP/1.1 200 ") == 3


def test_who_sends_no_more_within_a_body_is_gone(server: Server) -> None:
    before = server.log.count("gone after 4")
    with server.connect() as sock:
        sock.sendall(b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabcd")
        sock.shutdown(socket.SHUT_WR)
        assert until_it_ends(sock) == b""
    server.wait_for("gone after 4", count=before + 1, seconds=5)


@pytest.mark.parametrize("kind", ["big", "file"])
def test_who_has_gone_before_the_answer_is_noticed(server: Server, kind: str) -> None:
    """To the server it is first one that sends no more; the reset comes with the first bytes."""
    before = server.log.count("stopped sending")
    with server.connect() as sock:
        sock.sendall(f"GET /{kind}/50 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    server.wait_for("stopped sending", count=before + 1, seconds=5)
    server.wait_for(f" 499 GET    /{kind}/50 ", seconds=5)
    assert f"the application failed: http /{kind}/50" not in server.log


@pytest.mark.anyio
async def test_an_answer_that_comes_too_late_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client has gone, and the application hears of it when it begins to answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 200, b"late")

    async def nowhere(*_: Any) -> None:
        pass

    requests = Requests(asyncio.get_running_loop(), lambda: True, lambda: None, nowhere)
    config, context, tasks = ServerConfig(), ServingContext(), cast(Any, requests)
    config.logger_class = HypercornLogger
    stream = HTTPStream(
        cast(Any, app), config, context, tasks, False, None, None, nowhere, stream_id=1
    )
    state = ConnectionState({})
    with caplog.at_level(logging.INFO, access_logger.name):
        await stream.handle(Request(1, [(b"host", b"a")], "1.1", "GET", b"/late", state))
        await requests.wait()
    [record] = [each for each in caplog.records if each.name == access_logger.name]
    assert record.fields["http.response.status"] == 499  # type: ignore[attr-defined]
