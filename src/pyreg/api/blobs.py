"""`/v2/<name>/blobs/<digest>`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pyreg.api.call import Call
from pyreg.api.conditions import Unsatisfiable, etag, ranges, unchanged
from pyreg.api.message import Headers, Response, empty
from pyreg.content import layout
from pyreg.content.blobs import Blob
from pyreg.content.media_types import OCTETS
from pyreg.errors import RANGE_INVALID, RegistryError

# Content under a digest never changes.
_FOREVER = (b"cache-control", b"max-age=31536000")
_OCTETS = (b"content-type", OCTETS.encode("ascii"))


async def get_blob(call: Call) -> Response:
    """end-2, GET and HEAD (OCI distribution specification, "Pulling blobs")."""
    request = call.request
    blobs = call.repository.blobs
    blob = await blobs.stat(call.reference)
    headers: Headers = [
        (b"docker-content-digest", blob.digest.encode("ascii")),
        (b"etag", etag(blob.digest)),
        _FOREVER,
    ]
    if unchanged(request, blob.digest):
        blobs.pulled(blob)
        return Response(304, headers)
    redirect = await _redirect(call, blob)
    if redirect is not None:
        blobs.pulled(blob)
        return empty(307, (b"location", redirect.encode("latin-1")), *headers)
    headers.append((b"accept-ranges", b"bytes"))
    if request.method == "HEAD":
        blobs.pulled(blob)  # as in the Docker registry
        return Response(200, [_OCTETS, (b"content-length", b"%d" % blob.size), *headers])
    try:
        wanted = ranges(request, blob.digest, blob.size)
    except Unsatisfiable:
        raise RegistryError(
            RANGE_INVALID,
            f"the blob has {blob.size} bytes",
            headers=[("Content-Range", f"bytes */{blob.size}")],
        ) from None
    if wanted is None:
        headers += [_OCTETS, (b"content-length", b"%d" % blob.size)]
        data = await blobs.small(blob)
        if data is not None:
            return Response(200, headers, data)
        return Response(200, headers, stream=blobs.read(blob))
    if len(wanted) == 1:
        start, stop = wanted[0]
        headers += [
            _OCTETS,
            (b"content-length", b"%d" % (stop - start)),
            (b"content-range", _content_range(start, stop, blob.size)),
        ]
        return Response(206, headers, stream=blobs.read(blob, start, stop))
    return _multipart(call, blob, wanted, headers)


async def _redirect(call: Call, blob: Blob) -> str | None:
    driver = call.site.store.driver
    if not (call.site.redirect and driver.capabilities.redirect):
        return None
    return await driver.redirect_url(layout.blob_data(blob.stored), method=call.request.method)


def _content_range(start: int, stop: int, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (start, stop - 1, size)


def _multipart(call: Call, blob: Blob, wanted: list[tuple[int, int]], headers: Headers) -> Response:
    """Several ranges as `multipart/byteranges` (RFC 9110, section 14.6)."""
    boundary = uuid.uuid4().hex.encode()
    heads = [
        b"\r\n--%s\r\ncontent-type: %s\r\ncontent-range: %s\r\n\r\n"
        % (boundary, _OCTETS[1], _content_range(start, stop, blob.size))
        for start, stop in wanted
    ]
    tail = b"\r\n--%s--\r\n" % boundary
    length = sum(map(len, heads)) + sum(stop - start for start, stop in wanted) + len(tail)

    @asynccontextmanager
    async def stream() -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            for head, (start, stop) in zip(heads, wanted, strict=True):
                yield head
                async with call.repository.blobs.read(blob, start, stop) as part:
                    async for piece in part:
                        yield piece
            yield tail

        yield pieces()

    return Response(
        206,
        [
            (b"content-type", b"multipart/byteranges; boundary=" + boundary),
            (b"content-length", b"%d" % length),
            *headers,
        ],
        stream=stream(),
    )


async def delete_blob(call: Call) -> Response:
    """end-10 (OCI distribution specification, "Deleting Blobs")."""
    await call.repository.blobs.delete(call.reference)
    return empty(202)
