"""HTTP/1.1 straight over a socket: the client must never be what a figure measures."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ROOM = 1 << 20
"""Bytes that are received at once."""

PATIENCE = 300.0
"""Seconds in which a server must move on."""

_HEAD = 64 * 1024


class Unexpected(Exception):
    """A server did not answer as it must for the figure to mean anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def require(self, status: int) -> Answer:
        """This answer, if it has that status.

        Raises:
            Unexpected: it has another one.
        """
        if self.status != status:
            raise Unexpected(f"expected {status}, got {self.status}: {self.body[:300]!r}")
        return self

    @property
    def location(self) -> str:
        """The path and query of the Location header."""
        return re.sub(r"^https?://[^/]+", "", self.headers["location"])


class Wire:
    """One keep-alive connection.

    Args:
        address: `HOST:PORT`.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host = address
        self._sock = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._room = memoryview(bytearray(ROOM))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sock.close()

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request whose body is in memory; underscores in header names become dashes."""
        if body or method not in ("GET", "HEAD"):
            headers["Content_Length"] = str(len(body))
        self._sock.sendall(self._head(method, target, headers) + body)
        return self._answer(method)

    def send(self, method: str, target: str, length: int, pieces: Iterable[memoryview]) -> Answer:
        """Send a request whose body comes in pieces.

        Raises:
            OSError: the server closed the connection meanwhile.
        """
        headers = {"Content_Length": str(length), "Content_Type": "application/octet-stream"}
        self._sock.sendall(self._head(method, target, headers))
        for piece in pieces:
            self._sock.sendall(piece)
        return self._answer(method)

    def fetch(self, target: str, size: int, **headers: str) -> None:
        """GET something, and throw it away as it comes.

        Raises:
            Unexpected: there is no such thing, or it has another size.
        """
        self._sock.sendall(self._head("GET", target, headers))
        status, answered, rest = self._read_head()
        length = int(answered.get("content-length", "-1"))
        if status != 200 or length != size:
            raise Unexpected(f"GET {target}: {status}, {length} bytes instead of {size}")
        left = length - len(rest)
        while left:
            count = self._sock.recv_into(self._room, min(left, ROOM))
            if not count:
                raise Unexpected(f"GET {target} broke off {left} bytes before its end")
            left -= count

    def _head(self, method: str, target: str, headers: dict[str, str]) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _answer(self, method: str) -> Answer:
        status, headers, rest = self._read_head()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, self._chunks(rest))
        while len(rest) < int(headers.get("content-length", "0")):
            rest += self._more()
        return Answer(status, headers, rest)

    def _read_head(self) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            if len(data) > _HEAD:
                raise Unexpected("the head of a response does not end")
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split()[1]), {n.lower(): value.strip() for n, _, value in pairs}, rest

    def _chunks(self, data: bytes) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in data:
                data += self._more()
            size, _, data = data.partition(b"\r\n")
            length = int(size, 16)
            while len(data) < length + 2:
                data += self._more()
            if not length:
                return body
            body, data = body + data[:length], data[length + 2 :]

    def _more(self) -> bytes:
        data = self._sock.recv(_HEAD)
        if not data:
            raise Unexpected("the server closed the connection")
        return data
