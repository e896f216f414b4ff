"""The application's own start and stop (ASGI specification, "Lifespan Protocol")."""

from __future__ import annotations

import asyncio
from typing import Any


class StartFailed(Exception):
    """The application said `lifespan.startup.failed`; the message is its own."""


class Lifespan:
    """Starts and stops an application.

    Hypercorn's goes on without lifespan when the application raises; a registry whose storage
    does not open must not serve, so here that is the end.

    Args:
        app: The ASGI application.
        state: For what the application wants to have in every request's scope.
    """

    def __init__(self, app: Any, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the application; one that knows no lifespan and returns is fine.

        Raises:
            StartFailed: it says that it cannot.
            Exception: whatever the application raises.
        """
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        self._task = asyncio.create_task(
            self._app(scope, self._inbox.get, self._outbox.put), name="lifespan"
        )
        await self._ask("startup")

    async def stop(self) -> None:
        """Stop it.

        Raises:
            StartFailed: it says that it could not end in order.
            Exception: whatever the application raises.
        """
        if self._task is not None and not self._task.done():
            await self._ask("shutdown")
            await self._task

    async def _ask(self, phase: str) -> None:
        assert self._task is not None
        await self._inbox.put({"type": f"lifespan.{phase}"})
        answer = asyncio.create_task(self._outbox.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await self._task
        elif answer.result()["type"] == f"lifespan.{phase}.failed":
            self._task.cancel()
            await asyncio.wait({self._task})
            raise StartFailed(answer.result().get("message", "") or f"{phase} failed")
