"""One worker process: an event loop, an application, and the connections that it accepts.

The supervisor starts it as `python -m pyreg.server.worker DESCRIPTOR`; it has no other use.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import importlib
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from typing import Any

from pyreg.errors import ConfigurationError, PluginError, StorageError
from pyreg.server import logs
from pyreg.server.acceptor import Acceptor, Admit, by_context, encrypted, half_open_limit, in_clear
from pyreg.server.connection import Connection
from pyreg.server.context import ServingContext
from pyreg.server.control import RETIRE, Order, receive_order, report
from pyreg.server.lifespan import Lifespan, StartFailed
from pyreg.server.settings import ServerConfig, server_config

logger = logging.getLogger("pyreg.server")

STOP_IDLE = 1.0
"""Seconds at a stop for which an idle connection may still bring a request, which is answered
with `Connection: close`. Closing at once would cut a client that is about to send."""

RETIRE_IDLE = 5.0
"""The same when other workers have taken over, and nobody waits for this one."""

KEEP = 3.0
"""Seconds that uploads have, after the time to drain is over, to record what has arrived."""

STOP_GRACE = 10.0
"""Seconds that an application has to stop after its last request."""

EXPECTED = (ConfigurationError, PluginError, StorageError, StartFailed)
"""Errors at the start that speak for themselves; any other one comes with its traceback."""


class Worker:
    """Serves until it is told to end.

    Args:
        order: What to serve.
        control: The socket to the supervisor.
    """

    def __init__(self, order: Order, control: socket.socket) -> None:
        self._order = order
        self._control = control
        self._ending = asyncio.Event()
        self._stopping = asyncio.Event()
        self._connections: set[Connection] = set()
        self._visitors: set[Connection] = set()  # they speak plain HTTP where TLS is spoken

    async def run(self) -> None:
        """Start, serve, drain, stop.

        Raises:
            Exception: whatever keeps the application from starting.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        self._control.setblocking(False)
        loop.add_reader(self._control, self._on_control)
        app = load_factory(self._order.factory)(self._order.configuration)
        config = server_config(self._order.configuration)
        config.exposed = self._order.exposed
        configure = getattr(app, "configure_server", None)
        if configure is not None:
            configure(config)
        tls = config.create_ssl_context() if config.encryption is None else None
        state: dict[str, Any] = {}
        lifespan = Lifespan(app, state)
        await lifespan.start()
        gc.collect()
        gc.freeze()  # what is here now stays; later collections need not look at it

        context = ServingContext()

        def connection() -> Connection:
            return Connection(app, config, context, state, self._connections, loop)

        if config.encryption is not None:
            admit = encrypted(config.encryption, connection, self._visitors_of(None, config))
        elif tls is not None:
            admit = by_context(loop, connection, tls, config.ssl_handshake_timeout)
        else:
            admit = in_clear(loop, connection)
        sockets = [socket.socket(fileno=number) for number in self._order.descriptors]
        acceptors = [Acceptor(loop, sock, admit, config.ssl_handshake_timeout) for sock in sockets]
        redirect = self._visitors_of(_port(sockets), config)
        acceptors += [
            Acceptor(loop, socket.socket(fileno=number), redirect, config.ssl_handshake_timeout)
            for number in self._order.redirects
        ]
        # Without a supervisor nobody needs to know; `_on_control` hears that it is gone.
        with suppress(BrokenPipeError, ConnectionResetError):
            scheme = "https" if config.encryption or tls else "http"
            said = {"scheme": scheme, "open": getattr(app, "open_to_all", False)}
            report(self._control, {"ready": said})
        await self._ending.wait()
        await self._drain(config, context, acceptors)
        await asyncio.wait_for(lifespan.stop(), STOP_GRACE)

    def _visitors_of(self, port: int | None, config: ServerConfig) -> Admit:
        """What becomes of clients that speak plain HTTP where TLS is spoken.

        Args:
            port: Where the registry listens; None to go by what the client asked.
            config: That of the other connections.
        """
        loop = asyncio.get_running_loop()
        if config.encryption is None:
            return _turned_away
        app = config.encryption.plain(self._order.configuration.http.host, port)
        config = copy.copy(config)
        config.h2c = False
        config.keep_alive_timeout = config.ssl_handshake_timeout
        config.keep_alive_max_requests = 1
        context = ServingContext()
        limit = half_open_limit()

        def visitor() -> Connection:
            if len(self._visitors) >= limit:
                next(iter(self._visitors)).abort()
            return Connection(app, config, context, {}, self._visitors, loop)

        return in_clear(loop, visitor)

    def _everybody(self) -> list[Connection]:
        return [*self._connections, *self._visitors]

    async def _drain(
        self, config: ServerConfig, context: ServingContext, acceptors: list[Acceptor]
    ) -> None:
        context.ending = True
        for acceptor in acceptors:
            acceptor.close()
        for connection in self._everybody():
            connection.announce_end()
        drained = asyncio.create_task(self._wait_for_connections(acceptors))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({drained, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({drained}, timeout=config.graceful_timeout)
        stopping.cancel()
        if not drained.done():
            logger.warning(
                "%s connections were cut after http.draintimeout (%s s)",
                len(self._everybody()),
                config.graceful_timeout,
            )
            # What has arrived of uploads is kept, as when a client goes away.
            for connection in self._everybody():
                connection.hang_up()
            await asyncio.wait({drained}, timeout=KEEP)
            for connection in self._everybody():
                connection.abort()
            await asyncio.wait({drained}, timeout=STOP_GRACE)
        drained.cancel()

    async def _wait_for_connections(self, acceptors: list[Acceptor]) -> None:
        while self._everybody() or any(acceptor.pending for acceptor in acceptors):
            idle = STOP_IDLE if self._stopping.is_set() else RETIRE_IDLE
            for connection in self._everybody():
                connection.end_if_idle(idle)
            await asyncio.sleep(0.02)

    def _on_control(self) -> None:
        try:
            command = self._control.recv(1)
        except ConnectionResetError:  # the supervisor died before it had read our report
            command = b""
        if command == RETIRE:
            self._ending.set()
            return
        if not command:
            asyncio.get_running_loop().remove_reader(self._control)
        self._stop()

    def _stop(self) -> None:
        if not self._stopping.is_set():
            limit = self._order.configuration.http.draintimeout + 2 * STOP_GRACE
            signal.setitimer(signal.ITIMER_REAL, limit + 1)  # ends the process, come what may
        self._stopping.set()
        self._ending.set()


async def _turned_away(sock: socket.socket) -> None:
    """There is nothing to redirect to: no plugin encrypts."""
    sock.close()


def _port(sockets: list[socket.socket]) -> int | None:
    """The port of the first socket that has one."""
    for sock in sockets:
        if sock.family != socket.AF_UNIX:
            port: int = sock.getsockname()[1]
            return port
    return None


def allow_many_files() -> None:
    """Raise the limit on descriptors as far as it goes; a pull takes three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems have a hard limit of their own
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def load_factory(name: str) -> Callable[[Any], Any]:
    """The callable that `module:name` stands for; the name may have dots."""
    module, _, attribute = name.partition(":")
    found: Any = reduce(getattr, attribute.split("."), importlib.import_module(module))
    factory: Callable[[Any], Any] = found
    return factory


def new_loop(*, uvloop: bool) -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's where it is wanted and installed."""
    if uvloop:
        try:
            module = importlib.import_module("uvloop")
        except ImportError:
            return asyncio.new_event_loop()
        loop: asyncio.AbstractEventLoop = module.new_event_loop()
        return loop
    return asyncio.new_event_loop()


def main(descriptor: int) -> int:
    """Run as a worker.

    Args:
        descriptor: Of the socket to the supervisor.

    Returns:
        The exit code of the process.
    """
    for number in (signal.SIGINT, signal.SIGHUP):  # blocked so far; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
    allow_many_files()
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    try:
        order = receive_order(control)
    except (EOFError, ConnectionResetError):
        return 1  # the supervisor is gone already, and nobody is left to be told
    log = order.configuration.log
    handler = logs.set_up(log.level, log.formatter, log.fields, access=not log.accesslog.disabled)
    try:
        with asyncio.Runner(loop_factory=lambda: new_loop(uvloop=order.uvloop)) as runner:
            runner.run(Worker(order, control).run())
    except EXPECTED as error:
        return _failed(control, str(error).splitlines() or [type(error).__name__])
    except Exception as error:
        logger.exception("the worker failed")
        handler.flush()  # the supervisor may kill a worker that has reported its failure
        return _failed(control, [f"the worker failed: {type(error).__name__}: {error}"])
    return 0


def _failed(control: socket.socket, lines: list[str]) -> int:
    try:
        report(control, {"failed": lines})
    except OSError:
        logger.error("the supervisor is gone; %s", "; ".join(lines))
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
