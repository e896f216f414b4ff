"""`/v2/`: whether this is a registry (OCI distribution specification, "Determining Support")."""

from __future__ import annotations

from pyreg.api.call import Call
from pyreg.api.message import Response, json_response


async def determine(call: Call) -> Response:
    """end-1."""
    return json_response(b"{}")
