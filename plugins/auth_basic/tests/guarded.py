"""Real registries that ask for passwords."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers.process import Process, free_port
from tests.servers.registries import Registry, configuration, merged

PYREG = (sys.executable, "-m", "pyreg.cli", "serve", "--workers", "2")


@contextmanager
def guarded(
    directory: Path, htpasswd: Path, *, command: Sequence[str] = PYREG, **options: Any
) -> Iterator[Registry]:
    """A registry, stopped at the end.

    Args:
        directory: For its data, log and configuration.
        htpasswd: Who may log in.
        command: What serves; `pyreg serve` with two workers unless told.
        options: Further ones of `auth.htpasswd`.
    """
    address = f"127.0.0.1:{free_port()}"
    auth = {"auth": {"htpasswd": {"realm": "tests", "path": str(htpasswd), **options}}}
    config = merged(configuration(directory / "data", address), auth)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yml").write_text(json.dumps(config, indent=2))
    process = Process(
        "registry",
        [*command, "config.yml"],
        directory,
        ready=lambda: _asks(f"http://{address}/v2/"),
    )
    process.start()
    registry = Registry(address, directory / "data", process, pyreg=command is PYREG)
    try:
        yield registry
    finally:
        registry.stop()


def _asks(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == 401
    except httpx.TransportError:
        return False
