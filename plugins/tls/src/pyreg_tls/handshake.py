"""From an accepted socket to an encrypted connection; plain HTTP is recognised on the way."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from pyreg.hooks import ASGIApp, Encryption
from pyreg_tls.acme import Acme
from pyreg_tls.clients import Peer
from pyreg_tls.contexts import SUITE_NUMBERS, Contexts
from pyreg_tls.files import EncryptedFiles
from pyreg_tls.plain import PlainHTTP
from pyreg_tls.renewal import Renewal
from pyreg_tls.transport import EncryptedTransport, reasons

logger = logging.getLogger("pyreg.tls")

HANDSHAKE = 0x16
"""The first byte of TLS (RFC 8446, section 5.1)."""

ACME = b"\x0aacme-tls/1"
"""How the protocol of a tls-alpn-01 challenge stands in a client's hello (RFC 8737)."""

HEADER = 5
LONGEST = HEADER + 16384
"""Bytes of a record, and of the part of it that says how long it is."""

NO_CERTIFICATE = b"\x15\x03\x03\x00\x02\x02\x70"
"""The alert `unrecognized_name`, as a record."""

PAUSE = 0.02
"""Seconds between two looks at a hello that has not come whole."""


class Handshakes(Encryption):
    """Makes encrypted connections; `pyreg serve` has them made here.

    Args:
        renewal: The contexts in force.
        acme: Answers the challenges of an authority; None where there is none.
    """

    def __init__(self, renewal: Renewal, acme: Acme | None) -> None:
        self._renewal = renewal
        self._acme = acme

    def plain(self, external: str, port: int | None) -> ASGIApp:
        """What answers plain HTTP; see `PlainHTTP`."""
        return PlainHTTP(external, port, self._acme)

    async def establish(
        self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol]
    ) -> bool:
        """Shake hands with a client, and connect it.

        Args:
            sock: An accepted socket, which does not block.
            protocol: Makes the protocol for the connection.

        Returns:
            False for a client that speaks plain HTTP; nothing that it has sent was taken.

        Raises:
            OSError: the client is gone, or the handshake failed.
        """
        first = await _peek(sock, 1)
        if not first:
            raise ConnectionResetError("the client sent nothing")
        if b"A" <= first <= b"Z":  # the methods of HTTP begin so
            return False
        if self._acme is not None and await self._challenge(sock, self._acme):
            return True
        contexts = self._renewal.contexts
        if contexts.first is None:
            sock.send(NO_CERTIFICATE)
            raise ConnectionAbortedError("there is no certificate yet")
        connection = SSL.Connection(contexts.first, sock)
        connection.set_app_data(Peer())
        connection.set_accept_state()
        try:
            await _shake_hands(sock, connection)
        except SSL.Error as error:
            raise _failed(sock, connection, error) from error
        channel = EncryptedFiles(connection)
        channel.transport = EncryptedTransport(
            asyncio.get_running_loop(),
            sock,
            connection,
            protocol(),
            {
                "socket": sock,
                "peername": sock.getpeername(),
                "sockname": sock.getsockname(),
                "ssl_object": _Agreed(connection),
                "extensions": {"tls": tls_extension(connection, contexts)},
                "file_channel": channel,
            },
        )
        return True

    async def _challenge(self, sock: socket.socket, acme: Acme) -> bool:
        """Answer an authority that looks whether a name is ours (tls-alpn-01)."""
        hello = await _hello(sock)
        if ACME not in hello:
            return False
        context = await acme.hello_context(hello)
        if context is None:
            return False
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            asyncio.Protocol, sock, ssl=context
        )
        transport.close()
        return True


def tls_extension(connection: SSL.Connection, contexts: Contexts) -> dict[str, Any]:
    """What the application is told of a connection (ASGI TLS extension, version 0.2)."""
    peer = connection.get_app_data()
    chain = _chain(connection)
    return {
        "server_cert": contexts.certificate_of(connection.get_context()),
        "client_cert_chain": [each.public_bytes(Encoding.PEM).decode("ascii") for each in chain],
        "client_cert_name": chain[0].subject.rfc4514_string() if chain else None,
        "client_cert_error": peer.trouble or None,
        "tls_version": connection.get_protocol_version(),
        "cipher_suite": SUITE_NUMBERS.get(connection.get_cipher_name() or ""),
    }


def _chain(connection: SSL.Connection) -> list[x509.Certificate]:
    """What the client sent: its own certificate, then others.

    OpenSSL keeps the two apart in a server: its chain begins behind the client's own.
    """
    own = connection.get_peer_certificate(as_cryptography=True)
    if own is None:
        return []
    others = connection.get_peer_cert_chain(as_cryptography=True) or []
    return [own, *(each for each in others if each != own)]


class _Agreed:
    """What asyncio's transports have as `ssl_object`, as far as the server asks."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._protocol = connection.get_alpn_proto_negotiated().decode("latin-1")

    def selected_alpn_protocol(self) -> str | None:
        return self._protocol or None


async def _shake_hands(sock: socket.socket, connection: SSL.Connection) -> None:
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            await _ready(sock, writing=False)
        except SSL.WantWriteError:
            await _ready(sock, writing=True)
        else:
            return


async def _peek(sock: socket.socket, size: int) -> bytes:
    """What the client has sent, left where it is; b"" if it sends no more."""
    while True:
        try:
            return sock.recv(size, socket.MSG_PEEK)
        except BlockingIOError:
            await _ready(sock, writing=False)


async def _hello(sock: socket.socket) -> bytes:
    """The first record that a client sends; less of it if there is no more."""
    known = -1
    while True:
        data = await _peek(sock, LONGEST)
        if data[:1] != bytes([HANDSHAKE]) or len(data) == known == 0:
            return data
        if len(data) >= HEADER and len(data) >= HEADER + int.from_bytes(data[3:5], "big"):
            return data[: HEADER + int.from_bytes(data[3:5], "big")]
        if len(data) == LONGEST:
            return data
        known = len(data)
        # What was peeked at still counts as something to read: there is no event to wait for.
        await asyncio.sleep(PAUSE)


async def _ready(sock: socket.socket, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    if writing:
        loop.add_writer(sock, wake)
    else:
        loop.add_reader(sock, wake)
    try:
        await ready
    finally:
        if writing:
            loop.remove_writer(sock)
        else:
            loop.remove_reader(sock)


def _failed(sock: socket.socket, connection: SSL.Connection, error: SSL.Error) -> OSError:
    """Say why a handshake failed; loudly where the owner may wonder why a client is refused."""
    peer = connection.get_app_data()
    reason = reasons(error)
    if isinstance(error, SSL.SysCallError | SSL.ZeroReturnError):
        return ConnectionResetError("the client left during the handshake")
    if peer.trouble:
        reason = f"its certificate is not taken: {peer.trouble}"
    if peer.trouble or "certificate" in reason:
        try:
            where = sock.getpeername()
        except OSError:
            where = "?"
        name = where[0] if isinstance(where, tuple) else where or "unix"
        logger.info("the client %s was refused: %s", name, reason)
    return ConnectionAbortedError(f"the handshake failed: {reason}")
