"""`/v2/<name>/blobs/uploads/` and `/v2/<name>/blobs/uploads/<id>`."""

from __future__ import annotations

import re
import uuid

from pyreg.api.call import Call
from pyreg.api.message import Headers, Response, empty
from pyreg.content.digest import ALGORITHMS, CANONICAL, Digest, unsupported_algorithm
from pyreg.content.names import check_name
from pyreg.content.progress import Progress, Upload
from pyreg.errors import (
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    RANGE_INVALID,
    SIZE_INVALID,
    RegistryError,
)

_OCTETS = ("application/octet-stream", "application/x-www-form-urlencoded", "")
_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?")


async def begin_upload(call: Call) -> Response:
    """end-4a, end-4b, end-4c and end-11: a new upload, a whole blob at once, or a mount."""
    request = call.request
    mount = request.parameter("mount")
    if mount is not None:
        mounted = await _mount(call, Digest.parse(mount))
        if mounted is not None:
            return mounted
    text = request.parameter("digest")
    digest = None if text is None else Digest.parse(text)
    algorithm = request.parameter("digest-algorithm") or (digest.algorithm if digest else CANONICAL)
    if algorithm not in ALGORITHMS:
        raise unsupported_algorithm(algorithm)
    if digest is not None:
        _check_type(call)
    uploads = call.site.uploads
    upload = await uploads.begin(call.name, algorithm)
    if digest is None:
        return _accepted(call, upload, Progress(0, algorithm, None, ""))
    try:
        return await _finish(call, upload, digest)
    except BaseException:
        # Nobody was told of this upload, so nobody can go on with it.
        await uploads.cancel(upload, missing_ok=True)
        raise


async def _mount(call: Call, digest: Digest) -> Response | None:
    """The blob taken over from another repository; None if that is not possible."""
    source = call.request.parameter("from")
    if source:
        if not await call.may_pull(check_name(source)):
            return None  # to this caller the source does not exist
    elif not call.site.gate.open:
        # Anybody who knows a digest could read what he may not see.
        return None
    mounted = await call.repository.blobs.mount(digest, source=source or None)
    return None if mounted is None else _created(call, digest)


async def append(call: Call) -> Response:
    """end-5: a chunk, or everything."""
    upload = _upload(call)
    _check_type(call)
    start, size = _content_range(call)
    body, uploads = call.request.body, call.site.uploads
    try:
        progress = await uploads.append(
            upload,
            body.pieces(uploads.piece_size),
            start=start,
            size=size,
            whole=lambda: not body.cut,
        )
    except RegistryError as error:
        raise _with_offset(call, upload, error) from error
    return _accepted(call, upload, progress)


async def finish(call: Call) -> Response:
    """end-6: the last chunk or none, and the digest of all."""
    upload = _upload(call)
    text = call.request.parameter("digest")
    if text is None:
        raise RegistryError(DIGEST_INVALID, "the digest parameter is missing")
    digest = Digest.parse(text)
    if call.request.has_body:
        _check_type(call)
    try:
        return await _finish(call, upload, digest)
    except RegistryError as error:
        raise _with_offset(call, upload, error) from error


async def _finish(call: Call, upload: Upload, digest: Digest) -> Response:
    request = call.request
    start, size = _content_range(call)
    body, uploads = request.body, call.site.uploads
    await uploads.finish(
        upload,
        digest,
        call.caller,
        pieces=body.pieces(uploads.piece_size) if request.has_body else None,
        start=start,
        size=size if request.has_body else None,
        whole=lambda: not body.cut,
    )
    return _created(call, digest)


async def status(call: Call) -> Response:
    """end-13: how far an upload has come."""
    upload = _upload(call)
    progress = await call.site.uploads.status(upload)
    return empty(204, *_progress(call, upload, progress))


async def cancel(call: Call) -> Response:
    """end-14 (OCI distribution specification, "Cancel a blob upload")."""
    upload = _upload(call)
    call.site.store.rules.require_writable()
    await call.site.uploads.cancel(upload)
    return empty(204, (b"docker-upload-uuid", upload.id.encode("ascii")))


def _upload(call: Call) -> Upload:
    try:
        canonical = str(uuid.UUID(call.reference))
    except ValueError:
        canonical = ""
    if canonical != call.reference:
        raise RegistryError(
            BLOB_UPLOAD_UNKNOWN,
            "not the address of an upload",
            detail={"upload": call.reference[:64]},
        )
    return Upload(call.name, call.reference)


def _check_type(call: Call) -> None:
    header = call.request.header(b"content-type") or ""
    if header.partition(";")[0].strip().lower() not in _OCTETS:
        raise RegistryError(
            BLOB_UPLOAD_INVALID,
            "the Content-Type of a blob is application/octet-stream",
            detail={"contentType": header[:128]},
        )


def _content_range(call: Call) -> tuple[int | None, int | None]:
    """Where the body belongs and how long it is, as far as the client says."""
    length = call.request.body.length
    header = call.request.header(b"content-range")
    if header is None:
        return None, length
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise RegistryError(
            RANGE_INVALID,
            "Content-Range has the form <first byte>-<last byte>",
            detail={"contentRange": header[:128]},
        )
    first, last = int(match[1]), int(match[2])
    size = last - first + 1
    # An empty body is said to reach from its offset to the byte before, or, by some, to itself.
    if length == 0 and size in (0, 1):
        return first, 0
    if size < 1 or (length is not None and length != size):
        raise RegistryError(
            SIZE_INVALID,
            f"Content-Range covers {max(size, 0)} bytes, Content-Length is {length}",
            detail={"contentRange": header[:128], "contentLength": length},
        )
    return first, size


def _with_offset(call: Call, upload: Upload, error: RegistryError) -> RegistryError:
    """A 416 tells where to go on."""
    if error.code is RANGE_INVALID and isinstance(error.detail, dict):
        offset = error.detail.get("offset")
        if offset is not None:
            progress = Progress(offset, CANONICAL, None, "")
            error.headers = tuple(
                (name.decode("ascii"), value.decode("latin-1"))
                for name, value in _progress(call, upload, progress)
            )
    return error


def _progress(call: Call, upload: Upload, progress: Progress) -> Headers:
    return [
        call.location(f"/v2/{call.name}/blobs/uploads/{upload.id}"),
        (b"range", b"0-%d" % max(0, progress.offset - 1)),
        (b"docker-upload-uuid", upload.id.encode("ascii")),
    ]


def _accepted(call: Call, upload: Upload, progress: Progress) -> Response:
    headers = _progress(call, upload, progress)
    least = call.site.store.driver.capabilities.min_part
    if least and call.request.method == "POST":
        headers.append((b"oci-chunk-min-length", b"%d" % least))
    return empty(202, *headers)


def _created(call: Call, digest: Digest) -> Response:
    return empty(
        201,
        call.location(f"/v2/{call.name}/blobs/{digest}"),
        (b"docker-content-digest", digest.encode("ascii")),
    )
