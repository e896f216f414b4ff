"""From the registry's configuration to Hypercorn's."""

from __future__ import annotations

import sys
from time import time
from typing import TYPE_CHECKING, Any

from hypercorn.config import Config

from pyreg.hooks.encryption import Encryption
from pyreg.server.access_log import HypercornLogger

if TYPE_CHECKING:
    from pyreg.config import Configuration

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's line and headers; a token with many scopes takes 16 KiB."""


HANDSHAKE = 10.0
"""Seconds in which a client must have begun to speak HTTP."""


class ServerConfig(Config):
    """Hypercorn's configuration, and what Hypercorn has no word for.

    Attributes:
        exposed: Whether other machines can reach the server.
        encryption: What a plugin speaks TLS with; None for what Hypercorn's own options say.
        h2c: Whether HTTP/2 in clear text is spoken, by upgrade or by prior knowledge.
    """

    exposed = False
    encryption: Encryption | None = None
    h2c = False
    _second = 0
    _headers: list[tuple[bytes, bytes]] | None = None

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The headers of every response; the date is written out once a second."""
        now = int(time())
        if self._headers is None or now != self._second:
            self._second = now
            self._headers = super().response_headers(protocol)
        return self._headers


def server_config(configuration: Configuration) -> ServerConfig:
    """Hypercorn's configuration for a registry's.

    Args:
        configuration: The registry's; only `http` and `log` matter here.

    Returns:
        A configuration that plugins may still change. `keep_alive_timeout` is the time in seconds
        for which a connection may stay idle, take for the head of a request, or move no byte in
        the middle of one; 0 means for ever.
    """
    http: Any = configuration.http
    config = ServerConfig()
    config.workers = http.workers
    config.keep_alive_timeout = http.idletimeout
    config.graceful_timeout = http.draintimeout
    config.keep_alive_max_requests = sys.maxsize
    config.h11_max_incomplete_size = HEAD_LIMIT
    config.h2_max_header_list_size = HEAD_LIMIT
    config.h2_max_concurrent_streams = 250
    config.include_server_header = False
    config.ssl_handshake_timeout = HANDSHAKE
    config.h2c = http.h2c.enabled and not http.http2.disabled
    if http.http2.disabled:
        config.alpn_protocols = ["http/1.1"]
    config.logger_class = HypercornLogger
    return config
