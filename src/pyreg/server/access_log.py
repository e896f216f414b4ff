"""One line per request, with the names that the Docker registry gives its fields."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from hypercorn.logging import Logger

if TYPE_CHECKING:
    from hypercorn.config import Config

MASK = "***"

SECRET_WORDS = ("token", "signature", "secret", "password", "credential", "jwt")
"""A query parameter with one of these in its name is not logged."""

SECRET_NAMES = frozenset({"_state", "sig", "code", "assertion", "key"})
"""Nor is one with this name; `_state` is the state of an upload."""

CLIENT_CLOSED = 499
"""The status of a request whose client went away before it was answered, as in nginx."""

access_logger = logging.getLogger("pyreg.access")


class HypercornLogger(Logger):
    """What Hypercorn writes its log with: the package's loggers, no handlers of its own."""

    def __init__(self, config: Config) -> None:
        self.access_logger = access_logger
        self.error_logger = logging.getLogger("pyreg.server")

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        """Log a request that was answered, or not (`response` is None)."""
        if access_logger.isEnabledFor(logging.INFO):
            access_logger.handle(access_record(request, response, request_time))


def access_record(request: Any, response: Any, request_time: float) -> logging.LogRecord:
    """The record of one request.

    Args:
        request: The ASGI scope. `state["request_id"]`, where the application sets it, is logged;
            `client_gone` says that a response was made, and nobody there to take it.
        response: Status and headers of the response; None when the client went away before.
        request_time: Seconds from the request's head to the end of the response.
    """
    state = request.get("state")
    client = request["client"]
    fields: dict[str, Any] = {
        "http.request.method": request.get("method", "WEBSOCKET"),
        "http.request.uri": masked_target(request),
        "http.request.remoteaddr": f"{client[0]}:{client[1]}" if client else "unix",
        "http.response.duration": request_time,
    }
    for name, value in request["headers"]:
        if name == b"user-agent":
            fields["http.request.useragent"] = value.decode("latin-1")
        elif name == b"host":
            fields["http.request.host"] = value.decode("latin-1")
    if state and "request_id" in state:
        fields["http.request.id"] = state["request_id"]
    if response is None or request.get("client_gone"):
        fields["http.response.status"] = CLIENT_CLOSED
    else:
        fields["http.response.status"] = int(response["status"])
        for name, value in response["headers"]:
            if name == b"content-length" and request.get("method") != "HEAD":
                fields["http.response.written"] = int(value)
            elif name == b"content-type":
                fields["http.response.contenttype"] = value.decode("latin-1")
    record = logging.LogRecord(
        access_logger.name, logging.INFO, __file__, 0, "response completed", None, None
    )
    record.fields = fields
    return record


def masked_target(request: Any) -> str:
    """Path and query of a request as they came; values of secret parameters are masked."""
    path: str = request["raw_path"].decode("latin-1")
    query = request["query_string"]
    if not query:
        return path
    return f"{path}?{'&'.join(map(_masked_pair, query.decode('latin-1').split('&')))}"


def _masked_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    plain = unquote_plus(name).strip().lower()
    secret = plain in SECRET_NAMES or any(word in plain for word in SECRET_WORDS)
    return f"{name}={MASK}" if secret and equals else pair
