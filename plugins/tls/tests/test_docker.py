"""The Docker engine behind TLS.

It takes every registry on a loopback address for an insecure one, whatever its `certs.d` says. So
it runs with the registry on an island: a network of their own, where the registry has another
address, and a `/etc/docker` of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import noise, tarball
from tests.fixtures.programs import absent, require, require_root
from tests.server.authorities import Authority
from tests.servers import engines
from tests.servers.process import Process
from tests.servers.registries import configuration

ADDRESS = "192.0.2.1:5000"

NEEDED = ("passwd", "group", "nsswitch.conf", "hosts", "ld.so.cache", "ssl")
"""What programs look for in `/etc` before they do anything."""

_SETTLE = """
mount --bind {etc} /etc
ip link set lo up
ip address add 192.0.2.1/32 dev lo
exec sleep infinity
"""


@dataclass
class Island:
    """A network, and a directory that is `/etc` on it.

    Attributes:
        argv: What a command has to begin with to run there.
        etc: Its `/etc`.
    """

    argv: list[str]
    etc: Path

    @property
    def certs(self) -> Path:
        """Where the engine looks for what the registry's address needs."""
        return self.etc / "docker" / "certs.d" / ADDRESS


@pytest.fixture(scope="module")
def island(workshop: Path) -> Iterator[Island]:
    require_root("a network of one's own")
    unshare, nsenter = require("unshare"), require("nsenter")
    etc = workshop / "etc"
    etc.mkdir()
    for name in NEEDED:
        if Path("/etc", name).exists():
            subprocess.run(["cp", "-a", f"/etc/{name}", str(etc)], check=True)
    ready = ["ip", "address", "show", "to", "192.0.2.1"]
    process = Process(
        "island",
        [unshare, "--net", "--mount", "sh", "-ec", _SETTLE.format(etc=etc)],
        workshop,
        ready=lambda: b"192.0.2.1" in subprocess.run(
            [nsenter, "--target", str(process.pid), "--net", *ready],
            capture_output=True, check=False,
        ).stdout,
    )  # fmt: skip
    try:
        process.start()
    except AssertionError as error:
        absent(f"this machine lets nobody have a network of one's own: {error}")
    yield Island([nsenter, "--target", str(process.pid), "--net", "--mount"], etc)
    process.kill()


@pytest.fixture(scope="module")
def docker(island: Island, workshop: Path) -> Iterator[Client]:
    program, daemon = require("docker"), require("dockerd")
    directory = workshop / "di"
    process = engines.dockerd(daemon, directory)
    process.argv = [*island.argv, *process.argv]
    process.start()
    home = directory / "home"
    home.mkdir()
    env = {"HOME": str(home), "DOCKER_CONFIG": str(home)}
    yield Client([program, "--host", f"unix://{directory / 'docker.sock'}"], directory, env)
    process.stop()
    engines.unmount_below(directory)


def test_docker(docker: Client, island: Island, short_dir: Path, authority: Authority) -> None:
    ca = short_dir / "ca.pem"
    ca.write_bytes(authority.pem)
    tls = {
        **authority.issue(names=["192.0.2.1"]).save(short_dir, "server"),
        "clientcas": [str(ca)],
    }
    config = configuration(short_dir / "data", ADDRESS)
    config["http"]["tls"] = tls
    config["auth"] = {"certificate": {}}
    (short_dir / "config.yml").write_text(json.dumps(config))
    registry = Process(
        "pyreg",
        [*island.argv, sys.executable, "-m", "pyreg.cli", "serve", str(short_dir / "config.yml")],
        short_dir,
        ready=lambda: "serving on https" in registry.log(),
    )
    registry.start()
    name = f"{ADDRESS}/docker/app:v1"
    docker("import", "-", name, stdin=tarball({"noise": noise(300_000, "docker tls")}))
    try:
        assert "certificate" in docker.refused("push", name)
        island.certs.mkdir(parents=True)
        (island.certs / "ca.crt").write_bytes(authority.pem)
        # In TLS 1.3 the server's alert may come after what the client has written already.
        assert re.search("certificate|reset by peer", docker.refused("push", name))
        client = authority.client("ci")
        (island.certs / "client.cert").write_bytes(client.pem)
        (island.certs / "client.key").write_bytes(client.key_pem())
        docker("push", name)
        docker("rmi", name)
        docker("pull", name)
    finally:
        docker("rmi", "--force", name)
        assert registry.stop() == 0, registry.log()
