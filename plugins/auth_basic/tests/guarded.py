"""Real registries that ask for passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fixtures.programs import require
from tests.servers.registries import Registry, start_docker_registry, start_pyreg


@contextmanager
def guarded(
    directory: Path, htpasswd: Path, *, docker: bool = False, **options: Any
) -> Iterator[Registry]:
    """A registry, stopped at the end.

    Args:
        directory: For its data, log and configuration.
        htpasswd: Who may log in.
        docker: Whether it is the Docker registry.
        options: Further ones of `auth.htpasswd`.
    """
    config = {"auth": {"htpasswd": {"realm": "tests", "path": str(htpasswd), **options}}}
    if docker:
        registry = start_docker_registry(require("docker-registry"), directory, config=config)
    else:
        registry = start_pyreg(directory, config=config)
    try:
        yield registry
    finally:
        registry.stop()
