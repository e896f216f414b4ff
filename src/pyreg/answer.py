"""From an ASGI request to an endpoint and back: admission, errors, streaming."""

from __future__ import annotations

import asyncio
import json
import logging

from pyreg.api.admission import auth_request
from pyreg.api.call import Call, Site
from pyreg.api.message import JSON, ClientGone, Headers, Request, Response, empty
from pyreg.content.progress import Interrupted
from pyreg.errors import (
    NAME_INVALID,
    REQUEST_TIMEOUT,
    STORAGE_FULL,
    UNAVAILABLE,
    UNKNOWN,
    URI_TOO_LONG,
    RegistryError,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from pyreg.hooks.spec import Receive, Scope, Send
from pyreg.hooks.storage import FileSpan
from pyreg.routes import allowed, match

log = logging.getLogger("pyreg.api")

VERSION_HEADER = (b"docker-distribution-api-version", b"registry/2.0")

MAX_TARGET = 8192
"""Bytes of a request's path."""

ZERO_COPY = "http.response.zerocopysend"
"""The ASGI extension, and its message, for content that lies in a file."""

_PART = 64 * 1024 * 1024  # bytes that the kernel is asked to send at once
_DRAINED = 2 * 1024 * 1024  # bytes of an unwanted body that are read
_DRAINING = 2.0  # seconds for that
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
        response = _failure(request, RegistryError(REQUEST_TIMEOUT))
    except Exception:
        log.exception("%s %s failed", request.method, path)
        response = _failure(request, RegistryError(UNKNOWN))
    response.headers += [VERSION_HEADER, *site.headers]
    early = not request.body.complete and request.has_body
    if early and request.scope.get("http_version", "1.1").startswith("1"):
        response.headers.append((b"connection", b"close"))
    await send(response.start())
    if early:
        # The answer is out before the client has sent everything. A connection that is closed
        # on unread bytes is reset, and the client might never see the answer: take some more.
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        await request.body.drain(_DRAINED, _DRAINING)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": response.body})


async def _respond(site: Site, request: Request) -> Response:
    raw = request.scope.get("raw_path") or b""
    if len(request.path) > MAX_TARGET:
        raise RegistryError(URI_TOO_LONG)
    if b"%2f" in raw or b"%2F" in raw:
        # An encoded "/" is one to us and none to a proxy that guards some paths.
        raise RegistryError(NAME_INVALID, "the path has an encoded '/'")
    if request.method == "OPTIONS":
        # As in the Docker registry: a browser asks so before it lets a page of another origin
        # in, without credentials; `http.headers` say whether it may.
        return empty(200, (b"allow", ", ".join(allowed(request.path)).encode("ascii")))
    found = match(request.method, request.path)
    call = Call(site, request, found.name, found.reference)
    if not site.gate.open:
        asking = auth_request(request, site.addresses)
        call.identity = await site.gate.admit(asking, found.accesses)
    return await found.endpoint.handler(call)


async def _send_stream(
    site: Site, request: Request, response: Response, receive: Receive, send: Send
) -> None:
    assert response.stream is not None
    async with response.stream as pieces:
        response.headers += [VERSION_HEADER, *site.headers]
        # Most servers take what is sent also when the client is gone; others raise OSError.
        leaving = asyncio.ensure_future(_left(request, receive))
        try:
            await send(response.start())
            file = getattr(pieces, "file", None)
            if file is not None and ZERO_COPY in (request.scope.get("extensions") or ()):
                await _send_file(file, leaving, send)
            else:
                async for piece in pieces:
                    if leaving.done():
                        return
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (StorageError, RegistryError) as error:
            # The status is out already; a body that breaks off is the only way to tell.
            log.error("%s broke off: %s: %s", request.path, type(error).__name__, error)
        except OSError as error:
            log.debug("%s: the client is gone: %s", request.path, error)
        finally:
            leaving.cancel()


async def _send_file(file: FileSpan, leaving: asyncio.Future[None], send: Send) -> None:
    """Let the kernel send the bytes, a part at a time."""
    for start in range(file.start, file.stop, _PART):
        if leaving.done():
            return
        await send(
            {
                "type": ZERO_COPY,
                "file": file.descriptor,
                "offset": start,
                "count": min(_PART, file.stop - start),
                "more_body": True,
            }
        )


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
