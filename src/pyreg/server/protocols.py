"""Hypercorn's HTTP/1.1 and HTTP/2, with what a registry needs on top."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hyperframe.frame import GoAwayFrame

from pyreg.server import sendfile
from pyreg.server.channel import RequestChannel
from pyreg.server.settings import ServerConfig

logger = logging.getLogger("pyreg.server")

STREAM_WINDOW = 1024 * 1024
"""Bytes of one HTTP/2 stream that a client may send ahead; 64 KiB would cap every upload at
64 KiB per round trip."""

CONNECTION_WINDOW = 2 * STREAM_WINDOW
"""The same for all streams of a connection: the most that one client can make us remember."""

FRAME_SIZE = 256 * 1024
"""The largest frame that a client may send; Go's client uses up to 512 KiB of what it is given."""

LAST_STREAM = 2**31 - 1


class Requests:
    """The tasks of one connection: one for each request, and those of the protocol itself.

    Args:
        loop: The event loop of the connection.
        is_lost: Says whether the connection is gone, so that an application that goes on
            sending gets the `OSError` of the ASGI specification ("Disconnected Client").
        on_failure: Called when a task of the protocol itself fails.
        send_file: Sends a part of a file (its descriptor, the first byte, how many) as a part
            of the response's body.

    Attributes:
        channels: Of the requests under way.
        newest: The channel of the request that was started last.
        sends_files: Whether applications are offered to send files.
        extensions: Added to those of each request's scope.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_lost: Callable[[], bool],
        on_failure: Callable[[], None],
        send_file: Callable[[int, int, int], Awaitable[None]],
    ) -> None:
        self._loop = loop
        self._is_lost = is_lost
        self._on_failure = on_failure
        self._send_file = send_file
        self.sends_files = False
        self.extensions: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.channels: set[RequestChannel] = set()
        self.newest: RequestChannel | None = None

    async def spawn_app(
        self, app: Any, config: Any, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the application on one request; Hypercorn's streams call this.

        Returns:
            Where the connection puts the messages of the request.
        """
        channel = RequestChannel(self._loop)
        self.channels.add(channel)
        self.newest = channel
        self.spawn(self._run, app, scope, channel, send)
        return channel.put

    def spawn(self, func: Callable[..., Any], *args: Any) -> None:
        """Start a task that belongs to the connection."""
        task = self._loop.create_task(func(*args))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def hang_up(self) -> None:
        """Let every application that still waits for a body keep what has come, and end."""
        for channel in self.channels:
            if not channel.complete:
                channel.hang_up()

    def cancel(self) -> None:
        """Cancel all that is under way."""
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Return when all tasks have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(
        self,
        app: Any,
        scope: Any,
        channel: RequestChannel,
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        is_lost = self._is_lost

        async def send_while_connected(message: Any) -> None:
            if is_lost():
                raise ConnectionResetError("the client is gone")
            if message["type"] == sendfile.EXTENSION:
                await self._send_file(message["file"], message["offset"], message["count"])
                return
            await send(message)

        scope["extensions"] = {**scope.get("extensions", {}), **self.extensions}
        if self.sends_files and scope["type"] == "http":
            sendfile.offer(scope)
        try:
            await app(scope, channel.get, send_while_connected)
        except Exception as error:
            if not (isinstance(error, OSError) and is_lost()):
                logger.exception("the application failed: %s %s", scope["type"], scope["path"])
        finally:
            self.channels.discard(channel)
            scope["client_gone"] = is_lost()  # Hypercorn would log a failure of the application
            await send(None)
            channel.abandon()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection failed", exc_info=error)
            self._on_failure()


class Http1(H11Protocol):
    """HTTP/1.1. Raises `H2ProtocolAssumedError` or `H2CProtocolRequiredError` to go over to
    HTTP/2 where the configuration allows it in clear text."""

    config: ServerConfig

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connection = _Expecting(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )

    async def handle(self, event: Event) -> None:
        """Take what came; the limit of a head holds in however many pieces it came."""
        if not isinstance(event, RawData) or self.stream is not None:
            await super().handle(event)
            return
        # h11 looks at the size only of a head that is not complete.
        limit = self.config.h11_max_incomplete_size + 1 - len(self.connection.trailing_data[0])
        if len(event.data) <= limit:
            await super().handle(event)
            return
        rest = event.data[limit:]
        try:
            await super().handle(RawData(event.data[:limit]))
        except (H2ProtocolAssumedError, H2CProtocolRequiredError) as change:
            change.data += rest
            raise
        await super().handle(RawData(rest))

    def skip_body(self, count: int) -> None:
        """Account for bytes of the body that do not pass through here."""
        if not isinstance(self.connection, h11.Connection):
            raise TypeError("a websocket has no body")
        pieces = self.connection.send_with_data_passthrough(h11.Data(data=_Bytes(count)))
        if not pieces or len(pieces) != 1:
            raise RuntimeError("a file can be sent only with a Content-Length")

    async def _create_stream(self, request: h11.Request) -> None:
        names = {name.lower() for name, _ in request.headers.raw_items()}
        if b"content-length" in names and b"transfer-encoding" in names:
            # Whoever is in front may have read the request in another way (RFC 9112, 6.1).
            self.announce_end()
        requests = cast(Requests, self.task_group)
        requests.newest = None
        await super()._create_stream(request)
        expects = isinstance(self.connection, _Expecting) and self.connection.expects
        if requests.newest is not None and expects:
            requests.newest.wanted = partial(self._let_continue, requests.newest)
        if isinstance(self.stream, WSStream) and self.stream.closed:
            # Hypercorn has refused a malformed handshake, and would keep the connection for ever.
            await self.send(Closed())

    async def _let_continue(self, channel: RequestChannel) -> None:
        """Tell a client that waits for it to send its body (RFC 9110, section 10.1.1)."""
        if isinstance(self.connection, _Expecting) and self.connection.expects:
            headers = self.config.response_headers("h11")
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=headers))
        elif self.connection.our_state is not h11.SEND_RESPONSE:
            channel.hang_up()  # it was answered instead, and will not send it

    async def _check_protocol(self, event: h11.Request) -> None:
        if self.config.h2c or self.ssl:
            await super()._check_protocol(event)

    @property
    def body_expected(self) -> bool:
        """True while the client may still be sending, so that a plain close would reset it."""
        return self.connection.their_state not in (h11.IDLE, h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    @property
    def blocked(self) -> bool:
        """HTTP/1.1 has no flow control of its own."""
        return False

    def announce_end(self) -> bytes:
        """Make the next response the last one (`Connection: close`)."""
        self.keep_alive_requests = self.config.keep_alive_max_requests
        return b""


class _Expecting(h11.Connection):
    """Leaves it to `Http1` when a client that expects `100 Continue` gets it.

    Hypercorn would send it at once; but whoever is refused, for want of a login, say, should not
    begin to send a layer.
    """

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """What Hypercorn asks."""
        return False

    @property
    def expects(self) -> bool:
        """Whether the client waits."""
        return super().they_are_waiting_for_100_continue


class _Bytes(bytes):
    """As many bytes as h11 is to count, without being them."""

    _count: int

    def __new__(cls, count: int) -> _Bytes:
        self = super().__new__(cls)
        self._count = count
        return self

    def __len__(self) -> int:
        return self._count


class Http2(H2Protocol):
    """HTTP/2 with windows that fit layers, and an end that cuts no stream off.

    Attributes:
        write: Writes to the connection at once; set by the connection.
    """

    config: ServerConfig
    write: Callable[[bytes], None]

    async def initiate(
        self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        """Begin: settings, then a wider window for the connection and each stream."""
        await super().initiate(headers, settings)
        self.connection.update_settings(
            {
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_FRAME_SIZE: FRAME_SIZE,
            }
        )
        self.connection.increment_flow_control_window(
            CONNECTION_WINDOW - self.connection.inbound_flow_control_window
        )
        await self._flush()

    @property
    def body_expected(self) -> bool:
        """A client of HTTP/2 may send at any time."""
        return True

    @property
    def blocked(self) -> bool:
        """True while a response waits for the client to open its window."""
        return any(stream.buffer for stream in self.stream_buffers.values())

    def announce_end(self) -> bytes:
        """A GOAWAY that lets every stream under way finish (RFC 9113, 6.8).

        `H2Connection.close_connection` ends the connection's state at once, and with it the
        streams under way, so the frame is made by hand.
        """
        return GoAwayFrame(0, last_stream_id=LAST_STREAM, error_code=0).serialize()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                await self._data_received(event)
            else:
                await super()._handle_events([event])

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        requests = cast(Requests, self.task_group)
        requests.newest = None
        await super()._create_stream(request)
        if requests.newest is not None:
            requests.newest.taken = partial(self._acknowledge, request.stream_id)

    async def _data_received(self, event: h2.events.DataReceived) -> None:
        # A client may send more only when the application has taken what came. A stream that was
        # answered before its body had come is gone; the rest of the body is dropped, but has to
        # be acknowledged for the other streams' sake.
        stream = self.streams.get(event.stream_id)
        dropped = event.flow_controlled_length
        if stream is not None and not stream.closed:
            dropped -= len(event.data)
            await stream.handle(Body(stream_id=event.stream_id, data=event.data))
        if dropped:
            self._acknowledge(event.stream_id, dropped)

    def _acknowledge(self, stream_id: int, size: int) -> None:
        try:
            self.connection.acknowledge_received_data(size, stream_id)
        except h2.exceptions.ProtocolError:
            return  # the connection has ended
        self.write(self.connection.data_to_send())

    async def _send_data(self, stream_id: int) -> None:
        # Many frames per write: one frame is 16 KiB for most clients.
        buffer = self.stream_buffers[stream_id]
        try:
            window = max(0, self.connection.local_flow_control_window(stream_id))
            data = memoryview(await buffer.pop(min(window, FRAME_SIZE)))
            if data:
                size = self.connection.max_outbound_frame_size
                for start in range(0, len(data), size):
                    self.connection.send_data(stream_id, bytes(data[start : start + size]))
                await self._flush()
            else:
                self.priority.block(stream_id)
            if buffer.complete:
                self.connection.end_stream(stream_id)
                await self._flush()
                self._forget(stream_id)
        except h2.exceptions.ProtocolError:
            # The stream or the connection was closed while data waited.
            await buffer.close()
            self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        if self.stream_buffers.pop(stream_id, None) is not None:
            self.priority.remove_stream(stream_id)


__all__ = ["H2CProtocolRequiredError", "H2ProtocolAssumedError", "Http1", "Http2", "Requests"]
