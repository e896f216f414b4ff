"""What becomes of plain HTTP where TLS is spoken: it is sent to HTTPS, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

_HOST = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_HTTPS = 443
_CHALLENGE = "/.well-known/acme-challenge/"

Headers = list[tuple[bytes, bytes]]


class Challenges(Protocol):
    """Knows the answers to an authority's questions."""

    async def http_answer(self, path: str) -> bytes | None:
        """The body for a path; None if there is no such question."""
        ...


class PlainHTTP:
    """An ASGI application for clients that do not encrypt.

    GET and HEAD are sent to HTTPS. With other methods a client has sent its credentials and its
    data in clear already; sending it on would only hide that.

    Args:
        external: The address by which clients reach the registry; "" to go by what they asked.
        port: Where the registry listens, for requests that came to another port; None for those
            that came to the registry's own.
        challenges: Answered without encryption, as RFC 8555 (section 8.3) wants it.
    """

    def __init__(
        self, external: str, port: int | None, challenges: Challenges | None = None
    ) -> None:
        self._external = external.rstrip("/") if external.startswith("https://") else ""
        self._port = port
        self._challenges = challenges

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # A client that asks for a websocket is answered like any other that is no reader.
            await _send(send, 400, [_JSON], _BODY, kind="websocket.http.response")
            return
        reading = scope["method"] in ("GET", "HEAD")
        if reading and self._challenges is not None and scope["path"].startswith(_CHALLENGE):
            answer = await self._challenges.http_answer(scope["path"])
            if answer is not None:
                await _send(send, 200, [(b"content-type", b"application/octet-stream")], answer)
                return
        target = self._target(scope) if reading else ""
        if target:
            await _send(send, 308, [(b"location", target.encode("latin-1"))], b"")
        else:
            await _send(send, 400, [_JSON], _BODY)

    def _target(self, scope: Any) -> str:
        """Where the same thing is, encrypted; "" if that cannot be told."""
        path: str = scope["raw_path"].decode("latin-1")
        if not path.startswith("/"):
            return ""
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        if self._external:
            return self._external + path
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        match = _HOST.fullmatch(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
        if match is None:
            return ""
        port = match[2] or ""
        if self._port is not None:
            port = "" if self._port == _HTTPS else f":{self._port}"
        return f"https://{match[1]}{port}{path}"


_JSON = (b"content-type", b"application/json")
_BODY = json.dumps(
    {
        "errors": [
            {
                "code": "UNSUPPORTED",
                "message": "this registry speaks HTTPS; the request came without encryption",
                "detail": None,
            }
        ]
    }
).encode()


async def _send(
    send: Any, status: int, headers: Headers, body: bytes, kind: str = "http.response"
) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
