"""`/` and `/debug/health`: whether the registry is well."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from quart import Blueprint, Response

BLUEPRINT = "pyreg-health"


def health_blueprint(
    checks: Sequence[Callable[[], Awaitable[str | None]]],
    notes: Callable[[], Mapping[str, str]] = dict,
) -> Blueprint:
    """The routes.

    Args:
        checks: Each answers None when well, else a sentence that says what is wrong.
        notes: What an operator should know of though nothing is wrong: a sentence by a name of
            its own. They stand below `notes` in the answer and never make it a 503.
    """
    blueprint = Blueprint(BLUEPRINT, __name__)

    @blueprint.get("/")
    async def root() -> Response:
        # For load balancers, as in the Docker registry.
        return Response(b"", headers={"Cache-Control": "no-cache"})

    @blueprint.get("/debug/health")
    async def health() -> Response:
        report: dict[str, Any] = {
            getattr(check, "__qualname__", repr(check)): message
            for check in checks
            if (message := await check()) is not None
        }
        status = 503 if report else 200
        if noted := notes():
            report["notes"] = dict(noted)
        return Response(json.dumps(report), status, content_type="application/json")

    return blueprint
