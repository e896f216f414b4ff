"""From a listening socket to connections, with a limit on those that are not there yet."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable

from pyreg.hooks.encryption import Encryption
from pyreg.server.connection import Connection

logger = logging.getLogger("pyreg.server")

ACCEPT_PAUSE = 0.5
"""Seconds without accepting after the process or the machine ran out of descriptors."""

HALF_OPEN = 1024
"""Clients of one socket that have connected and not yet begun to speak HTTP."""

Admit = Callable[[socket.socket], Awaitable[None]]
"""Makes a connection of an accepted socket, or raises OSError."""


class Acceptor:
    """Accepts connections from a socket that several workers share.

    One connection is taken per turn of the event loop. asyncio's and uvloop's own servers take
    all that wait, so that the first worker to wake up would end with most of the load.

    Args:
        loop: The running event loop.
        sock: The listening socket; it does not block.
        admit: What is done with an accepted one.
        timeout: Seconds in which that must be done.

    Attributes:
        pending: Connections that were accepted and are not there yet: handshakes, the oldest
            first. When there are too many, the oldest is dropped: who has not shaken hands
            while so many others came does not want to.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        admit: Admit,
        timeout: float,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._admit = admit
        self._timeout = timeout
        self._limit = half_open_limit()
        self.pending: dict[asyncio.Task[None], None] = {}
        self._resume: asyncio.TimerHandle | None = None
        loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept no more. What waits in the queue is for the other workers."""
        self._loop.remove_reader(self._sock)
        if self._resume is not None:
            self._resume.cancel()
        self._sock.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logger.error("cannot accept connections: %s", error.strerror)
            self._loop.remove_reader(self._sock)
            self._resume = self._loop.call_later(
                ACCEPT_PAUSE, self._loop.add_reader, self._sock, self._accept
            )
            return
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.pending) >= self._limit:
            oldest = next(iter(self.pending))
            del self.pending[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._connect(sock))
        self.pending[task] = None
        task.add_done_callback(lambda _: self.pending.pop(task, None))

    async def _connect(self, sock: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._admit(sock)
        except asyncio.CancelledError:
            sock.close()
            raise
        except OSError as error:  # a failed handshake is one, too, and so is the end of the time
            logger.debug("a client did not get a connection: %s", error or "it took too long")
            sock.close()
        except Exception:
            logger.exception("a client did not get a connection")
            sock.close()


def half_open_limit() -> int:
    """How many clients may be half open, so that most descriptors stay for the others."""
    return min(HALF_OPEN, max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8))


def in_clear(loop: asyncio.AbstractEventLoop, connection: Callable[[], Connection]) -> Admit:
    """Connections as they are."""

    async def admit(sock: socket.socket) -> None:
        await loop.connect_accepted_socket(connection, sock)

    return admit


def by_context(
    loop: asyncio.AbstractEventLoop,
    connection: Callable[[], Connection],
    context: ssl.SSLContext,
    timeout: float,
) -> Admit:
    """Connections with the event loop's own TLS, for a `hypercorn.Config` with a certificate."""

    async def admit(sock: socket.socket) -> None:
        await loop.connect_accepted_socket(
            connection, sock, ssl=context, ssl_handshake_timeout=timeout
        )

    return admit


def encrypted(
    encryption: Encryption, connection: Callable[[], Connection], otherwise: Admit
) -> Admit:
    """Connections with a plugin's TLS.

    Args:
        encryption: The plugin's.
        connection: Makes one.
        otherwise: What becomes of clients that speak plain HTTP.
    """

    async def admit(sock: socket.socket) -> None:
        if not await encryption.establish(sock, connection):
            await otherwise(sock)

    return admit
