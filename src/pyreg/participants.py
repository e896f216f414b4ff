"""The plugins of one registry, as one typed object: a method for each hook.

Nobody else touches pluggy. Asynchronous hooks are awaited one after the other here, which pluggy
itself cannot do.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pyreg.hooks.auth import AccessControl, Authenticator, Authorizer, Identity
from pyreg.hooks.events import Event, EventSink, Operation
from pyreg.hooks.metrics import Metric
from pyreg.hooks.spec import ASGIApp
from pyreg.hooks.storage import StorageDriver
from pyreg.plugins import register

if TYPE_CHECKING:
    import hypercorn
    import quart

log = logging.getLogger("pyreg.plugins")


class Participants:
    """Calls plugins in the order in which they were given.

    Args:
        plugins: Instances.

    Raises:
        PluginError: one of them does not keep to the contract.
    """

    def __init__(self, plugins: Sequence[object]) -> None:
        self._manager = register(plugins)
        self._plugins = tuple(plugins)
        self._running: list[object] = []
        self._guards = self._functions("pyreg_guard")
        self._observers = self._functions("pyreg_observe")

    def _functions(self, hook: str) -> list[Callable[..., Any]]:
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return [_by_name(item) for item in reversed(implementations)]

    def _collect(self, hook: str) -> list[Any]:
        return [found for call in self._functions(hook) if (found := call()) is not None]

    def storage(self) -> StorageDriver | None:
        """The first plugin's storage driver."""
        found: StorageDriver | None = self._manager.hook.pyreg_storage()
        return found

    def wrap_storage(self, driver: StorageDriver) -> StorageDriver:
        """The driver in the wrappers of all plugins; the first plugin's is outermost."""
        for wrap in reversed(self._functions("pyreg_storage_wrapper")):
            driver = wrap(driver=driver) or driver
        return driver

    def authenticators(self) -> list[Authenticator]:
        """All authenticators."""
        return self._collect("pyreg_authenticator")

    def authorizers(self) -> list[Authorizer]:
        """All authorizers."""
        return self._collect("pyreg_authorizer")

    def give_access(self, access: AccessControl) -> None:
        """Hand the registry's own decisions to all that ask for them."""
        for call in self._functions("pyreg_access"):
            call(access=access)

    def give_metrics(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Hand out the registry's figures to all that publish them."""
        for call in self._functions("pyreg_metrics"):
            call(collect=collect)

    def event_sinks(self) -> list[EventSink]:
        """All event sinks."""
        return self._collect("pyreg_event_sink")

    def blueprints(self) -> list[quart.Blueprint]:
        """All blueprints."""
        return self._collect("pyreg_blueprint")

    def health_checks(self) -> list[Callable[[], Awaitable[str | None]]]:
        """All health checks."""
        return self._collect("pyreg_health")

    def wrap_asgi(self, app: ASGIApp) -> ASGIApp:
        """The application in the wrappers of all plugins; the first plugin's is outermost."""
        for wrap in reversed(self._functions("pyreg_asgi_wrapper")):
            app = wrap(app=app) or app
        return app

    def configure_server(self, config: hypercorn.Config) -> None:
        """Let plugins change how Hypercorn runs."""
        for call in self._functions("pyreg_server_config"):
            call(config=config)

    async def startup(self) -> None:
        """Tell every plugin that the registry starts; the first that raises ends it."""
        calls = self._by_plugin("pyreg_startup")
        for plugin in self._plugins:
            if id(plugin) in calls:
                await calls[id(plugin)]()
            self._running.append(plugin)

    async def shutdown(self) -> None:
        """Tell every plugin that was started, in the opposite order, that the registry stops."""
        calls = self._by_plugin("pyreg_shutdown")
        while self._running:
            plugin = self._running.pop()
            if id(plugin) in calls:
                try:
                    await calls[id(plugin)]()
                except Exception:
                    # The others, and the storage, have to be closed all the same.
                    log.exception("%s does not stop in order", type(plugin).__qualname__)

    def _by_plugin(self, hook: str) -> dict[int, Callable[..., Any]]:
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return {id(item.plugin): _by_name(item) for item in implementations}

    @property
    def has_observers(self) -> bool:
        """Whether anybody observes."""
        return bool(self._observers)

    @property
    def has_guards(self) -> bool:
        """Whether anybody may refuse a write."""
        return bool(self._guards)

    async def guard(self, operation: Operation, identity: Identity) -> None:
        """Ask every guard.

        Raises:
            Refused: by the first that refuses.
        """
        for call in self._guards:
            await call(operation=operation, identity=identity)

    async def observe(self, event: Event) -> None:
        """Tell every observer."""
        for call in self._observers:
            try:
                await call(event=event)
            except Exception:
                # What is committed stays committed, whatever an observer makes of it.
                log.exception("an observer failed on %s of %s", event.action, event.repository)


def _by_name(implementation: Any) -> Callable[..., Any]:
    """A hook's function, called with the arguments that it declares."""
    wanted = set(implementation.argnames)

    def call(**arguments: Any) -> Any:
        return implementation.function(
            **{name: value for name, value in arguments.items() if name in wanted}
        )

    return call
