"""Every hook of pyreg, with its exact signature.

A plugin is a class named by an entry point (see `pyreg.plugins`) whose instances carry methods
marked with `hookimpl`. Hooks are called in the order of the configuration.

Synchronous hooks are called once, at assembly, and hand out the objects that the registry then
calls directly. The hooks declared with `async def` are awaited one after the other. A method
whose `def` or `async def` differs from the specification, or whose name is not one of these, is
refused when the plugin is registered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from pyreg.hooks.auth import AccessControl, Authenticator, Authorizer, Identity
from pyreg.hooks.events import Event, EventSink, Operation
from pyreg.hooks.metrics import Metric
from pyreg.hooks.storage import StorageDriver

if TYPE_CHECKING:
    import hypercorn
    import quart

API_VERSION = (1, 0)
"""The contract's version: (major, minor). A plugin states the one that it was written for."""

PROJECT = "pyreg"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Invocation(Protocol):
    """What a command of a plugin is given as `obj` of its `click.Context`.

    A command is no hook: it has to work before there is a configuration. It is a
    `click.Command` that an entry point of the group `pyreg.command` names.
    """

    def plugins(self, config: str | None) -> list[object]:
        """Instances of the plugins that a configuration asks for, none of them started.

        Args:
            config: Path of the file, `-`, or None for what `pyreg serve` would take.

        Raises:
            click.ClickException: saying what is wrong with it.
        """
        ...


class HookSpecs:
    """The specifications; each method is one hook."""

    @hookspec(firstresult=True)
    def pyreg_storage(self) -> StorageDriver | None:
        """The storage driver. The first plugin that has one wins."""

    @hookspec
    def pyreg_storage_wrapper(self, driver: StorageDriver) -> StorageDriver | None:
        """Wrap the storage driver: a cache, encryption, a redirect. None leaves it as it is."""

    @hookspec
    def pyreg_authenticator(self) -> Authenticator | None:
        """A way to find out who calls. Several may be in force; each is asked in turn."""

    @hookspec
    def pyreg_authorizer(self) -> Authorizer | None:
        """Something that decides who may do what. The first decisive answer wins."""

    @hookspec
    def pyreg_access(self, access: AccessControl) -> None:
        """The registry's own decisions, for routes of the plugin's own; called once."""

    @hookspec
    def pyreg_event_sink(self) -> EventSink | None:
        """Somewhere that events are delivered to."""

    @hookspec
    def pyreg_asgi_wrapper(self, app: ASGIApp) -> ASGIApp | None:
        """Wrap the whole ASGI application. None leaves it as it is."""

    @hookspec
    def pyreg_blueprint(self) -> quart.Blueprint | None:
        """Routes of the plugin's own, outside `/v2/`."""

    @hookspec
    def pyreg_server_config(self, config: hypercorn.Config) -> None:
        """Change how `pyreg serve` runs Hypercorn: certificates, protocols."""

    @hookspec
    def pyreg_health(self) -> Callable[[], Awaitable[str | None]] | None:
        """A health check: answers None when well, else a sentence that says what is wrong."""

    @hookspec
    def pyreg_metrics(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """A function that gives the registry's figures as they are now; called once."""

    @hookspec
    async def pyreg_startup(self) -> None:
        """The registry starts; the storage is open. Raise to keep it from starting."""

    @hookspec
    async def pyreg_shutdown(self) -> None:
        """The registry stops; the storage is still open."""

    @hookspec
    async def pyreg_guard(self, operation: Operation, identity: Identity) -> None:
        """Before a push, mount, delete or tag is committed; raise `Refused` to refuse it."""

    @hookspec
    async def pyreg_observe(self, event: Event) -> None:
        """After it was committed, and after a pull began. An exception is logged, no more."""
