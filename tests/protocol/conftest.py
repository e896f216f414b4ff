"""Fixtures: registries that serve in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pyreg.app import Registry
from pyreg.hooks.storage import StorageDriver
from pyreg_storage_filesystem.driver import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage
from tests.protocol.live import SERVERS, Live


def storage(kind: str, directory: Path) -> StorageDriver:
    """A storage driver with nothing in it."""
    if kind == "filesystem":
        return FilesystemStorage(str(directory / "data"))
    return InMemoryStorage()


@pytest.fixture(scope="session")
def hypercorn_inmemory() -> Iterator[Live]:
    """The registry that most tests share; each uses repositories of its own."""
    with Live(Registry(InMemoryStorage())) as live:
        yield live


@pytest.fixture
def server(hypercorn_inmemory: Live) -> Iterator[Live]:
    """That registry, whose log must be clean after each test."""
    yield hypercorn_inmemory
    hypercorn_inmemory.check_log()


@pytest.fixture(
    scope="module",
    params=[f"{server}-{kind}" for server in SERVERS for kind in ("inmemory", "filesystem")],
)
def every_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A registry under each ASGI server, on each kind of storage."""
    name, _, kind = request.param.partition("-")
    driver = storage(kind, tmp_path_factory.mktemp("registry"))
    with Live(Registry(driver), name) as live:
        yield live


_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """The name of a repository that no other test uses."""
    return f"test/repository-{next(_numbers)}"


@pytest.fixture
def start() -> Iterator[Callable[..., Live]]:
    """Starts a registry in memory for one test; arguments as for `Registry`."""
    with ExitStack() as stack:

        def starter(
            driver: StorageDriver | None = None, *, under: str = "hypercorn", **options: Any
        ) -> Live:
            return stack.enter_context(
                Live(Registry(driver or InMemoryStorage(), **options), under)
            )

        yield starter
