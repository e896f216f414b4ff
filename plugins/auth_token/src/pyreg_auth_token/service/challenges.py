"""One challenge where the token service has one, though there are other ways to log in.

Clients are poor at choosing. Of `Bearer` and `Basic`, the Docker engine tries to satisfy both and
fails without a stored password; others read the two headers as one. A password is good at the
token service, so nobody loses a way in.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from pyreg.hooks import ASGIApp

_NAME = b"www-authenticate"


def one_challenge(app: ASGIApp) -> ASGIApp:
    """An application that leaves the first of several challenges if that one asks for a token."""

    async def wrapped(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        async def send_one(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                message["headers"] = _first(message["headers"])
            await send(message)

        await app(scope, receive, send_one)

    return wrapped


def _first(headers: Any) -> list[tuple[bytes, bytes]]:
    kept = list(headers)
    challenges = [item for item in kept if item[0].lower() == _NAME]
    if challenges and challenges[0][1].startswith(b"Bearer "):
        kept = [item for item in kept if item[0].lower() != _NAME or item is challenges[0]]
    return kept
