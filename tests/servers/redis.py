"""Redis, as Debian packages it: over TCP, TLS and a unix socket, with or without a password."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.programs import absent
from tests.servers.process import Process, free_port


@dataclass(frozen=True)
class RedisServer:
    """A Redis that answers.

    Attributes:
        port: Of 127.0.0.1, without encryption.
        tls_port: Of 127.0.0.1, with TLS; 0 without.
        socket: Its unix socket.
        password: Of the user `default`; "" if there is none.
        process: Its process; what was acknowledged before a `kill` is there after the next
            `start` if it keeps a journal.
    """

    port: int
    tls_port: int
    socket: Path
    password: str
    process: Process

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """For clients, with the password."""
        return f"redis://{f':{self.password}@' if self.password else ''}{self.address}/0"


def start_redis(
    directory: Path,
    *,
    password: str = "",
    tls: Mapping[str, str] | None = None,
    journal: bool = False,
    settings: Mapping[str, str] | None = None,
) -> RedisServer:
    """Start a Redis, or end the test if there is none (see `tests.fixtures.programs.absent`).

    Args:
        directory: For its files; short, since a unix socket's path has at most 107 bytes.
        password: What clients have to say; "" for nothing.
        tls: Paths of its `certificate` and `key`, and of the authorities of its clients, `cas`:
            without those, clients need no certificate. None for no TLS.
        journal: Write each change to a file before it is acknowledged, so that it survives a
            kill of the process. Otherwise all is lost then.
        settings: More lines for redis.conf.
    """
    program = shutil.which("redis-server")
    if program is None:
        absent(
            "redis-server is not installed: apt-get install --no-install-recommends redis-server"
        )
    directory.mkdir(parents=True, exist_ok=True)
    port, tls_port = free_port(), free_port() if tls is not None else 0
    path = directory / "s"
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "unixsocket": str(path),
        "dir": str(directory),
        "save": '""',
        "appendonly": "yes" if journal else "no",
        "daemonize": "no",
    }
    if password:
        lines["requirepass"] = f'"{password}"'
    if tls is not None:
        lines |= {
            "tls-port": str(tls_port),
            "tls-cert-file": tls["certificate"],
            "tls-key-file": tls["key"],
            # It does not start without authorities, even where it asks no client for a certificate.
            "tls-ca-cert-file": tls.get("cas", tls["certificate"]),
            "tls-auth-clients": "yes" if "cas" in tls else "no",
        }
    configuration = directory / "redis.conf"
    text = "".join(f"{name} {value}\n" for name, value in {**lines, **(settings or {})}.items())
    configuration.write_text(text)
    process = Process(
        "redis-server",
        [program, str(configuration)],
        directory,
        ready=lambda: _answers(path),
    )
    process.start()
    return RedisServer(port, tls_port, path, password, process)


def _answers(path: Path) -> bool:
    """Whether it has loaded its data; also if it wants a password before it says more."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2.0)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
