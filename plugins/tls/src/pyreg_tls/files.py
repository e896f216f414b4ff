"""What lies in files, encrypted in a thread of its own."""

from __future__ import annotations

import os

from OpenSSL import SSL

from pyreg.hooks import FileChannel
from pyreg_tls.transport import EncryptedTransport

PIECE = 512 * 1024
"""Bytes that are read and encrypted at once. The thread does without the GIL meanwhile; with
small pieces it would wait for it most of the time."""


class EncryptedFiles(FileChannel):
    """Sends files through an encrypted connection; `pyreg serve` asks for it.

    Args:
        connection: OpenSSL's side of the connection.

    Attributes:
        transport: The connection's; set once it is there.
    """

    transport: EncryptedTransport

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def hold(self) -> None:
        """Take the connection out of the event loop's hands."""
        self.transport.hold()

    def send(self, file: int, offset: int, count: int) -> int:
        """Send a part of a file, in a thread, until all is sent or the client takes no more.

        A piece that the client took only a part of does not count. OpenSSL remembers how far it
        came, and asks for the same piece again.

        Args:
            file: Its descriptor.
            offset: The first byte.
            count: How many.

        Returns:
            How many bytes were sent, in whole pieces; 0 if the client takes none now.

        Raises:
            OSError: the client is gone, or the file ends too soon.
        """
        buffer = memoryview(bytearray(min(PIECE, count)))
        total = 0
        while total < count:
            room = buffer[: count - total]
            got = os.preadv(file, [room], offset + total)
            if not got:
                raise OSError("the file ends before its announced end")
            try:
                total += self._connection.send(room[:got])
            except (SSL.WantWriteError, SSL.WantReadError):
                break
            except SSL.Error as error:
                raise ConnectionResetError("the client is gone") from error
        return total

    def release(self) -> None:
        """Give the connection back."""
        self.transport.release()
