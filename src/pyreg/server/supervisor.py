"""The parent process: it owns the listening sockets and looks after the workers.

It serves no request itself, and it runs no plugin, so that there is little in it that can
fail. Signals: SIGTERM and SIGINT drain and stop, a second one stops at once; SIGHUP reads the
configuration again, starts new workers with it, and only then lets the old ones finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyreg.config import Configuration
from pyreg.errors import ConfigurationError
from pyreg.server import logs, systemd
from pyreg.server.control import RETIRE, STOP, Order
from pyreg.server.process import Generation, StartError
from pyreg.server.sockets import UNIX, BindError, Listener, inherited, listen

logger = logging.getLogger("pyreg.server")

FACTORY = "pyreg.app:Registry.from_configuration"
"""What makes the application of a configuration, in the worker."""

GRACE = 15.0
"""Seconds beyond `http.draintimeout` after which a worker that has not ended is killed."""


@dataclass(frozen=True)
class Serving:
    """What is told when the server answers.

    Attributes:
        configuration: The configuration in force.
        urls: Where it listens: `http://127.0.0.1:5000`, `http+unix:/run/pyreg.sock`.
        open: Whether other machines can reach it, and nobody needs credentials.
        workers: How many processes serve.
    """

    configuration: Configuration
    urls: tuple[str, ...]
    open: bool
    workers: int


class Supervisor:
    """Runs a registry as a server.

    Args:
        configuration: The registry's.
        reload: Reads the configuration again, for SIGHUP; raises `ConfigurationError`.
        bind: Addresses to listen on instead of `http.addr`; see `sockets.listen`. Sockets that
            systemd passes come before both.
        workers: How many processes serve, instead of `http.workers`.
        factory: `module:name` of a callable that makes the ASGI application of a configuration.
            Where the application has a method `configure_server`, it is called with the
            `hypercorn.Config` before the first connection is taken.
        uvloop: Whether to use uvloop where it is installed.
        on_serving: Called when the server answers, for the first time and after a reload.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        reload: Callable[[], Configuration] | None = None,
        bind: Sequence[str] = (),
        workers: int | None = None,
        factory: str = FACTORY,
        uvloop: bool = True,
        on_serving: Callable[[Serving], None] | None = None,
    ) -> None:
        self._configuration = configuration
        self._read_again = reload
        self._bind = tuple(bind)
        self._workers = workers
        self._factory = factory
        self._uvloop = uvloop
        self._on_serving = on_serving
        self._listeners: list[Listener] = []
        self._from_systemd = False
        self._generations: set[Generation] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """Serve until told to stop by a signal.

        Raises:
            BindError: an address cannot be listened on.
            StartError: the workers cannot start, or not any more.
        """
        self._listeners = inherited(os.environ)
        self._from_systemd = bool(self._listeners)
        try:
            if not self._from_systemd:
                for address, redirect in self._addresses(self._configuration):
                    self._listeners.append(listen(address, redirect=redirect))
            asyncio.run(self._supervise())
        finally:
            self._close_listeners()

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()
        self._failure: asyncio.Future[StartError] = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        self._spawn(self._start())
        ends: set[asyncio.Future[Any]] = {asyncio.create_task(self._stop.wait()), self._failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._notify(systemd.STOPPING)
        for task in self._tasks:
            task.cancel()
        self._close_listeners()
        limit = self._configuration.http.draintimeout + GRACE
        await asyncio.gather(*(each.end(STOP, limit) for each in self._generations))
        if self._failure.done():
            raise self._failure.result()
        logger.info("stopped")

    async def _start(self) -> None:
        """Bring up the first workers, then reload whenever that is asked for."""
        generation = self._generation(self._configuration, self._listeners)
        try:
            said = await generation.start()
        except StartError as error:
            self._fail(error)
            return
        self._announce(said)
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            self._notify(systemd.reloading())
            generation = await self._reload(generation)
            self._notify(systemd.READY)

    async def _reload(self, old: Generation) -> Generation:
        """Go over to a new configuration, or stay with the old one and say why."""
        logger.info("reloading")
        try:
            configuration = self._read_again() if self._read_again else self._configuration
            listeners = self._listen_again(configuration)
        except (ConfigurationError, BindError) as error:
            self._keep_old(str(error).splitlines())
            return old
        new = self._generation(configuration, listeners)
        unused = set(listeners) - set(self._listeners)
        try:
            said = await new.start()
            unused = set(self._listeners) - set(listeners)
            self._configuration, self._listeners = configuration, listeners
        except StartError as error:
            self._generations.discard(new)
            self._keep_old(error.lines)
            return old
        finally:
            for listener in unused:
                listener.close()
        set_up_logs(configuration)
        self._announce(said)
        self._spawn(self._retire(old))
        return new

    async def _retire(self, old: Generation) -> None:
        await old.end(RETIRE, None)
        self._generations.discard(old)
        logger.info("the workers of the old configuration are done")

    def _generation(
        self, configuration: Configuration, listeners: Sequence[Listener]
    ) -> Generation:
        order = Order(
            factory=self._factory,
            configuration=configuration,
            descriptors=_numbers(each for each in listeners if not each.redirect),
            redirects=_numbers(each for each in listeners if each.redirect),
            uvloop=self._uvloop,
            exposed=any(listener.exposed for listener in listeners),
        )
        generation = Generation(order, self._count(configuration), self._fail)
        self._generations.add(generation)
        return generation

    def _listen_again(self, configuration: Configuration) -> list[Listener]:
        """The sockets of a new configuration; those that it shares with the old one stay."""
        if self._from_systemd:
            return self._listeners
        kept = {(listener.address, listener.redirect): listener for listener in self._listeners}
        listeners: list[Listener] = []
        try:
            for address, redirect in self._addresses(configuration):
                old = kept.get((address, redirect))
                listeners.append(old or listen(address, redirect=redirect))
        except BindError:
            for listener in set(listeners) - set(kept.values()):
                listener.close()
            raise
        return listeners

    def _addresses(self, configuration: Configuration) -> list[tuple[str, bool]]:
        """Where to listen, and whether that is only to redirect."""
        http = configuration.http
        found = self._bind or [f"{UNIX}{http.addr}" if http.net == "unix" else http.addr]
        addresses = [(address, False) for address in found]
        if http.tls.redirect:
            addresses.append((http.tls.redirect, True))
        return addresses

    def _count(self, configuration: Configuration) -> int:
        return self._workers or configuration.http.workers

    def _announce(self, said: dict[str, Any]) -> None:
        urls = []
        for listener in self._listeners:
            if listener.redirect:
                logger.info("requests to http://%s are sent to HTTPS", listener.name)
                continue
            unix = listener.name.startswith(UNIX)
            urls.append(f"{said['scheme']}{'+' if unix else '://'}{listener.name}")
        serving = Serving(
            self._configuration,
            tuple(urls),
            bool(said.get("open")),
            self._count(self._configuration),
        )
        logger.info("serving on %s with %s workers", ", ".join(urls), serving.workers)
        if self._on_serving is not None:
            self._on_serving(serving)
        self._notify(systemd.READY)

    def _keep_old(self, lines: Sequence[str]) -> None:
        for line in lines:
            logger.error("%s", line)
        logger.error("the configuration was not reloaded; the old one stays in force")

    def _fail(self, error: StartError) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    def _on_stop(self) -> None:
        if self._stop.is_set():
            logger.warning("stopping at once")
            for generation in self._generations:
                generation.kill()
        else:
            logger.info("stopping; a second signal stops at once")
            self._stop.set()

    def _close_listeners(self) -> None:
        while self._listeners:
            self._listeners.pop().close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _notify(self, message: str) -> None:
        try:
            systemd.notify(message)
        except OSError as error:
            logger.warning("the service manager cannot be told: %s", error)


def _numbers(listeners: Iterable[Listener]) -> tuple[int, ...]:
    return tuple(listener.sock.fileno() for listener in listeners)


def set_up_logs(configuration: Configuration) -> None:
    """Set up the log of this process as a configuration says."""
    log = configuration.log
    logs.set_up(log.level, log.formatter, log.fields, access=not log.accesslog.disabled)
