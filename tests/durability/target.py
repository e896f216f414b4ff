"""The server that is killed, and how."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.durability.disk import Disk
from tests.servers.process import Process, until
from tests.servers.registries import Registry, start_pyreg

WORKERS = 2


class Target:
    """A pyreg with two workers that comes back after everything that is done to it.

    Args:
        directory: For its log and, without a disk, its data.
        chance: Chooses the worker to be killed.
        disk: Where its data lies; one whose power can be cut.
        options: As for `start_pyreg`.

    Attributes:
        kills: How often it was killed, in whatever way.
        cuts: How often the power was cut.
        dark: Whether it is cut now.
    """

    def __init__(
        self,
        directory: Path,
        chance: random.Random,
        disk: Disk | None = None,
        **options: Any,
    ) -> None:
        self.kills = 0
        self.cuts = 0
        self.dark = False
        self._hands = threading.Lock()  # one kills or starts it at a time
        self._chance = chance
        self._disk = disk
        self.root = directory / "data" if disk is None else disk.path / "registry"
        self.registry: Registry = start_pyreg(
            directory, root=self.root, address=_address(), workers=WORKERS, **options
        )

    @property
    def url(self) -> str:
        """Its address, which stays."""
        return self.registry.url

    @property
    def _process(self) -> Process:
        assert self.registry.process is not None
        return self.registry.process

    def _workers(self) -> list[int]:
        return [pid for pid in _session(self._process.pid) if pid != self._process.pid]

    @property
    def past_cuts(self) -> int:
        """How many power cuts are over; see `Watched.past_cuts`."""
        return self.cuts - self.dark

    def kill_worker(self) -> None:
        """One worker dies; the supervisor replaces it."""
        with self._hands:
            workers = self._workers()
            if workers:
                self.kills += 1
                os.kill(self._chance.choice(workers), signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """The supervisor dies; its workers end what they are at, and somebody starts it anew."""
        with self._hands:
            self.kills += 1
            os.kill(self._process.pid, signal.SIGKILL)
            self._start()

    def kill_server(self) -> None:
        """Everything dies at once; somebody starts it anew."""
        with self._hands:
            self.kills += 1
            self._kill()
            self._start()

    def cut_power(self) -> None:
        """The disk loses what is not on it; then as `kill_server`."""
        assert self._disk is not None
        with self._hands:
            self.kills += 1
            self.dark = True  # before it is: clients tell by it whose fault an error is
            self.cuts += 1
            self._disk.cut_power()
            self._kill()
            self._disk.unmount()
            self._disk.mount()
            self.dark = False
            self._start()

    def _kill(self) -> None:
        leader = self._process.pid
        os.kill(leader, signal.SIGKILL)  # first, so that it replaces nobody
        for pid in self._workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _start(self) -> None:
        process = self._process
        assert process.popen is not None
        leader = process.pid
        process.popen.wait(10)
        until(lambda: not _session(leader), seconds=60, what="the last worker to end")
        process.kill()  # forgets the old process; there is nobody left to kill
        process.start()

    def steady(self) -> None:
        """Wait until all workers are there."""
        self.wait()
        until(lambda: len(self._workers()) >= WORKERS, seconds=30, what="all workers")

    def wait(self) -> None:
        """Wait until it answers.

        It ends by itself if a worker is killed before it has served for the first time.
        """

        def answers() -> bool:
            with self._hands:
                if not self._process.alive:
                    self._start()
            connection = HTTPConnection(self.registry.address, timeout=2)
            try:
                connection.request("GET", "/v2/")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False
            finally:
                connection.close()

        until(answers, seconds=60, what="the server")

    def stop(self) -> None:
        """Stop it in order; it must have had no trouble of its own."""
        self.registry.stop()

    def end(self) -> None:
        """Leave nothing behind, whatever has happened."""
        leader = self._process.pid
        for pid in sorted(_session(leader)):  # the supervisor first, so that it replaces nobody
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        until(lambda: not _session(leader), seconds=10, what="all to end")

    def pause(self, shortest: float, longest: float) -> None:
        """Let it work for a while."""
        time.sleep(self._chance.uniform(shortest, longest))


def _session(leader: int) -> list[int]:
    """The living processes of a session, from the kernel's table."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, _, _, session = text.rpartition(")")[2].split()[:4]
            if int(session) == leader and (state not in "ZX" or _has_threads(entry)):
                found.append(int(entry.name))
    return found


def _has_threads(process: Path) -> bool:
    """Whether a process whose first thread is dead still waits for others, and holds its files."""
    try:
        return len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def _address() -> str:
    """An address with a port that the kernel gives to nobody.

    Clients that try to reach a dead server on one of the others may be given that very port.
    """
    with socket.socket() as sock:
        for port in random.sample(range(20_000, 30_000), 100):
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"127.0.0.1:{port}"
    raise AssertionError("no port is free")
