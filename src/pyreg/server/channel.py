"""The messages of one request on their way from the connection to the application."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

BODY_LIMIT = 128 * 1024
"""Bytes of a request's body that wait for the application before the connection waits too."""

Message = dict[str, Any]


class RequestChannel:
    """A queue of ASGI messages that is bounded in bytes, and that never holds up the end.

    A queue bounded in messages holds anything from nothing to megabytes, and it deadlocks an
    application that answers without having read the body: the message that says "closed" finds
    the queue full of a body that nobody wants any more. Here a full channel makes the sender
    wait, but `closed` is delivered at once and lets a waiting sender go.

    Attributes:
        complete: The whole body of the request was put in.
        taken: Called with a number of bytes when the application has taken so many. A sender
            with flow control of its own (HTTP/2) sets it, and is then never made to wait:
            waiting for one stream would hold up all streams of the connection.
        wanted: Called once, before the application waits for the first time.
    """

    __slots__ = (
        "_abandoned", "_closed", "_loop", "_messages", "_reader", "_size", "_writer",
        "complete", "taken", "wanted",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: deque[Message] = deque()
        self._size = 0
        self._closed: Message | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._abandoned = False
        self.complete = False
        self.taken: Callable[[int], None] | None = None
        self.wanted: Callable[[], Awaitable[None]] | None = None

    @property
    def starving(self) -> bool:
        """True while the application waits for a body that the client has not sent."""
        return self._reader is not None and not self.complete and self._closed is None

    async def put(self, message: Any) -> None:
        """Hand a message over; returns when there is room for another one."""
        kind = message["type"]
        if kind == "http.request" and self._closed is not None:
            if self.taken is not None:
                self.taken(len(message["body"]))
        elif kind == "http.request":
            self._messages.append(message)
            self._size += len(message["body"])
            self.complete = not message["more_body"]
            if self._abandoned:
                self._release()
        elif kind == "http.disconnect":
            self._closed = message
            _wake(self._writer)
        else:
            self.complete = True  # a websocket has no body to wait for
            self._messages.append(message)
        _wake(self._reader)
        if self._size > BODY_LIMIT and self._closed is None and self.taken is None:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    async def get(self) -> Any:
        """The next message; pieces of the body that came meanwhile arrive as one.

        After the connection has closed, what came before is still delivered; from then on every
        call answers `http.disconnect`.
        """
        while not self._messages:
            if self._closed is not None:
                return self._closed
            if self.wanted is not None and not self.complete:
                await self.wanted()
                self.wanted = None
                continue
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = self._messages.popleft()
        if message["type"] == "http.request":
            if self._messages:
                message = self._join(message)
            self._release()
            _wake(self._writer)
        return message

    def hang_up(self) -> None:
        """Tell the application that no more comes, as if the client had gone."""
        if self._closed is None:
            self._closed = {"type": "http.disconnect"}
        _wake(self._writer)
        _wake(self._reader)

    def abandon(self) -> None:
        """The application has ended: what is here, and what comes, counts as taken."""
        self._abandoned = True
        self._release()

    def _release(self) -> None:
        size, self._size = self._size, 0
        if size and self.taken is not None:
            self.taken(size)

    def _join(self, message: Message) -> Message:
        rest = list(self._messages)
        self._messages.clear()
        pieces = [message["body"], *(item["body"] for item in rest)]
        return {**rest[-1], "body": b"".join(pieces)}


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
