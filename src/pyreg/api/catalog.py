"""`/v2/_catalog`: the Docker registry's list of repositories."""

from __future__ import annotations

import json
from functools import partial

from pyreg.api import paging
from pyreg.api.call import Call
from pyreg.api.message import Response, json_response
from pyreg.content import catalog

DEFAULT = 100
"""Names in a page when the client does not say how many."""


async def list_repositories(call: Call) -> Response:
    """The names of all repositories that the caller may see, in pages."""
    store = call.site.store
    most = store.rules.max_repositories
    wanted = paging.wanted(call, most=most)
    limit = min(DEFAULT, most) if wanted is None else wanted
    page = await catalog.page(
        store,
        limit=limit,
        last=call.request.parameter("last") or "",
        shows=None
        if call.site.gate.sees_everything(call.identity)
        else partial(call.site.gate.shows, call.identity),
    )
    headers = []
    if page.more and page.names:
        headers.append(paging.next_link(call, "/v2/_catalog", last=page.names[-1], n=limit))
    body = json.dumps({"repositories": list(page.names)}, separators=(",", ":"))
    return json_response(body.encode(), *headers)
