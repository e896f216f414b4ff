"""Connections to a server, over TCP, TLS or a unix socket."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from pyreg.errors import PluginError
from pyreg_notify_redis.server import Server

CONNECTIONS = 16
"""At most; further deliveries wait for one."""


class TLSConnection(SSLConnection):
    """A TLS connection that reads its certificates itself: anew each time, and in a thread.

    So a renewed certificate is used without a restart, and the machine's authorities are not
    trusted where others are named.
    """

    def __init__(self, *, server: Server, **more: Any) -> None:
        super().__init__(**more)
        self._server = server

    async def _connect(self) -> None:
        self.ssl_context.context = await asyncio.to_thread(tls_context, self._server)
        await super()._connect()  # type: ignore[no-untyped-call]


def tls_context(server: Server) -> ssl.SSLContext:
    """What a connection to a server trusts, and shows of itself; reads files.

    Raises:
        PluginError: a file cannot be read, or is no certificate or key; names the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a good certificate, for this host
    path = ""
    try:
        if not server.cas:
            context.load_default_certs()
        for path in server.cas:
            context.load_verify_locations(path)
        if server.certificate:
            path = f"{server.certificate} or {server.key}"
            context.load_cert_chain(server.certificate, server.key)
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise PluginError(f"{path}: {reason or error}") from error
    return context


def connection_pool(server: Server) -> BlockingConnectionPool:
    """A pool for one event loop; connects when it is used."""
    settings: dict[str, Any] = {
        "db": server.db,
        "username": server.username or None,
        "password": server.password or None,
        "socket_connect_timeout": server.dial_timeout,
        "socket_timeout": server.read_timeout,
        # The registry tries again, and knows when.
        "retry": Retry(NoBackoff(), 0),
        # Older servers know no other, and XADD needs no other.
        "protocol": 2,
        # A user of the server needs no permissions but those to add to the stream.
        "driver_info": None,
    }
    if server.path:
        kind: type[Any] = UnixConnection
        settings["path"] = server.path
    else:
        kind = Connection
        settings |= {"host": server.host, "port": server.port, "socket_keepalive": True}
        if server.encrypted:
            kind = TLSConnection
            settings["server"] = server
    return BlockingConnectionPool(
        CONNECTIONS, timeout=server.read_timeout, connection_class=kind, **settings
    )
