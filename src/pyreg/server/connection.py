"""One client's connection: bytes between the socket and Hypercorn's protocols.

Hypercorn's own `TCPServer` reads through asyncio's streams in 64 KiB pieces, writes a response's
head and body separately, and makes and cancels a task per request to time out idle clients.
This class speaks to the transport directly: pieces are as large as the loop reads them and are
not copied, a small response is one write, and time is looked at by one timer per connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from typing import Any, cast

from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from pyreg.server import kernel
from pyreg.server.context import ServingContext
from pyreg.server.protocols import (
    H2CProtocolRequiredError,
    H2ProtocolAssumedError,
    Http1,
    Http2,
    Requests,
)
from pyreg.server.sendfile import FileSender
from pyreg.server.settings import ServerConfig

logger = logging.getLogger("pyreg.server")

READ_LIMIT = 64 * 1024
"""Bytes that were read and not yet taken by the protocol before the socket is left alone."""

JOIN_LIMIT = 64 * 1024
"""A body's first piece up to this size is copied behind the head, to be one write with it."""

LINGER = 5.0
"""Seconds for which a client that still sends after its answer is listened to. Closing at once
would reset the connection, and the reset can overtake the answer (RFC 9112, 9.6)."""

TIMER_FRACTION = 4
"""A stalled client is noticed within `1 + 1 / TIMER_FRACTION` of the time that it may take."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        app: The ASGI application.
        config: Timeouts and limits.
        context: The worker's.
        state: What the application left in its lifespan, for `scope["state"]`.
        connections: Where the connection keeps itself while it lasts.
        loop: The running event loop.
    """

    def __init__(
        self,
        app: Any,
        config: ServerConfig,
        context: ServingContext,
        state: dict[str, Any],
        connections: set[Connection],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._state = state
        self._connections = connections
        self._loop = loop
        self._requests = Requests(loop, self._is_lost, self.abort, self.send_file)
        self._sender: FileSender | None = None
        self._transport: asyncio.Transport
        self._protocol: Http1 | Http2
        self._task: asyncio.Task[None]
        # Reading.
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._wakeup: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._handling = True
        # Writing.
        self._head = b""
        self._writable = asyncio.Event()
        self._writable.set()
        # The end.
        self._eof = False
        self._closing = False
        self._lost = False
        # Time.
        self._busy = False
        self._since = loop.time()
        self._head_begun = False
        self._bytes = 0
        self._mark: tuple[int, int] = (0, 0)
        self._timer: asyncio.TimerHandle | None = None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve."""
        self._transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        ssl_object = transport.get_extra_info("ssl_object")
        self._ssl = ssl_object is not None
        alpn = ssl_object.selected_alpn_protocol() if ssl_object is not None else None
        self._requests.extensions = transport.get_extra_info("extensions", {})
        self._protocol = self._speak(Http2 if alpn == "h2" else Http1)
        self._channel = transport.get_extra_info("file_channel")
        through_kernel = not self._ssl and hasattr(os, "sendfile")
        self._requests.sends_files = alpn != "h2" and (through_kernel or self._channel is not None)
        if self._context.ending:
            self.announce_end()
        self._connections.add(self)
        self._task = self._loop.create_task(self._serve())
        self._task.add_done_callback(self._ended)
        if self._config.keep_alive_timeout:
            self._timer = self._loop.call_later(self._config.keep_alive_timeout, self._look_at_time)

    def data_received(self, data: bytes) -> None:
        """Keep what came until the protocol takes it; stop reading when that is too much."""
        if self._closing:
            return
        self._bytes += len(data)
        if not self._busy and not self._head_begun:
            self._head_begun = True
            self._since = self._loop.time()
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= READ_LIMIT and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The client sends no more. True keeps the other direction open, for the answer."""
        self._eof = True
        self._wake()
        return not self._closing and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client reads slower than the application writes."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application; after an orderly end what had come before is still handed on."""
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        if self._handling and not (self._eof and exc is None):
            self._task.cancel()
        self._wake()
        if self._task.done():
            self._connections.discard(self)

    # The worker's side.

    def announce_end(self) -> None:
        """Ask the client to use another connection from now on; nothing is cut."""
        if not self._lost and not self._closing:
            self._write(self._protocol.announce_end())

    def end_if_idle(self, seconds: float) -> None:
        """Close, if for so long there was no request, and none is on its way."""
        idle = not self._busy and not self._head_begun and not self._lost
        if idle and self._loop.time() - self._since >= seconds and not kernel.unread(self._socket):
            self._end(linger=False)

    def hang_up(self) -> None:
        """Take no more of what the client sends; see `Requests.hang_up`."""
        self._requests.hang_up()

    def abort(self) -> None:
        """Cut the connection and cancel what is under way."""
        self._closing = True
        self._transport.abort()
        self._requests.cancel()

    # The protocol's side.

    def _speak(self, protocol: type[Http1] | type[Http2]) -> Http1 | Http2:
        peer = self._transport.get_extra_info("peername")
        made = protocol(
            self._app,
            self._config,
            self._context,
            cast(Any, self._requests),  # Hypercorn never enters it
            ConnectionState(self._state),
            self._ssl,
            parse_socket_addr(self._socket.family, peer) if peer else None,
            parse_socket_addr(self._socket.family, self._transport.get_extra_info("sockname")),
            self.send,
        )
        if isinstance(made, Http2):
            made.write = self._write
        return made

    async def send(self, event: Event) -> None:
        """Take an event of the protocol; returns when there is room for another one."""
        if type(event) is RawData:
            data = event.data
            if self._head and len(data) <= JOIN_LIMIT:
                data, self._head = self._head + data, b""
            elif self._head:
                self._flush()
            elif data[:9] == b"HTTP/1.1 " and data[9:10] != b"1":
                # A final response's head goes out with the first piece of its body, or at the
                # end of this turn of the loop. A body that looks like a head loses nothing.
                self._head = data
                self._loop.call_soon(self._flush)
                return
            if data:
                self._write(data)
            if not self._writable.is_set():
                await self._writable.wait()
            elif len(data) > JOIN_LIMIT:
                await asyncio.sleep(0)  # a fast client must not keep the others waiting
        elif type(event) is Updated:
            self._busy = not event.idle
            self._since = self._loop.time()
            self._head_begun = False
        elif type(event) is Closed:
            self._end(linger=self._protocol.body_expected)

    async def send_file(self, file: int, offset: int, count: int) -> None:
        """Send a part of a file as a part of the response's body; returns when it is sent.

        Args:
            file: Its descriptor.
            offset: The first byte.
            count: How many.

        Raises:
            OSError: the client is gone, or the file is shorter than that.
        """
        cast(Http1, self._protocol).skip_body(count)
        self._flush()
        # Everything else that this connection sends goes through the transport's buffer.
        self._transport.set_write_buffer_limits(high=0)
        await self._writable.wait()
        self._transport.set_write_buffer_limits()
        while count:
            if self._closing or self._is_lost():
                raise ConnectionResetError("the client is gone")
            if self._sender is None:
                self._sender = FileSender(self._loop, self._socket.fileno(), self._channel)
            try:
                sent = await self._sender.send(file, offset, count)
            except ConnectionError:
                self._transport.abort()  # it may not have heard
                raise
            self._bytes += sent
            offset += sent
            count -= sent

    async def _serve(self) -> None:
        try:
            await self._protocol.initiate()
            while (data := await self._next_piece()) is not None:
                await self._handle(RawData(data))
            if self._eof and (self._protocol.body_expected or not self._transport.can_write_eof()):
                self._transport.close()  # as in most HTTP servers that means: it is gone
            elif self._eof:
                await self._requests.wait()
        except asyncio.CancelledError:
            if not self._lost:
                raise
        finally:
            self._handling = False
            await self._protocol.handle(Closed())
            await self._requests.wait()
            self._end(linger=False)

    async def _next_piece(self) -> bytes | None:
        while not self._pieces:
            if self._eof or self._closing:
                return None
            self._wakeup = self._loop.create_future()
            await self._wakeup
        if self._closing:
            return None
        data = self._pieces.popleft()
        self._waiting -= len(data)
        if self._reading_paused and not self._pieces and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def _handle(self, event: RawData) -> None:
        try:
            await self._protocol.handle(event)
        except H2ProtocolAssumedError as change:
            self._requests.sends_files = False
            self._protocol = self._speak(Http2)
            await self._protocol.initiate()
            await self._handle(RawData(change.data))
        except H2CProtocolRequiredError as change:
            self._requests.sends_files = False
            self._protocol = protocol = cast(Http2, self._speak(Http2))
            await protocol.initiate(change.headers, change.settings)
            if change.data:
                await self._handle(RawData(change.data))

    def _write(self, data: bytes) -> None:
        if self._closing or self._is_lost() or not data:
            return
        self._bytes += len(data)
        # asyncio copies the rest of a partial write out of bytes, but not out of a view.
        self._transport.write(memoryview(data) if len(data) > JOIN_LIMIT else data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _is_lost(self) -> bool:
        return self._lost or self._transport.is_closing()

    # The end.

    def _end(self, *, linger: bool) -> None:
        self._flush()
        if self._closing or self._lost:
            return
        self._closing = True
        self._pieces.clear()
        if linger and not self._eof and self._transport.can_write_eof():
            if self._reading_paused:
                self._transport.resume_reading()
            self._loop.call_later(LINGER, self._transport.abort)
            try:
                self._transport.write_eof()
            except OSError:  # reset by the client just now
                self._transport.abort()
        else:
            self._transport.close()
        self._wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._lost:
            self._connections.discard(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection failed", exc_info=error)
            self.abort()

    # Time.

    def _look_at_time(self) -> None:
        """Drop a client that moves no byte; never one that waits for the server."""
        now = self._loop.time()
        limit = wait = self._config.keep_alive_timeout
        if self._busy or self._closing:
            mark = (self._bytes, self._unsent())
            if mark != self._mark or not self._waits_for_client():
                self._mark = mark
                self._since = now
            wait /= TIMER_FRACTION
        else:
            wait -= now - self._since
        if now - self._since >= limit:
            logger.debug("a client was dropped after %s seconds without a byte", limit)
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(max(wait, 0.001), self._look_at_time)

    def _waits_for_client(self) -> bool:
        return (
            self._closing
            or not self._writable.is_set()
            or self._sends_blocked()
            or self._protocol.blocked
            or any(channel.starving for channel in self._requests.channels)
        )

    def _sends_blocked(self) -> bool:
        return self._sender is not None and self._sender.blocked

    def _unsent(self) -> int:
        """Bytes that the client has not taken yet, the kernel's buffer included."""
        if self._writable.is_set() and not self._closing and not self._sends_blocked():
            return 0
        buffered = self._transport.get_write_buffer_size()
        return buffered + kernel.unsent(self._socket)
