"""`/` and `/debug/health`: whether the registry is well."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from quart import Blueprint, Response

from pyreg.errors import StorageError
from pyreg.hooks.storage import StorageDriver

log = logging.getLogger("pyreg")

PATIENCE = 5.0
"""Seconds in which the storage must answer."""

BLUEPRINT = "pyreg-health"


def storage_check(driver: StorageDriver) -> Callable[[], Awaitable[str | None]]:
    """A check that the storage answers.

    Args:
        driver: Of an open storage.
    """

    async def storage() -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await driver.list("", delimiter="/", limit=1)
        except (StorageError, TimeoutError) as error:
            # The address is as public as the registry: no keys, no names of services.
            log.error("the storage is not well: %s: %s", type(error).__name__, error)
            return "the storage does not answer as it should; the log says more"
        return None

    return storage


def health_blueprint(
    checks: Sequence[Callable[[], Awaitable[str | None]]],
    notes: Callable[[], Awaitable[Mapping[str, str]]],
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
            getattr(check, "__name__", repr(check)): message
            for check in checks
            if (message := await check()) is not None
        }
        status = 503 if report else 200
        if noted := await notes():
            report["notes"] = dict(noted)
        return Response(json.dumps(report), status, content_type="application/json")

    return blueprint
