"""What a supervisor and its worker say to each other, over one socket pair.

The supervisor sends an `Order` and later single bytes; the worker answers with lines of JSON.
Each learns from the end of the stream that the other one has died, however it died.
"""

from __future__ import annotations

import json
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyreg.config import Configuration

STOP = b"s"
"""Take no more connections, let requests finish until `http.draintimeout`, and end."""

RETIRE = b"r"
"""The same without a time limit: other workers have taken over."""

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Order:
    """What a worker is to do.

    Attributes:
        factory: `module:name` of a callable that makes an ASGI application of a configuration.
        configuration: The registry's.
        descriptors: Of the listening sockets, which the worker inherits.
        redirects: Of those whose requests are only sent to HTTPS.
        uvloop: Whether to use uvloop where it is installed.
        exposed: Whether other machines can reach one of the sockets.
    """

    factory: str
    configuration: Configuration
    descriptors: tuple[int, ...]
    redirects: tuple[int, ...]
    uvloop: bool
    exposed: bool


def send_order(control: socket.socket, order: Order) -> None:
    """Send a worker its order; the worker must have started, or the pipe may fill up."""
    data = pickle.dumps(order)
    control.sendall(_LENGTH.pack(len(data)) + data)


def receive_order(control: socket.socket) -> Order:
    """Receive it, in the worker.

    Raises:
        EOFError: the supervisor is gone.
    """
    (length,) = _LENGTH.unpack(_receive(control, _LENGTH.size))
    order: Order = pickle.loads(_receive(control, length))  # noqa: S301 - from our own parent
    return order


def report(control: socket.socket, message: dict[str, Any]) -> None:
    """Tell the supervisor something: `{"ready": {...}}` or `{"failed": [lines]}`."""
    control.sendall(json.dumps(message).encode() + b"\n")


def _receive(control: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = control.recv(length - len(data))
        if not piece:
            raise EOFError("the supervisor is gone")
        data += piece
    return data
