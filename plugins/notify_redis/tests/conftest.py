"""What the tests of this plugin share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# `plugins` and `tests` are packages that nobody installs; the tests import from them.
sys.path.insert(0, str(Path(__file__).parent.parent.parent.parent))

from tests.fixtures.servers import short_dir, workshop
from tests.server.authorities import Authority, put
from tests.servers.redis import RedisServer, start_redis

__all__ = ["short_dir", "workshop"]

Start = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the server of these tests, and its clients."""
    return Authority("tests")


@pytest.fixture(scope="session")
def certificates(workshop: Path, authority: Authority) -> dict[str, str]:
    """A certificate for 127.0.0.1 and its key, and the authority as `ca`."""
    directory = workshop / "certificates"
    paths = authority.issue(names=["127.0.0.1"]).save(directory, "server")
    return {**paths, "ca": str(put(directory / "ca.pem", authority.pem))}


@pytest.fixture
def start(short_dir: Path) -> Iterator[Start]:
    """Starts a Redis; arguments as for `start_redis`."""
    started: list[RedisServer] = []

    def starter(**options: Any) -> RedisServer:
        server = start_redis(short_dir / f"{len(started)}", **options)
        started.append(server)
        return server

    yield starter
    for server in started:
        if server.process.alive:
            server.process.stop()
