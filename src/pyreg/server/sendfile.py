"""Files that the kernel sends to a client, without a copy in this process.

The ASGI extension `http.response.zerocopysend`. A gigabyte costs Python some hundred calls.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from pyreg.hooks.encryption import FileChannel
from pyreg.hooks.spec import Scope

EXTENSION = "http.response.zerocopysend"

BURST = 8 * 1024 * 1024
"""Bytes that are sent in one go, while the client takes them, before the thread is given back."""


class FileSender:
    """Sends parts of files to one socket.

    Args:
        loop: The event loop of the connection.
        descriptor: Of the socket, which does not block. A duplicate of it is waited on, since
            the original belongs to the loop's transport.
        channel: What to send through; None for the kernel.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        channel: FileChannel | None = None,
    ) -> None:
        self._loop = loop
        self._socket = os.dup(descriptor)
        self._channel = channel or _Kernel(self._socket)
        self._writable: asyncio.Future[None] | None = None
        self._sending = False
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
        while not self._closed:
            sent = await self._in_thread(file, offset, min(count, BURST))
            if sent:
                return sent
            if not self._closed:
                await self._room()
        raise ConnectionResetError("the client is gone")

    async def _in_thread(self, file: int, offset: int, count: int) -> int:
        """Send in a thread, since the file may have to be read from a disk."""
        self._sending = True
        self._channel.hold()
        sending = self._loop.run_in_executor(None, self._channel.send, file, offset, count)
        try:
            return await asyncio.shield(sending)
        finally:
            # Cancelled or not: the numbers of the file and of the socket must not become those
            # of others while the thread uses them.
            while not sending.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([sending])
            self._sending = False
            self._channel.release()
            if self._closed:
                os.close(self._socket)

    async def _room(self) -> None:
        """Wait until the client takes more."""
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._socket, self._wake)
        try:
            await self._writable
        finally:
            if not self._closed:
                self._loop.remove_writer(self._socket)
            self._writable = None

    def close(self) -> None:
        """Send no more, and wake whoever waits for the client."""
        if self._closed:
            return
        self._closed = True
        if self._writable is not None:
            self._loop.remove_writer(self._socket)
            self._wake()
        if not self._sending:
            os.close(self._socket)

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)


class _Kernel:
    """A socket's own channel: the kernel needs no help, and nobody has to wait for it."""

    def __init__(self, sock: int) -> None:
        self._socket = sock

    def hold(self) -> None:
        pass

    def send(self, file: int, offset: int, count: int) -> int:
        total = 0
        while total < count:
            try:
                sent = os.sendfile(self._socket, file, offset + total, count - total)
            except BlockingIOError:
                break
            if sent == 0:
                raise OSError("the file ends before its announced end")
            total += sent
        return total

    def release(self) -> None:
        pass


def offer(scope: Scope) -> None:
    """Tell the application that it may send files."""
    scope.setdefault("extensions", {})[EXTENSION] = {}
