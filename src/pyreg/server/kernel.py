"""What the kernel holds of a connection, which no event loop tells."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Protocol


class Socket(Protocol):
    """Anything with a socket's descriptor."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


def unsent(sock: Socket) -> int:
    """Bytes that were sent and that the client has not taken yet.

    The kernel takes megabytes before it asks for more, so that a slow client seems to stand still
    for minutes when only the program's own buffer is asked.
    """
    return _ask(sock, termios.TIOCOUTQ)


def unread(sock: Socket) -> int:
    """Bytes that the client has sent and that were not read yet."""
    return _ask(sock, termios.FIONREAD)


def _ask(sock: Socket, question: int) -> int:
    try:
        answer = fcntl.ioctl(sock.fileno(), question, b"\0" * 4)
    except OSError:  # not every kind of socket knows
        return 0
    return int(struct.unpack("i", answer)[0])
