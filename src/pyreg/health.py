"""`/` and `/debug/health`: whether the registry is well."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from quart import Blueprint, Response


def health_blueprint(checks: Sequence[Callable[[], Awaitable[str | None]]]) -> Blueprint:
    """The routes.

    Args:
        checks: Each answers None when well, else a sentence that says what is wrong.
    """
    blueprint = Blueprint("pyreg-health", __name__)

    @blueprint.get("/")
    async def root() -> Response:
        # For load balancers, as in the Docker registry.
        return Response(b"", headers={"Cache-Control": "no-cache"})

    @blueprint.get("/debug/health")
    async def health() -> Response:
        wrong = {
            getattr(check, "__qualname__", repr(check)): message
            for check in checks
            if (message := await check()) is not None
        }
        return Response(json.dumps(wrong), 503 if wrong else 200, content_type="application/json")

    return blueprint
