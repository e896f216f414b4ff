"""Fixtures: real servers with the test application."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.programs import require
from tests.servers.process import until
from tests.servers.registries import merged

ROOT = Path(__file__).parent.parent.parent
PATH = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


class Server:
    """A server of these tests.

    Attributes:
        popen: The supervisor.
        config: The file that it reads.
        log_path: Standard output and standard error of all its processes.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        bind: Sequence[str],
        env: Mapping[str, str],
        **popen: Any,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "config.yml"
        self.log_path = directory / "log"
        self.options: dict[str, Any] = {
            "version": "0.1",
            "storage": {"inmemory": {}},
            "log": {"formatter": "text"},
            "http": {"workers": 2},
        }
        self.configure(config)
        with self.log_path.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.server.program", str(self.config), *bind],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": PATH, **env},
                start_new_session=True,
                **popen,
            )

    def configure(self, change: Mapping[str, Any]) -> None:
        """Write a configuration that differs from the last one in this."""
        self.options = merged(self.options, change)
        self.config.write_text(json.dumps(self.options, indent=1))

    @property
    def log(self) -> str:
        """What all its processes have written."""
        return self.log_path.read_text(errors="replace")

    def wait_for(self, text: str, *, count: int = 1, seconds: float = 15) -> None:
        """Wait until the log has this text so many times."""
        until(lambda: self.log.count(text) >= count, seconds=seconds, what=f"{text!r}\n{self.log}")

    def wait_until_serving(self) -> Server:
        """Wait until it has said so."""
        until(
            lambda: "serving on" in self.log or self.popen.poll() is not None,
            seconds=15,
            what="the server",
        )
        assert self.popen.poll() is None, self.log
        return self

    @property
    def port(self) -> int:
        """The TCP port that it said it listens on."""
        found = re.findall(r"serving on \S+:(\d+)", self.log)
        return int(found[-1])

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def get(self, path: str) -> httpx.Response:
        """One request on a connection of its own."""
        return httpx.get(self.url + path, trust_env=False, timeout=10)

    def pids(self, count: int) -> set[int]:
        """The pids of its workers, `count` of them, found by asking."""
        found: set[int] = set()

        def all_found() -> bool:
            found.add(int(self.get("/pid").text))
            return len(found) == count

        until(all_found, seconds=10, what=f"{count} workers")
        return found

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        self.popen.send_signal(number)

    def wait(self, seconds: float = 20) -> int:
        """Wait for its end; its exit code."""
        return self.popen.wait(seconds)

    def stop(self) -> float:
        """Stop it with SIGTERM; seconds that it took."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.log
        return time.monotonic() - began


Start = Callable[..., Server]


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers, and ends what is left of them."""
    servers: list[Server] = []

    def start(
        config: Mapping[str, Any] | None = None,
        *,
        bind: Sequence[str] = ("127.0.0.1:0",),
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        **popen: Any,
    ) -> Server:
        directory = tmp_path_factory.mktemp("server")
        server = Server(directory, config or {}, bind, env or {}, **popen)
        servers.append(server)
        return server.wait_until_serving() if wait else server

    yield start
    for server in servers:
        try:
            os.killpg(server.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        finally:
            server.popen.wait(10)


@pytest.fixture
def start(starter: Start) -> Start:
    """Starts a server for one test."""
    return starter


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate for 127.0.0.1 and its key, as fields that the test application understands."""
    program = require("openssl")
    paths = {"certificate": str(tmp_path / "certificate.pem"), "key": str(tmp_path / "key.pem")}
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", paths["key"], "-out", paths["certificate"]]
    subprocess.run([program, "req", "-x509", *kind, *name, *files], check=True, capture_output=True)
    return paths


@pytest.fixture(scope="session", params=["uvloop", "asyncio"])
def server(starter: Start, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with two workers and h2c, for tests that leave it as it is; on both loops."""
    server = starter({"http": {"h2c": {"enabled": True}}}, env={"PYREG_TEST_LOOP": request.param})
    yield server
    server.stop()
    assert "a connection failed" not in server.log, server.log
    assert "never retrieved" not in server.log, server.log
