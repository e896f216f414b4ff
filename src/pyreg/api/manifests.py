"""`/v2/<name>/manifests/<reference>`."""

from __future__ import annotations

import json

from pyreg.api.accept import accepts
from pyreg.api.call import Call
from pyreg.api.conditions import etag, precondition, unchanged
from pyreg.api.message import Response, empty
from pyreg.content.manifests import StoredManifest
from pyreg.content.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from pyreg.errors import MANIFEST_UNKNOWN, TAG_INVALID, RegistryError

_LINE = 10  # tags in one line of OCI-Tag


async def get_manifest(call: Call) -> Response:
    """end-3, GET and HEAD (OCI distribution specification, "Pulling manifests")."""
    request = call.request
    try:
        found = await call.repository.manifests.get(call.reference)
    except RegistryError as error:
        if error.code is TAG_INVALID:
            # There cannot be such a manifest, so it is unknown; a pull has no other error.
            raise RegistryError(MANIFEST_UNKNOWN, error.message, detail=error.detail) from None
        raise
    accept = request.headers(b"accept")
    if accept and not accepts(accept, found.media_type):
        found = await _other(call, found, accept)
    digest = found.digest.encode("ascii")
    if unchanged(request, found.digest):
        return Response(304, [(b"etag", etag(found.digest)), (b"docker-content-digest", digest)])
    return Response(
        200,
        [
            (b"content-type", found.media_type.encode("ascii")),
            (b"content-length", b"%d" % len(found.payload)),
            (b"docker-content-digest", digest),
            (b"etag", etag(found.digest)),
        ],
        found.payload,
    )


async def _other(call: Call, found: StoredManifest, accept: list[str]) -> StoredManifest:
    """What a client gets that does not accept what is there; as in the Docker registry."""
    if found.media_type == DOCKER_LIST and found.tag and accepts(accept, DOCKER_MANIFEST):
        # A client from before manifest lists: it can only run on this platform.
        for child in json.loads(found.payload)["manifests"]:
            platform = child.get("platform") or {}
            if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
                return await call.repository.manifests.get(child["digest"])
    if found.media_type in (OCI_MANIFEST, OCI_INDEX):
        raise RegistryError(
            MANIFEST_UNKNOWN,
            f"the manifest is of type {found.media_type}, which the Accept header does not allow",
            detail={"digest": found.digest, "mediaType": found.media_type},
        )
    return found


async def put_manifest(call: Call) -> Response:
    """end-7a, end-7b (OCI distribution specification, "Pushing Manifests")."""
    request = call.request
    payload = await request.body.whole(call.site.store.rules.max_manifest)
    extra = request.parameters("tag")
    if extra and ":" not in call.reference:
        raise RegistryError(
            TAG_INVALID, "tag parameters go with a push by digest", detail={"tag": extra[:10]}
        )
    pushed = await call.repository.manifests.put(
        payload,
        call.reference,
        media_type=request.header(b"content-type"),
        tag=extra,
        expected=precondition(request),
    )
    headers = [
        call.location(f"/v2/{call.name}/manifests/{pushed.digest}"),
        (b"docker-content-digest", pushed.digest.encode("ascii")),
    ]
    if extra:
        # Lines of several tags: many clients take no more than 100 headers.
        headers += [
            (b"oci-tag", ", ".join(pushed.tags[at : at + _LINE]).encode("ascii"))
            for at in range(0, len(pushed.tags), _LINE)
        ]
    if pushed.subject:
        headers.append((b"oci-subject", pushed.subject.encode("ascii")))
    return empty(201, *headers)


async def delete_manifest(call: Call) -> Response:
    """end-9, of a manifest or a tag."""
    try:
        await call.repository.manifests.delete(call.reference)
    except RegistryError as error:
        if error.code is TAG_INVALID:
            raise RegistryError(MANIFEST_UNKNOWN, error.message, detail=error.detail) from None
        raise
    return empty(202)
