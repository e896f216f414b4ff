"""Requests and responses as the endpoints see them, straight over ASGI.

Quart's own request would copy every header and hold the whole body; a pull needs neither, and
a layer of 10 GB must not wait in memory until somebody reads it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any
from urllib.parse import parse_qsl

from pyreg.errors import (
    MANIFEST_TOO_LARGE,
    QUERY_INVALID,
    SIZE_INVALID,
    URI_TOO_LONG,
    ErrorCode,
    RegistryError,
)
from pyreg.hooks.spec import Receive, Scope

MAX_PARAMETERS = 100
"""Query parameters that a request may have."""


class ClientGone(Exception):
    """The client went away, or moved no byte for too long; nobody waits for an answer."""


class Body:
    """The body of a request, taken from the server only as fast as it is used.

    Args:
        receive: The ASGI callable.
        length: The Content-Length, if there is one.
        idle: Seconds after which a client that sends nothing counts as gone.

    Attributes:
        length: As given.
        cut: True once the client has gone before the end.
        complete: True once everything has been read.
        received: Bytes so far.
    """

    __slots__ = ("_idle", "_receive", "complete", "cut", "length", "received")

    def __init__(self, receive: Receive, length: int | None, idle: float | None) -> None:
        self._receive = receive
        self._idle = idle
        self.length = length
        self.cut = False
        self.complete = False
        self.received = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; ends early, with `cut` set, when the client goes away."""
        while not (self.complete or self.cut):
            try:
                async with asyncio.timeout(self._idle):
                    message = await self._receive()
            except TimeoutError:
                self.cut = True
                return
            if message["type"] != "http.request":
                self.cut = True
                return
            chunk = message.get("body", b"")
            self.complete = not message.get("more_body", False)
            if chunk:
                self.received += len(chunk)
                yield chunk

    async def pieces(self, size: Callable[[], int]) -> AsyncIterator[bytes]:
        """The body in pieces of at least `size()` bytes, the last one excepted."""
        parts: list[bytes] = []
        held = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            held += len(chunk)
            if held >= size():
                piece = b"".join(parts)
                parts.clear()
                held = 0
                yield piece
        if parts:
            yield b"".join(parts)

    async def whole(self, limit: int, error: ErrorCode = MANIFEST_TOO_LARGE) -> bytes:
        """The body in memory.

        Args:
            limit: Bytes it may have.
            error: For a larger one.

        Raises:
            RegistryError: it is larger; no more than the limit has been read.
            ClientGone: it did not arrive.
        """
        message = f"the body has more than {limit} bytes"
        if self.length is not None and self.length > limit:
            raise RegistryError(error, message)
        parts = []
        async for chunk in self.chunks():
            if self.received > limit:
                raise RegistryError(error, message)
            parts.append(chunk)
        self.check()
        return b"".join(parts)

    def check(self) -> None:
        """Whether everything that was announced has come.

        Raises:
            ClientGone: it has not, since the client went away.
            RegistryError: SIZE_INVALID.
        """
        if self.cut:
            raise ClientGone
        if self.length is not None and self.received != self.length:
            raise RegistryError(
                SIZE_INVALID, f"Content-Length is {self.length}, {self.received} bytes came"
            )

    async def drain(self, limit: int, seconds: float) -> None:
        """Read and forget what is left: at most `limit` bytes, for at most `seconds`."""
        if self.length is not None and self.length - self.received > limit:
            return
        seen = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for chunk in self.chunks():
                    seen += len(chunk)
                    if seen > limit:
                        return


class Request:
    """A request.

    Args:
        scope: The ASGI scope.
        receive: The ASGI callable.
        path: Decoded, without the prefix that the registry is mounted at.
        idle: See `Body`.

    Attributes:
        method: `GET`, `PUT`, ...
        path: As given.
        scope: As given.
        body: The body.
    """

    __slots__ = ("_id", "_parameters", "body", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, path: str, idle: float | None) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path = path
        self._id = ""
        self._parameters: list[tuple[str, str]] | None = None
        length = self.header(b"content-length")
        self.body = Body(receive, int(length) if length and length.isdecimal() else None, idle)

    @property
    def id(self) -> str:
        """Names the request in events and logs."""
        if not self._id:
            self._id = str(uuid.uuid4())
            # Servers log what an application leaves here.
            self.scope.setdefault("state", {})["request_id"] = self._id
        return self._id

    def header(self, name: bytes) -> str | None:
        """The first value of a header; the name in lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    def headers(self, name: bytes) -> list[str]:
        """All values of a header; the name in lower case."""
        return [str(value, "latin-1") for key, value in self.scope["headers"] if key == name]

    @property
    def has_body(self) -> bool:
        """Whether the request announces a body that is not empty."""
        if self.body.length is not None:
            return self.body.length > 0
        return self.header(b"transfer-encoding") is not None or (
            self.scope.get("http_version", "1.1")[0] in "23" and self.method not in _BODYLESS
        )

    def parameters(self, name: str) -> list[str]:
        """All values of a query parameter.

        Raises:
            RegistryError: QUERY_INVALID (400) for a query that cannot be read, 414 for one with
                more than `MAX_PARAMETERS`.
        """
        if self._parameters is None:
            query = self.scope.get("query_string") or b""
            if query.count(b"&") >= MAX_PARAMETERS:
                raise RegistryError(
                    URI_TOO_LONG, f"a request has at most {MAX_PARAMETERS} parameters"
                )
            try:
                self._parameters = parse_qsl(
                    query.decode("ascii"),
                    keep_blank_values=True,
                    errors="strict",
                )
            except ValueError:
                raise RegistryError(QUERY_INVALID) from None
        return [value for key, value in self._parameters if key == name]

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        if not self.scope.get("query_string"):
            return None
        values = self.parameters(name)
        return values[0] if values else None


_BODYLESS = frozenset({"GET", "HEAD"})

Headers = list[tuple[bytes, bytes]]
Stream = AbstractAsyncContextManager[AsyncIterable[bytes]]


class Response:
    """A response.

    Args:
        status: The HTTP status.
        headers: Header names in lower case.
        body: The whole body.
        stream: The body in pieces instead; it is entered before the first byte of the response
            is sent, so that it may still fail with an error of its own.
    """

    __slots__ = ("body", "headers", "status", "stream")

    def __init__(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        stream: Stream | None = None,
    ) -> None:
        self.status = status
        self.headers: Headers = list(headers)
        self.body = body
        self.stream = stream

    def start(self) -> dict[str, Any]:
        """The ASGI message that begins the response."""
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}


JSON = (b"content-type", b"application/json")


def json_response(body: bytes, *headers: tuple[bytes, bytes]) -> Response:
    """A 200 with a JSON document."""
    length = (b"content-length", str(len(body)).encode())
    return Response(200, [JSON, length, *headers], body)


def empty(status: int, *headers: tuple[bytes, bytes]) -> Response:
    """A response without a body."""
    if status == 204:
        return Response(status, headers)
    return Response(status, [(b"content-length", b"0"), *headers])
