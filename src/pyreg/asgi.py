"""The Quart adapter.

Requests below `/v2/` take the short way: `asgi_http_class`, Quart's extension point for HTTP
connections, hands them to `pyreg.api` with the body unread. Everything else (the blueprints of
plugins, `/`, health) is ordinary Quart.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from quart import Quart
from quart.asgi import ASGIHTTPConnection
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from pyreg.answer import answer
from pyreg.health import BLUEPRINT as HEALTH
from pyreg.hooks.spec import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from pyreg.app import Registry

log = logging.getLogger("pyreg")


MAX_BODY = 1 << 20
"""Bytes that the body of a request to a plugin's route may have; Quart keeps it in memory."""


class RegistryQuart(Quart):
    """A Quart application that belongs to a registry."""

    def __init__(self, registry: Registry) -> None:
        super().__init__("pyreg", static_folder=None, template_folder=None)
        self.registry = registry
        self.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        self.asgi_http_class = RegistryConnection  # type: ignore[assignment]

    def plugin_routes(self) -> PluginRoutes:
        """The paths that blueprints of plugins have routes for."""
        return PluginRoutes(self.url_map)


class PluginRoutes:
    """Tells the paths of plugins from those of a host.

    Args:
        routes: Of the registry's application, after every blueprint was registered.
    """

    def __init__(self, routes: Map) -> None:
        rules = [rule for rule in routes.iter_rules() if not getattr(rule, "websocket", False)]
        # A plugin that names one of these paths, too, would not be asked: the first one wins.
        core = {rule.rule for rule in rules if rule.endpoint.startswith(f"{HEALTH}.")}
        own = [
            Rule(rule.rule, endpoint=rule.endpoint, strict_slashes=rule.strict_slashes)
            for rule in rules
            if rule.rule not in core
        ]
        self._paths = Map(own, converters=routes.converters).bind("")

    def __contains__(self, path: str) -> bool:
        """Whether a route has this path, for whatever method."""
        try:
            self._paths.match(path)
        except NotFound:
            return False
        except RequestRedirect:  # to the same path with or without a slash at its end
            return True
        return True


class RegistryConnection(ASGIHTTPConnection):
    """One HTTP request."""

    app: RegistryQuart

    async def __call__(self, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Answer it."""
        scope: Scope = self.scope  # type: ignore[assignment]
        site = self.app.registry.site
        path = site.addresses.inside(target_path(scope), scope.get("root_path") or "")
        if path is not None and is_ours(path):
            await answer(site, scope, receive, send, path)
            return
        if path is not None:
            # Quart knows of the server's prefix, and not of the configuration's.
            outside = target_path(scope).removesuffix(path)
            self.scope = {**scope, "root_path": outside}  # type: ignore[typeddict-item]
        await super().__call__(receive, send)  # type: ignore[arg-type]


def target_path(scope: Scope) -> str:
    """The decoded path, also of a request target in absolute form (RFC 9112, section 3.2.2)."""
    path: str = scope["path"]
    if not path.startswith("/"):
        _, _, rest = path.partition("://")
        path = "/" + rest.partition("/")[2]
    return path


def is_ours(path: str) -> bool:
    """Whether a path is one of the distribution API."""
    return path.startswith("/v2/") or path == "/v2"


class Front:
    """A registry in front of somebody else's application; see `Registry.front`.

    `/v2` and the routes of the registry's plugins go to the registry, all the rest to the host,
    whose lifespan is passed on. A host without lifespan support stays without; the registry
    starts and stops all the same.
    """

    def __init__(self, registry: Registry, host: ASGIApp) -> None:
        self._registry = registry
        self._host = host
        self._plugin_routes = registry.quart.plugin_routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] == "http":
            path = self._registry.site.addresses.inside(
                target_path(scope), scope.get("root_path") or ""
            )
            if path is not None and (is_ours(path) or path in self._plugin_routes):
                await self._registry(scope, receive, send)
                return
        await self._host(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _HostLifespan(self._host, scope)
        await receive()
        try:
            await self._registry.start()
            failure = await host.startup()
        except Exception as error:
            log.exception("the registry does not start")
            failure = str(error)
        if failure is not None:
            await self._registry.stop()
            await send({"type": "lifespan.startup.failed", "message": failure})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        failure = await host.shutdown()
        await self._registry.stop()
        if failure is not None:
            await send({"type": "lifespan.shutdown.failed", "message": failure})
        else:
            await send({"type": "lifespan.shutdown.complete"})


class _HostLifespan:
    """Plays the server's part of the lifespan protocol towards the host."""

    def __init__(self, host: ASGIApp, scope: Scope) -> None:
        self._to_host: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_host: asyncio.Queue[Any] = asyncio.Queue()
        self._host = host
        self._scope = scope
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> str | None:
        """Start the host; a message if it refuses."""
        self._task = asyncio.create_task(self._run())
        return await self._exchange("startup")

    async def shutdown(self) -> str | None:
        """Stop the host; a message if it fails to."""
        assert self._task is not None
        failure = None if self._task.done() else await self._exchange("shutdown")
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        return failure

    async def _run(self) -> None:
        try:
            await self._host(self._scope, self._to_host.get, self._from_host.put)
        except Exception as error:
            # By the ASGI specification this is how an application says that it has no lifespan.
            log.debug("the host has no lifespan: %r", error)
        finally:
            self._from_host.put_nowait(None)

    async def _exchange(self, phase: str) -> str | None:
        await self._to_host.put({"type": f"lifespan.{phase}"})
        message = await self._from_host.get()
        if message is not None and message["type"] == f"lifespan.{phase}.failed":
            return str(message.get("message") or f"the host's {phase} failed")
        return None
