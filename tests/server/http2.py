"""A client that sends many HTTP/2 requests over one connection at once, and watches its windows.

Those of the usual Python clients lose window updates when several requests wait for one.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events


@dataclass
class Exchange:
    """A request, and what came back."""

    method: str
    path: str
    content: bytes = b""
    status: int = 0
    received: bytearray = field(default_factory=bytearray)
    done: bool = False


def exchange(sock: socket.socket, *exchanges: Exchange) -> None:
    """Send all requests, each as far as its window allows, until all are answered and sent.

    Raises:
        ConnectionError: the server closed the connection.
    """
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    streams = {2 * index + 1: each for index, each in enumerate(exchanges)}
    unsent = {stream: memoryview(each.content) for stream, each in streams.items()}
    for stream, each in streams.items():
        headers = [(":method", each.method), (":path", each.path), (":scheme", "http")]
        connection.send_headers(stream, [*headers, (":authority", "x")], not each.content)
        if not each.content:
            del unsent[stream]
    while unsent or not all(each.done for each in exchanges):
        for stream, rest in list(unsent.items()):
            size = min(connection.local_flow_control_window(stream), len(rest))
            while size:
                piece = min(size, connection.max_outbound_frame_size)
                connection.send_data(stream, bytes(rest[:piece]), end_stream=piece == len(rest))
                rest, size = rest[piece:], size - piece
            unsent[stream] = rest
            if not rest:
                del unsent[stream]
        sock.sendall(connection.data_to_send())
        data = sock.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        for event in connection.receive_data(data):
            _take(connection, streams, event)


def _take(
    connection: h2.connection.H2Connection, streams: dict[int, Exchange], event: h2.events.Event
) -> None:
    if isinstance(event, h2.events.ResponseReceived):
        headers = {bytes(name): bytes(value) for name, value in event.headers}
        streams[event.stream_id].status = int(headers[b":status"])
    elif isinstance(event, h2.events.DataReceived):
        streams[event.stream_id].received += event.data
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif isinstance(event, h2.events.StreamEnded):
        streams[event.stream_id].done = True
    elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
        raise ConnectionError(f"the server cut a stream: {event}")
