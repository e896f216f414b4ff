"""Files that the kernel sends to a client, without a copy in this process.

The ASGI extension `http.response.zerocopysend`. A gigabyte costs Python some hundred calls.
"""

from __future__ import annotations

import asyncio
import os

from pyreg.hooks.spec import Scope

EXTENSION = "http.response.zerocopysend"

BURST = 8 * 1024 * 1024
"""Bytes that are sent in one go, while the client takes them, before the thread is given back."""


class _Descriptor:
    """A descriptor that is closed when nobody uses it any more.

    A thread may still be sending when its connection has gone. The number must not be free for
    another client's connection before that thread has ended.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class FileSender:
    """Sends parts of files to one socket.

    Args:
        loop: The event loop of the connection.
        descriptor: Of the socket, which does not block. A duplicate of it is waited on, since
            the original belongs to the loop's transport.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        self._loop = loop
        self._socket = _Descriptor(os.dup(descriptor))
        self._writable: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def blocked(self) -> bool:
        """True while the client does not take what is there."""
        return self._writable is not None

    async def send(self, file: int, offset: int, count: int) -> int:
        """Send some bytes; returns when some have been taken.

        Args:
            file: A file's descriptor.
            offset: The first byte.
            count: How many there are to send.

        Returns:
            How many were sent, at least one.

        Raises:
            OSError: the client is gone, or the file ends too soon.
        """
        socket = self._socket
        while not self._closed:
            # In a thread, since the file may have to be read from a disk.
            sent = await self._loop.run_in_executor(
                None, _send, socket, file, offset, min(count, BURST)
            )
            if sent:
                return sent
            self._writable = self._loop.create_future()
            self._loop.add_writer(socket.number, self._wake)
            try:
                await self._writable
            finally:
                self._loop.remove_writer(socket.number)
                self._writable = None
        raise ConnectionResetError("the client is gone")

    def close(self) -> None:
        """Send no more, and wake whoever waits for the client."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)


def _send(sock: _Descriptor, file: int, offset: int, count: int) -> int:
    """Bytes sent until all are, or the client takes no more; 0 if it takes none now."""
    total = 0
    while total < count:
        try:
            sent = os.sendfile(sock.number, file, offset + total, count - total)
        except BlockingIOError:
            break
        if sent == 0:
            raise OSError("the file ends before its announced end")
        total += sent
    return total


def offer(scope: Scope) -> None:
    """Tell the application that it may send files."""
    scope.setdefault("extensions", {})[EXTENSION] = {}
