"""`/v2/<name>/tags/list` (OCI distribution specification, "Listing Tags")."""

from __future__ import annotations

import json

from pyreg.api import paging
from pyreg.api.call import Call
from pyreg.api.message import Response, json_response


async def list_tags(call: Call) -> Response:
    """end-8a, end-8b."""
    limit = paging.wanted(call)
    page = await call.repository.tags.list(limit=limit, last=call.request.parameter("last") or "")
    headers = []
    if page.more and page.names:
        # The page may be smaller than was asked for; the next one shall be asked for alike.
        size = len(page.names) if limit is None else limit
        headers.append(
            paging.next_link(call, f"/v2/{call.name}/tags/list", last=page.names[-1], n=size)
        )
    body = json.dumps({"name": call.name, "tags": list(page.names)}, separators=(",", ":"))
    return json_response(body.encode(), *headers)
