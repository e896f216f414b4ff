"""From an ASGI request to an endpoint and back: admission, errors, streaming."""

from __future__ import annotations

import asyncio
import json
import logging

from pyreg.api.call import Call, Site
from pyreg.api.message import JSON, ClientGone, Headers, Request, Response
from pyreg.content.uploads import Interrupted
from pyreg.errors import (
    NAME_INVALID,
    STORAGE_FULL,
    UNAVAILABLE,
    UNKNOWN,
    RegistryError,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from pyreg.hooks.spec import Receive, Scope, Send
from pyreg.routes import match

log = logging.getLogger("pyreg.api")

VERSION_HEADER = (b"docker-distribution-api-version", b"registry/2.0")

MAX_TARGET = 8192
"""Bytes of a request's path."""

_DRAINED = 256 * 1024  # bytes of an unwanted body that are read, so that the answer gets through
_RETRY_AFTER = 5.0  # seconds, where the storage does not say


async def answer(site: Site, scope: Scope, receive: Receive, send: Send, path: str) -> None:
    """Answer one request below `/v2/`.

    Args:
        site: The registry.
        scope: The ASGI scope.
        receive: The ASGI callable.
        send: The ASGI callable.
        path: Decoded, without prefixes.
    """
    request = Request(scope, receive, path, site.idle)
    try:
        try:
            response = await _respond(site, request)
            if response.stream is not None and request.method != "HEAD":
                await _send_stream(site, request, response, receive, send)
                return
        except RegistryError as error:
            response = _failure(request, error)
        except StorageError as error:
            log.error("%s %s: %s: %s", request.method, path, type(error).__name__, error)
            response = _failure(request, _storage_failure(error))
        except (ClientGone, Interrupted):
            return  # nobody listens
        except Exception:
            log.exception("%s %s failed", request.method, path)
            response = _failure(request, RegistryError(UNKNOWN))
    finally:
        if request.has_body and not request.body.complete:
            await request.body.drain(_DRAINED)
    response.headers += [VERSION_HEADER, *site.headers]
    await send(response.start())
    await send({"type": "http.response.body", "body": response.body})


async def _respond(site: Site, request: Request) -> Response:
    raw = request.scope.get("raw_path") or b""
    if len(request.path) > MAX_TARGET or b"%2f" in raw or b"%2F" in raw:
        # An encoded "/" is one to us and none to a proxy that guards some paths.
        raise RegistryError(NAME_INVALID, "the path is too long, or has an encoded '/'")
    found = match(request.method, request.path)
    call = Call(site, request, found.name, found.reference)
    await call.admit(found.accesses)
    return await found.endpoint.handler(call)


async def _send_stream(
    site: Site, request: Request, response: Response, receive: Receive, send: Send
) -> None:
    assert response.stream is not None
    async with response.stream as pieces:
        response.headers += [VERSION_HEADER, *site.headers]
        await send(response.start())
        # Nothing else tells that the client is gone: a server takes what is sent all the same.
        leaving = asyncio.ensure_future(_left(request, receive))
        try:
            async for piece in pieces:
                if leaving.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except StorageError as error:
            # The status is out already; a body that breaks off is the only way to tell.
            log.error("%s broke off: %s: %s", request.path, type(error).__name__, error)
        finally:
            leaving.cancel()


async def _left(request: Request, receive: Receive) -> None:
    """Returns when the client has gone."""
    if not request.body.complete:
        async for _ in request.body.chunks():
            pass
    while (await receive())["type"] != "http.disconnect":
        pass


def _failure(request: Request, error: RegistryError) -> Response:
    body = json.dumps(error.envelope(), separators=(",", ":")).encode()
    headers: Headers = [JSON, (b"content-length", b"%d" % len(body))]
    headers += [
        (name.lower().encode("ascii"), value.encode("latin-1", "replace"))
        for name, value in error.headers
    ]
    return Response(error.status, headers, b"" if request.method == "HEAD" else body)


def _storage_failure(error: StorageError) -> RegistryError:
    """What a client hears of trouble with the storage: no keys, no names of services."""
    if isinstance(error, StorageFull):
        return RegistryError(STORAGE_FULL)
    if isinstance(error, StorageUnavailable):
        seconds = max(1, round(error.retry_after or _RETRY_AFTER))
        return RegistryError(
            UNAVAILABLE,
            "the registry's storage does not answer",
            headers=[("Retry-After", str(seconds))],
        )
    if isinstance(error, StorageDenied):
        return RegistryError(UNAVAILABLE, "the registry's storage refuses")
    return RegistryError(UNAVAILABLE, "the stored content is damaged or incomplete")
