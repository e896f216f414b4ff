"""An encrypted connection as asyncio knows transports.

asyncio and uvloop have transports for TLS of their own. They hand every byte through two buffers
in memory and encrypt in the thread of the event loop; here OpenSSL reads from and writes to the
socket itself, and what lies in files is encrypted in another thread, at the speed of the
processor. They also cannot ask for a client's certificate without refusing a strange one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any

from OpenSSL import SSL

logger = logging.getLogger("pyreg.tls")

RECORD = 16384
"""The most bytes in one record (RFC 8446, section 5.1)."""

READ_SIZE = 256 * 1024
"""Bytes that are read in one turn of the event loop."""

PIECE = 256 * 1024
"""Bytes that are encrypted in one call."""

HIGH_WATER = 64 * 1024
"""Bytes that wait for the client before the application waits, too."""


class EncryptedTransport(asyncio.Transport):
    """An encrypted connection, after its handshake.

    Everything happens in the event loop's thread but what `hold` lends to another one: OpenSSL's
    connections may be used by any thread, and by only one at a time.

    Args:
        loop: The running event loop.
        sock: The socket; it does not block, and is closed with the transport.
        connection: OpenSSL's side of it.
        protocol: Who is told.
        extra: For `get_extra_info`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        connection: SSL.Connection,
        protocol: asyncio.Protocol,
        extra: Mapping[str, Any],
    ) -> None:
        super().__init__(dict(extra))
        self._loop = loop
        self._sock = sock
        self._connection = connection
        self._protocol = protocol
        # Reading.
        self._paused = False
        self._ended = False  # the client sends no more
        self._reads = False
        # Writing.
        self._unsent: deque[memoryview] = deque()
        self._size = 0
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._full = False
        self._writes = False
        # The end.
        self._closing = False
        self._finishing = False  # no more is written after what waits
        self._gone = False
        self._reason: Exception | None = None
        self._held = False
        protocol.connection_made(self)
        self._watch()

    # Reading.

    def is_reading(self) -> bool:
        """Whether the protocol is given what comes."""
        return not (self._paused or self._closing)

    def pause_reading(self) -> None:
        """Leave what comes to the kernel."""
        self._paused = True
        self._watch()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._paused = False
        self._watch()
        if self._reads and self._connection.pending():
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        if not self._reads:
            return
        pieces: list[bytes] = []
        size = 0
        failure: Exception | None = None
        try:
            while size < READ_SIZE:
                pieces.append(self._connection.recv(RECORD))
                size += len(pieces[-1])
        except (SSL.WantReadError, SSL.WantWriteError):
            pass  # a record is not whole yet, or an answer to the client's keys has to wait
        except SSL.ZeroReturnError:
            self._ended = True
        except SSL.Error as error:
            failure = _lost(error)
        if pieces:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._gone:
            return
        if failure is not None:
            self._end(failure)
        elif self._ended:
            self._watch()
            if not self._protocol.eof_received():
                self.close()
        elif self._unsent:
            self._flush()

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, at once as far as the client takes it."""
        if self._finishing or self._gone or not data:
            return
        owner = data.obj if isinstance(data, memoryview) else data
        view = memoryview(data if isinstance(owner, bytes) else bytes(data)).cast("B")
        self._unsent.append(view)
        self._size += len(view)
        if len(self._unsent) == 1:
            self._flush()
        if self._size > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def _flush(self) -> None:
        if self._held:
            return
        try:
            while self._unsent:
                # A piece that the client did not take whole has to be tried again as it was.
                first = self._unsent[0]
                sent = self._connection.send(first[:PIECE])
                self._size -= sent
                if sent == len(first):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = first[sent:]
        except (SSL.WantWriteError, SSL.WantReadError):
            pass
        except SSL.Error as error:
            self._end(_lost(error))
            return
        self._watch()
        if self._full and self._size <= self._low and not self._closing:
            self._full = False
            self._protocol.resume_writing()
        if self._finishing and not self._unsent:
            self._finish()

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not taken."""
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is told to wait, and to go on."""
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low
        if self._size > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    # Another thread.

    def hold(self) -> None:
        """Lend OpenSSL's connection to another thread; nothing is read or written meanwhile."""
        self._held = True
        self._watch()

    def release(self) -> None:
        """Take it back."""
        self._held = False
        if self._gone:
            self._loop.call_soon(self._lose)
            return
        self._watch()
        self._flush()

    # The end.

    def is_closing(self) -> bool:
        """Whether the connection is on its way to an end."""
        return self._closing

    def can_write_eof(self) -> bool:
        """TLS can end one direction (RFC 8446, section 6.1)."""
        return True

    def write_eof(self) -> None:
        """Say that nothing follows what was written; go on reading."""
        if not self._finishing:
            self._finishing = True
            self._flush()

    def close(self) -> None:
        """End after what was written has been sent."""
        if self._closing:
            return
        self._closing = self._finishing = True
        self._flush()

    def abort(self) -> None:
        """End at once."""
        self._end(None)

    def _finish(self) -> None:
        try:
            self._connection.shutdown()  # a `close_notify`; the client's own is not waited for
            if self._closing:
                self._end(None)
            else:
                self._sock.shutdown(socket.SHUT_WR)
        except SSL.Error:
            self._end(None)  # no room for a last word, or nobody to hear it
        except OSError as error:
            self._end(error)

    def _end(self, reason: Exception | None) -> None:
        if self._gone:
            return
        self._gone = self._closing = self._finishing = True
        self._reason = reason
        self._unsent.clear()
        self._size = 0
        self._watch()
        if self._held:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)  # the thread hears of it
            except OSError:
                logger.debug("a connection was reset while a file was sent")
        else:
            self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        try:
            self._protocol.connection_lost(self._reason)
        finally:
            self._sock.close()

    def _watch(self) -> None:
        """Have the event loop wait for what matters now, and for nothing else."""
        usable = not (self._held or self._gone)
        reads = usable and not (self._paused or self._ended or self._closing)
        if reads != self._reads:
            self._reads = reads
            if reads:
                self._loop.add_reader(self._sock, self._read)
            else:
                self._loop.remove_reader(self._sock)
        writes = usable and bool(self._unsent)
        if writes != self._writes:
            self._writes = writes
            if writes:
                self._loop.add_writer(self._sock, self._flush)
            else:
                self._loop.remove_writer(self._sock)


def _lost(error: SSL.Error) -> Exception:
    """What went wrong, as asyncio's transports say it."""
    if isinstance(error, SSL.SysCallError):
        return ConnectionResetError(*error.args)
    return ConnectionAbortedError(f"TLS failed: {reasons(error)}")


def reasons(error: SSL.Error) -> str:
    """OpenSSL's reasons for an error, in its own words."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(entry[-1] for entry in queue) or str(error) or type(error).__name__
