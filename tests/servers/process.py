"""A server process of our own: started, waited for, logged, and ended by its own pid."""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

RUNNING: dict[int, Process] = {}
"""Every process of this test run that has not been stopped, by pid."""


class ServerDied(AssertionError):
    """A server ended, or did not begin to answer; the message carries the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on.

    Below the range that the system gives to clients: one of those could be taken by any
    connection before a server comes to listen on it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until a condition holds; the only way in which these tests wait.

    Args:
        condition: Asked every 20 ms.
        seconds: The deadline.
        what: Completes "gave up waiting for ..." in the AssertionError.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what} after {seconds} s"
        time.sleep(0.02)


def answers(url: str, *, socket_path: Path | None = None) -> bool:
    """True if a GET is answered with 200, or with 401 by a registry that wants a login.

    Args:
        url: What to get; over HTTPS any certificate will do.
        socket_path: A unix socket to reach it by.
    """
    transport = httpx.HTTPTransport(uds=str(socket_path)) if socket_path else None
    try:
        with httpx.Client(
            transport=transport, timeout=2.0, trust_env=False, verify=False
        ) as client:
            return client.get(url).status_code in (200, 401)
    except httpx.TransportError:
        return False


class Process:
    """One server.

    Args:
        name: For messages.
        argv: The command line.
        directory: Its working directory, where `NAME.log` is appended to.
        ready: Says whether it answers.
        env: Added to this process's environment.
        patience: Seconds in which it must answer, and in which it must end.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: Path,
        *,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        patience: float = 30.0,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.directory = directory
        self.ready = ready
        self.env = dict(env or {})
        self.patience = patience
        self.log_path = directory / f"{name}.log"
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started (the parent of its workers)."""
        assert self.popen is not None, f"{self.name} was not started"
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self.popen is not None and self.popen.poll() is None

    def log(self, start: int = 0) -> str:
        """What it has written so far, from byte `start`."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[start:].decode(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerDied: it ended, or did not answer within its patience.
        """
        assert not self.alive, f"{self.name} runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            # A session of its own: a Ctrl-C at the terminal reaches pytest alone, which then
            # stops the servers in order, and kill() can reach the workers too.
            self.popen = subprocess.Popen(
                self.argv,
                cwd=self.directory,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        RUNNING[self.pid] = self
        deadline = time.monotonic() + self.patience
        while not self.ready():
            if not self.alive or time.monotonic() > deadline:
                state = "does not answer" if self.alive else f"ended with {self.popen.returncode}"
                self.kill()
                raise ServerDied(f"{self.name} {state}: {self.argv}\n{self.log()[-6000:]}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Ask it to end with SIGTERM and wait.

        Returns:
            Its exit status.

        Raises:
            ServerDied: it had to be killed.
        """
        assert self.popen is not None, f"{self.name} was not started"
        RUNNING.pop(self.pid, None)
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerDied(
                f"{self.name} ignored SIGTERM for {self.patience} s\n{self.log()[-6000:]}"
            ) from None

    def kill(self) -> None:
        """SIGKILL to it and to every worker of its session, as a power cut would."""
        assert self.popen is not None, f"{self.name} was not started"
        RUNNING.pop(self.pid, None)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            # The leader ended by itself and left nobody behind.
            return
        finally:
            self.popen.wait(10)
