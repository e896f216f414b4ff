"""What a plugin brings along so that the server speaks TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from pyreg.hooks.spec import ASGIApp


class FileChannel(Protocol):
    """What files are sent through where the kernel cannot do it: an encrypted connection."""

    def hold(self) -> None:
        """A thread is about to send: leave the connection alone, whatever comes."""
        ...

    def send(self, file: int, offset: int, count: int) -> int:
        """Send, in a thread, until all is sent or the client takes no more.

        Returns:
            How many bytes were sent; 0 if the client takes none now. The next call then has the
            same arguments.

        Raises:
            OSError: the client is gone, or the file ends too soon.
        """
        ...

    def release(self) -> None:
        """The thread has ended."""
        ...


class Encryption(Protocol):
    """Makes encrypted connections; a plugin sets it as `encryption` of what
    `pyreg_server_config` is given.

    The transports that it makes are asyncio's, and tell more by `get_extra_info`:

    - `ssl_object`: has `selected_alpn_protocol()`: `h2`, `http/1.1` or None;
    - `extensions`: what is added to the extensions of each request's ASGI scope;
    - `file_channel`: a `FileChannel`, for what lies in files.
    """

    async def establish(
        self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol]
    ) -> bool:
        """Shake hands with a client that was accepted, and connect it.

        The caller limits the time, and closes the socket of a call that was cancelled or failed.

        Args:
            sock: The client; it does not block.
            protocol: Makes the protocol for the connection once it is encrypted.

        Returns:
            False if the client speaks plain HTTP. The socket is then the caller's again, and
            nothing that the client has sent was taken.

        Raises:
            OSError: the client is gone, or the handshake failed.
        """
        ...

    def plain(self, external: str, port: int | None) -> ASGIApp:
        """What answers clients that speak plain HTTP.

        Args:
            external: `http.host`: the address by which clients reach the registry; or "".
            port: Where the registry listens; None to go by the port that the client asked.
        """
        ...
