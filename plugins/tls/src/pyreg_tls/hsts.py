"""The header `Strict-Transport-Security` (RFC 6797)."""

from __future__ import annotations

from typing import Any

from pyreg.hooks import ASGIApp
from pyreg_tls.options import HSTS


def with_hsts(app: ASGIApp, options: HSTS) -> ASGIApp:
    """An application whose answers over HTTPS carry the header.

    Args:
        app: The application.
        options: What the header says.
    """
    parts = [f"max-age={int(options.maxage)}"]
    if options.includesubdomains:
        parts.append("includeSubDomains")
    if options.preload:
        parts.append("preload")
    header = (b"strict-transport-security", "; ".join(parts).encode("ascii"))

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        # Over plain HTTP browsers ignore it, and it must not be sent (RFC 6797, section 7.2).
        if scope["type"] != "http" or scope.get("scheme") != "https":
            await app(scope, receive, send)
            return

        async def send_with_header(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        await app(scope, receive, send_with_header)

    return wrapped
