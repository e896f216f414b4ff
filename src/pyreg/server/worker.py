"""One worker process: an event loop, an application, and the connections that it accepts.

The supervisor starts it as `python -m pyreg.server.worker DESCRIPTOR`; it has no other use.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import importlib
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from typing import Any

from pyreg.errors import ConfigurationError, PluginError, StorageError
from pyreg.server import logs
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

STOP_GRACE = 10.0
"""Seconds that an application has to stop after its last request."""

ACCEPT_PAUSE = 0.5
"""Seconds without accepting after the process or the machine ran out of descriptors."""

EXPECTED = (ConfigurationError, PluginError, StorageError, StartFailed)
"""Errors at the start that speak for themselves; any other one comes with its traceback."""


class Acceptor:
    """Accepts connections from a socket that several workers share.

    One connection is taken per turn of the event loop. asyncio's and uvloop's own servers take
    all that wait, so that the first worker to wake up would end with most of the load.

    Attributes:
        pending: Connections that were accepted and are not there yet: handshakes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        handshake_timeout: float,
        connection: Callable[[], Connection],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._context = context
        self._handshake_timeout = handshake_timeout if context is not None else None
        self._connection = connection
        self.pending: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept no more. What waits in the queue is for the other workers."""
        self._loop.remove_reader(self._sock)
        if self._resume is not None:
            self._resume.cancel()
        self._sock.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logger.error("cannot accept connections: %s", error.strerror)
            self._loop.remove_reader(self._sock)
            self._resume = self._loop.call_later(
                ACCEPT_PAUSE, self._loop.add_reader, self._sock, self._accept
            )
            return
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._connect(sock))
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    async def _connect(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._connection,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_timeout,
            )
        except OSError as error:  # a failed handshake is one, too
            logger.debug("a client did not get a connection: %s", error)
            sock.close()


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
        configure = getattr(app, "configure_server", None)
        if configure is not None:
            configure(config)
        tls = config.create_ssl_context()
        state: dict[str, Any] = {}
        lifespan = Lifespan(app, state)
        await lifespan.start()
        gc.collect()
        gc.freeze()  # what is here now stays; later collections need not look at it

        context = ServingContext()

        def connection() -> Connection:
            return Connection(app, config, context, state, self._connections, loop)

        acceptors = [
            Acceptor(
                loop,
                socket.socket(fileno=descriptor),
                tls,
                config.ssl_handshake_timeout,
                connection,
            )
            for descriptor in self._order.descriptors
        ]
        # Without a supervisor nobody needs to know; `_on_control` hears that it is gone.
        with suppress(BrokenPipeError, ConnectionResetError):
            report(self._control, {"ready": {"scheme": "http" if tls is None else "https"}})
        await self._ending.wait()
        await self._drain(config, context, acceptors)
        await asyncio.wait_for(lifespan.stop(), STOP_GRACE)

    async def _drain(
        self, config: ServerConfig, context: ServingContext, acceptors: list[Acceptor]
    ) -> None:
        context.ending = True
        for acceptor in acceptors:
            acceptor.close()
        for connection in tuple(self._connections):
            connection.announce_end()
        drained = asyncio.create_task(self._wait_for_connections(acceptors))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({drained, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({drained}, timeout=config.graceful_timeout)
        stopping.cancel()
        if not drained.done():
            logger.warning(
                "%s connections were cut after http.draintimeout (%s s)",
                len(self._connections),
                config.graceful_timeout,
            )
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.wait({drained}, timeout=STOP_GRACE)
        drained.cancel()

    async def _wait_for_connections(self, acceptors: list[Acceptor]) -> None:
        while self._connections or any(acceptor.pending for acceptor in acceptors):
            idle = STOP_IDLE if self._stopping.is_set() else RETIRE_IDLE
            for connection in tuple(self._connections):
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
