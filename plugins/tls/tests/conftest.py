"""What the tests of this plugin share."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

# `plugins` and `tests` are packages that nobody installs; the tests import from them.
sys.path.insert(0, str(Path(__file__).parent.parent.parent.parent))

from tests.fixtures.engines import ctr, docker, podman, skopeo
from tests.fixtures.servers import short_dir, workshop
from tests.server.authorities import Authority, Issued, put
from tests.server.encrypted import start
from tests.servers.process import until
from tests.servers.registries import Registry

__all__ = ["ctr", "docker", "podman", "short_dir", "skopeo", "workshop"]

Start = Callable[..., Registry]


def hears(registry: Registry, text: str, *, count: int = 1) -> None:
    """Wait until the log of a registry has a text so many times; it is written from a thread."""
    process = registry.process
    assert process is not None
    until(lambda: process.log().count(text) >= count, seconds=30, what=f"the log to have {text!r}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the servers and the clients of these tests."""
    return Authority("tests")


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """An authority that no server has heard of."""
    return Authority("stranger")


@pytest.fixture(scope="session")
def material(workshop: Path, authority: Authority) -> Path:
    """A directory with ca.pem, and with server.pem and server.key for 127.0.0.1."""
    directory = workshop / "material"
    put(directory / "ca.pem", authority.pem)
    authority.issue(names=["localhost", "127.0.0.1"]).save(directory, "server")
    return directory


@pytest.fixture(scope="session")
def pair(material: Path) -> dict[str, str]:
    """The fields of `http.tls` for that server."""
    return {
        "certificate": str(material / "server.pem"),
        "key": str(material / "server.key"),
    }


@pytest.fixture
def serve(short_dir: Path, pair: Mapping[str, str]) -> Iterator[Start]:
    """Starts pyreg with TLS; `tls` is merged into `pair`, and the rest as for `start`."""
    started: list[Registry] = []

    def serving(tls: Mapping[str, Any] | None = None, **more: Any) -> Registry:
        directory = short_dir / f"{len(started)}"
        registry = start(directory, {**pair, **(tls or {})}, **more)
        started.append(registry)
        hears(registry, "serving on https")  # so far, one of its workers has answered
        return registry

    yield serving
    for registry in started:
        if registry.process is not None and registry.process.alive:
            registry.stop()


@pytest.fixture
def trusting(authority: Authority) -> Callable[..., ssl.SSLContext]:
    """A client's context that trusts the authority; with a certificate, if one is given."""

    def context(client: Issued | None = None, where: Path | None = None) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(cadata=authority.pem.decode())
        if client is not None:
            assert where is not None
            paths = client.save(where, "client")
            made.load_cert_chain(paths["certificate"], paths["key"])
        return made

    return context
