"""`Registry`: puts the parts together, starts and stops them. It alone knows everyone."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pyreg.access import OPEN_TO_ALL, Gate
from pyreg.api.address import Addresses
from pyreg.api.admission import RegistryAccess
from pyreg.api.call import Site
from pyreg.asgi import Front, RegistryQuart
from pyreg.content import catalog
from pyreg.content.journal import NOBODY, Caller
from pyreg.content.names import check_name
from pyreg.content.purge import Purger
from pyreg.content.repository import Repository
from pyreg.content.rules import Rules
from pyreg.content.store import Store
from pyreg.content.uploads import Uploads
from pyreg.errors import PluginError, StorageError
from pyreg.health import health_blueprint, storage_check
from pyreg.hooks.auth import Identity
from pyreg.hooks.events import Subscription
from pyreg.hooks.metrics import Metric
from pyreg.hooks.spec import ASGIApp, Receive, Scope, Send
from pyreg.hooks.storage import StorageDriver
from pyreg.instrument import Instrumented
from pyreg.outbox import Outbox
from pyreg.participants import Participants

if TYPE_CHECKING:
    import hypercorn

    from pyreg.config import Configuration

log = logging.getLogger("pyreg")


class Registry:
    """A container registry: an ASGI application, and a Python API under it.

    ```python
    async with Registry(storage=InMemoryStorage()) as registry:
        ubuntu = registry.repository("library/ubuntu")
        digest = await ubuntu.blobs.put(b"...")
    ```

    Nothing is shared between two registries of a process but what they are given.

    Args:
        storage: A storage driver; None takes the one of a plugin.
        plugins: Instances of plugins, in the order in which they are asked.
        rules: Limits and switches. Deletes are allowed unless these say otherwise.
        addresses: How clients reach the registry; taken from each request unless told.
        headers: Added to every response.
        idle: Seconds after which a client that moves no byte is dropped; None for never.
        memory: Bytes to remember of what never changes.
        redirect: Whether clients may be sent to the storage service for blobs.
        purger: Removes uploads that nobody finished; None leaves them.
        subscriptions: What event sinks hear of, by their names; others hear of everything.
        source: What events say of where they come from: `host:port`.

    Raises:
        PluginError: a plugin does not keep to the contract, or there is no storage.
    """

    def __init__(
        self,
        storage: StorageDriver | None = None,
        *,
        plugins: Sequence[object] = (),
        rules: Rules | None = None,
        addresses: Addresses | None = None,
        headers: Mapping[str, Sequence[str]] | None = None,
        idle: float | None = 60.0,
        memory: int = 32 << 20,
        redirect: bool = True,
        purger: Purger | None = None,
        subscriptions: Mapping[str, Subscription] | None = None,
        source: str = "",
    ) -> None:
        self.participants = Participants(plugins)
        driver = storage or self.participants.storage()
        if driver is None:
            raise PluginError("a registry needs storage: no plugin has any")
        self.driver = self.participants.wrap_storage(Instrumented(driver))
        self._outbox = Outbox(
            self.participants,
            self.participants.event_sinks(),
            self.driver,
            subscriptions=subscriptions,
            source=source,
        )
        store = Store(self.driver, rules or Rules(delete=True), self._outbox, memory=memory)
        self.gate = Gate(self.participants.authenticators(), self.participants.authorizers())
        self.site = Site(
            store=store,
            uploads=Uploads(store),
            gate=self.gate,
            addresses=addresses or Addresses(),
            headers=[
                (name.lower().encode("ascii"), value.encode("latin-1"))
                for name, values in (headers or {}).items()
                for value in values
            ],
            idle=idle,
            redirect=redirect,
        )
        self.participants.give_access(RegistryAccess(self.gate, self.site.addresses))
        self.participants.give_metrics(self.metrics)
        self._purger = purger
        self._purging: asyncio.Task[None] | None = None
        self._exposed = False
        self._started = False
        self._starting = asyncio.Lock()
        self.quart = RegistryQuart(self)
        self.quart.register_blueprint(
            health_blueprint(
                [storage_check(self.driver), *self.participants.health_checks()], self._notes
            )
        )
        for blueprint in self.participants.blueprints():
            self.quart.register_blueprint(blueprint)
        self.quart.after_request(self._add_headers)
        self._app: ASGIApp = self.participants.wrap_asgi(self.quart)  # type: ignore[arg-type]

    @classmethod
    def from_configuration(cls, configuration: Configuration) -> Registry:
        """The registry that a configuration describes.

        Raises:
            ConfigurationError: with every plugin that is missing or broken, and every mistake
                in their options.
            PluginError: a plugin cannot do what its options say.
        """
        from pyreg.assembly import assemble

        return assemble(cls, configuration)

    def repository(self, name: str, *, identity: Identity | None = None) -> Repository:
        """A repository: `manifests`, `tags`, `blobs` and `referrers`.

        The same checks, guards and events apply as over HTTP; access control does not.

        Args:
            name: It need not exist yet.
            identity: On whose behalf, for guards and events.

        Raises:
            RegistryError: NAME_INVALID.
        """
        caller = NOBODY if identity is None else Caller(identity)
        return Repository(self.site.store, self.site.uploads, check_name(name), caller)

    def repositories(self, *, last: str = "") -> AsyncIterator[str]:
        """The names of all repositories that have a manifest, in the order of their bytes.

        Args:
            last: Only names behind this one.
        """
        return catalog.repositories(self.site.store, last=last)

    async def reindex(
        self, names: Sequence[str] = (), *, progress: Callable[[str, int], None] | None = None
    ) -> int:
        """Look through stored manifests for subjects, so that referrers list them.

        Args:
            names: Repositories; none means all.
            progress: Called after each repository with its name and its number of referrers.

        Returns:
            How many manifests with a subject there are.
        """
        total = 0

        async def one(name: str) -> None:
            nonlocal total
            found = await self.repository(name).referrers.index()
            total += found
            if progress is not None:
                progress(name, found)

        if names:
            for name in names:
                await one(name)
        else:
            async for name in self.repositories():
                await one(name)
        return total

    def front(self, host: ASGIApp) -> ASGIApp:
        """This registry in front of another ASGI application (Quart, FastAPI, Django, ...).

        Requests to `/v2` go to the registry, all others to the host. The host's lifespan goes
        on working.
        """
        return Front(self, host)

    async def _add_headers(self, response: Any) -> Any:
        """`http.headers`, on what Quart answers."""
        for name, value in self.site.headers:
            response.headers.add(name.decode("ascii"), value.decode("latin-1"))
        return response

    @property
    def open_to_all(self) -> bool:
        """Whether other machines reach the registry, as far as it knows, without credentials."""
        return self.gate.open and self._exposed

    async def _notes(self) -> dict[str, str]:
        """What `/debug/health` tells an operator though nothing is wrong."""
        notes = {"access": OPEN_TO_ALL} if self.open_to_all else {}
        return notes | await self._outbox.notes()

    def metrics(self) -> Iterable[Metric]:
        """Figures of this process, for whoever publishes them."""
        return self._outbox.metrics()

    def configure_server(self, config: hypercorn.Config) -> None:
        """Let plugins change how Hypercorn runs."""
        self.participants.configure_server(config)
        # Where the server asks every client for a certificate, that is what lets it in.
        certified = config.verify_mode is ssl.CERT_REQUIRED
        self._exposed = getattr(config, "exposed", False) and not certified

    async def start(self) -> None:
        """Open the storage and start every plugin; once, however often it is called.

        Raises:
            StorageError: the storage cannot be used.
        """
        async with self._starting:
            if self._started:
                return
            await self.driver.open()
            try:
                await self.participants.startup()
                await self._outbox.start()
                await self.quart.startup()
            except BaseException:
                await self._close()
                raise
            if self._purger is not None:
                self._purging = asyncio.create_task(self._purger.run(self.site.uploads))
            self._started = True

    async def stop(self) -> None:
        """Stop everything; idempotent. The registry can be started again."""
        async with self._starting:
            if not self._started:
                return
            self._started = False
            if self._purging is not None:
                self._purging.cancel()
                await asyncio.gather(self._purging, return_exceptions=True)
                self._purging = None
            await self.quart.shutdown()
            await self._close()

    async def _close(self) -> None:
        try:
            await self._outbox.stop()
        finally:
            try:
                await self.participants.shutdown()
            finally:
                await self.driver.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application. Without a lifespan, the first request starts the registry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if not self._started:
            await self.start()
        await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except (StorageError, PluginError) as error:  # says what is wrong by itself
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        except Exception as error:
            log.exception("the registry does not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})
