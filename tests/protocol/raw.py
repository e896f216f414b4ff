"""HTTP/1.1 byte by byte, for what HTTP libraries refuse to send."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it came.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case, in the order in which they came.
        body: What followed the head.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class Raw:
    """One connection.

    Args:
        port: Of 127.0.0.1.
        timeout: Seconds that the server may take.
    """

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        self._port = port
        self._timeout = timeout
        self.socket = self._connect()

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), self._timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> RawAnswer:
        """One request on a connection that is opened anew, and its answer."""
        self.socket.close()
        self.socket = self._connect()
        self.send(head(method, path, headers) + body)
        return self.answer(method)

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has hung up does not matter here."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            return

    def answer(self, method: str = "GET") -> RawAnswer:
        """The next final answer.

        Raises:
            ConnectionError: the connection ended without one.
        """
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                data += self._receive()
            top, _, data = data.partition(b"\r\n\r\n")
            lines = top.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200:
                break
        headers = tuple(
            (key.lower(), value.strip())
            for key, _, value in (line.partition(":") for line in lines[1:])
        )
        fields = dict(headers)
        if method == "HEAD" or status in (204, 304):
            return RawAnswer(status, headers, b"")
        if fields.get("transfer-encoding") == "chunked":
            return RawAnswer(status, headers, self._chunked(data))
        if "content-length" in fields:
            length = int(fields["content-length"])
            while len(data) < length:
                data += self._receive()
            return RawAnswer(status, headers, data[:length])
        return RawAnswer(status, headers, data + self.rest())

    def rest(self) -> bytes:
        """Everything until the server closes."""
        data = b""
        while True:
            try:
                more = self._receive()
            except ConnectionError:
                return data
            data += more

    def _receive(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    def _chunked(self, data: bytes) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in data:
                data += self._receive()
            line, _, data = data.partition(b"\r\n")
            size = int(line, 16)
            while len(data) < size + 2:
                data += self._receive()
            if size == 0:
                return body
            body += data[:size]
            data = data[size + 2 :]


def head(method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: registry.test"]
    lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
