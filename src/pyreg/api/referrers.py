"""`/v2/<name>/referrers/<digest>` (OCI distribution specification, "Listing Referrers")."""

from __future__ import annotations

import json

from pyreg.api import paging
from pyreg.api.call import Call
from pyreg.api.message import Response
from pyreg.content.media_types import OCI_INDEX


async def list_referrers(call: Call) -> Response:
    """end-12a, end-12b; an unknown repository or digest has an empty list, never a 404."""
    request = call.request
    artifact_type = request.parameter("artifactType")
    limit = paging.wanted(call)
    page = await call.repository.referrers.list(
        call.reference,
        artifact_type=artifact_type or None,
        limit=limit,
        last=request.parameter("last") or "",
    )
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(page.descriptors)}
    body = json.dumps(document, separators=(",", ":")).encode()
    headers = [
        (b"content-type", OCI_INDEX.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    parameters: dict[str, str | int] = {}
    if artifact_type:
        headers.append((b"oci-filters-applied", b"artifactType"))
        parameters["artifactType"] = artifact_type
    if page.last is not None:
        if limit is not None:
            parameters["n"] = limit
        path = f"/v2/{call.name}/referrers/{call.reference}"
        headers.append(paging.next_link(call, path, **parameters, last=page.last))
    return Response(200, headers, body)
