"""HTTP/1.1 where the order of bytes matters."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.wire import sha256
from tests.servers.registries import Registry


@pytest.fixture
def connection(start_registry: Callable[..., Registry]) -> Iterator[socket.socket]:
    """A connection to `pyreg serve`."""
    host, _, port = start_registry().address.partition(":")
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


def test_who_does_not_wait_is_served_all_the_same(connection: socket.socket) -> None:
    head = f"POST /v2/a/blobs/uploads/?digest={sha256(b'abc')} HTTP/1.1\r\nHost: a\r\n".encode()
    connection.sendall(head + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
    data = connection.recv(65536)
    while b" 201 " not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
