"""A worker process as its supervisor sees it, and a set of them that belong together."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from pyreg.server.control import Order, send_order

logger = logging.getLogger("pyreg.server")

STEADY = 1.0
"""A worker that served for so many seconds is not in a crash loop."""

BACKOFF = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
"""Seconds before the next try, by the number of failures in a row."""

TRIES = 6
"""After so many failures in a row, with no other worker serving, there is no point in going on."""


MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024 * 1024),
    "MALLOC_ARENA_MAX": "2",
}
"""For glibc's malloc in workers. By default each piece of a layer, 64 KiB to 1 MiB, is fetched
from the kernel and given back at once, and the page faults take longer than all the rest of an
upload: with these a worker takes 1.5 GB/s instead of 0.5. Other systems ignore them."""


class StartError(Exception):
    """Workers cannot start.

    Args:
        lines: What is wrong, for people.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class WorkerProcess:
    """One worker process.

    A fresh interpreter, not a fork: it has no thread, lock or connection of the supervisor, it
    works where forking does not (macOS), and a reload runs the code that is installed now.

    Args:
        order: What the worker is to do.

    Attributes:
        started: Done when the worker serves; its result is what the worker said. Fails with
            `StartError`.
        ended: Done when the process is gone; its result is the exit code, negative for a signal.
    """

    def __init__(self, order: Order) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._received = b""
        self._control, theirs = socket.socketpair()
        with theirs:
            # Ctrl-C in a terminal reaches the workers, too, but the supervisor decides when they
            # end: they inherit these signals as blocked, from their first instruction on.
            old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
            try:
                # -P: no module is taken from the directory that the server was started in.
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-P", "-m", "pyreg.server.worker", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(), *order.descriptors, *order.redirects),
                    stdin=subprocess.DEVNULL,
                    env={**MALLOC, **os.environ},
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, old)
        self._loop = loop
        try:
            send_order(self._control, order)
        except OSError:
            logger.debug("worker %s died before it had its order", self.pid)
        self._control.setblocking(False)
        loop.add_reader(self._control, self._on_message)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def serving(self) -> bool:
        """True between start and end."""
        started = self.started.done() and self.started.exception() is None
        return started and not self.ended.done()

    def tell(self, command: bytes) -> None:
        """Send `STOP` or `RETIRE`."""
        if not self.ended.done():
            try:
                self._control.send(command)
            except OSError as error:
                logger.debug("worker %s cannot be told: %s", self.pid, error)

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    def _on_message(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not data:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._reaper = asyncio.create_task(self._reap())

    def _take(self, message: dict[str, Any]) -> None:
        if self.started.done():
            return
        if "ready" in message:
            self.started.set_result(message["ready"])
        else:
            self._fail(message["failed"])

    async def _reap(self) -> None:
        code = await asyncio.to_thread(self._process.wait)
        if not self.started.done():
            self._fail([f"worker {self.pid} {how_it_ended(code)} before it could serve"])
        self.ended.set_result(code)

    def _fail(self, lines: list[str]) -> None:
        self.started.set_exception(StartError(lines))
        self.started.exception()  # it may be that nobody asks


class Generation:
    """The workers of one configuration.

    Args:
        order: What each of them is to do.
        count: How many.
        on_failure: Called when none serves and none can be started any more.
    """

    def __init__(self, order: Order, count: int, on_failure: Callable[[StartError], None]) -> None:
        self._order = order
        self._count = count
        self._on_failure = on_failure
        self._workers: set[WorkerProcess] = set()
        self._keepers: set[asyncio.Task[None]] = set()

    async def start(self) -> dict[str, Any]:
        """Start all workers.

        Returns:
            What the first one said.

        Raises:
            StartError: one of them did not start; the others are then gone, too.
        """
        workers = [self._spawn() for _ in range(self._count)]
        try:
            said = await asyncio.gather(*(asyncio.shield(worker.started) for worker in workers))
        except StartError:
            self.kill()
            raise
        for worker in workers:
            self._keepers.add(asyncio.create_task(self._keep(worker)))
        return said[0]

    async def end(self, command: bytes, timeout: float | None) -> None:
        """Let the workers end.

        Args:
            command: `STOP` or `RETIRE`.
            timeout: Seconds after which those that are still there are killed; None waits.
        """
        self._abandon()
        for worker in self._workers:
            worker.tell(command)
        if self._workers:
            ends = [worker.ended for worker in self._workers]
            _, late = await asyncio.wait(ends, timeout=timeout)
            if late:
                logger.warning("%s workers were killed: they took too long to end", len(late))
                self.kill()
                await asyncio.wait(ends)

    def kill(self) -> None:
        """End all workers at once."""
        self._abandon()
        for worker in self._workers:
            worker.kill()

    def _abandon(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()

    def _spawn(self) -> WorkerProcess:
        worker = WorkerProcess(self._order)
        self._workers.add(worker)
        worker.ended.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    async def _keep(self, worker: WorkerProcess) -> None:
        """Replace a worker whenever it ends."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            try:
                await asyncio.shield(worker.started)
            except StartError as error:
                failures += 1
                for line in error.lines:
                    logger.error("%s", line)
                if failures >= TRIES and not any(each.serving for each in self._workers):
                    self._on_failure(error)
                    return
            else:
                began = loop.time()
                code = await asyncio.shield(worker.ended)
                failures = 0 if loop.time() - began >= STEADY else failures + 1
                logger.error("worker %s %s", worker.pid, how_it_ended(code))
            await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
            worker = self._spawn()
            logger.info("worker %s replaces it", worker.pid)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by signal {-code} ({signal.strsignal(-code)})"
