"""Registries: pyreg itself, and the Docker registry that Debian packages."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.process import Process, answers, free_port

TROUBLE = ("Traceback (most recent call last)", "Error in ASGI")
"""What a healthy pyreg never writes to its log, whatever clients do to it."""


@dataclass(frozen=True)
class Registry:
    """A registry that answers.

    Attributes:
        address: `127.0.0.1:PORT`, as it stands in an image's name.
        root: The filesystem driver's `rootdirectory`; None for one that we did not start.
        process: None for one that we did not start.
        pyreg: False for the Docker registry, which lacks parts of today's specification.
    """

    address: str
    root: Path | None = None
    process: Process | None = None
    pyreg: bool = True

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    @property
    def store(self) -> Path:
        """The directory that holds `blobs` and `repositories`."""
        assert self.root is not None, "this registry's directory is unknown"
        return self.root / "docker" / "registry" / "v2"

    def stop(self) -> None:
        """Stop it in order; pyreg must then not have logged any trouble."""
        assert self.process is not None, "this registry was not started by the tests"
        status = self.process.stop()
        if self.pyreg:
            assert status == 0, f"pyreg ended with {status}\n{self.process.log()[-6000:]}"
            self.check_log()

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None, "this registry was not started by the tests"
        self.process.kill()

    def check_log(self) -> None:
        """Fail if the log shows an error that nobody dealt with."""
        assert self.process is not None, "this registry was not started by the tests"
        log = self.process.log()
        for sign in TROUBLE:
            at = log.find(sign)
            assert at < 0, f"the log of pyreg has {sign!r}:\n{log[max(0, at - 500) : at + 5000]}"


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the mappings of `change` merged into it, level by level; None removes a key."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def configuration(root: Path, address: str) -> dict[str, Any]:
    """What both registries are started with."""
    return {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": address},
    }


def start_pyreg(
    directory: Path,
    *,
    root: Path | None = None,
    address: str | None = None,
    config: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    workers: int = 2,
    python: str = sys.executable,
) -> Registry:
    """Start `pyreg serve`.

    Args:
        directory: For its log and configuration.
        root: The storage directory; `directory/data` unless told.
        address: Where to listen; a free port of 127.0.0.1 unless told.
        config: Merged into the usual configuration; None as a value removes a key.
        env: Added to the environment.
        workers: How many processes.
        python: The interpreter that has pyreg installed.
    """
    return _start(
        "pyreg",
        [python, "-m", "pyreg.cli", "serve", "--workers", str(workers)],
        directory,
        root or directory / "data",
        address or f"127.0.0.1:{free_port()}",
        config or {},
        env,
    )


def start_docker_registry(
    program: str,
    directory: Path,
    *,
    root: Path | None = None,
    address: str | None = None,
    config: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Registry:
    """Start the Docker registry; arguments as for `start_pyreg`."""
    return _start(
        "docker-registry",
        [program, "serve"],
        directory,
        root or directory / "data",
        address or f"127.0.0.1:{free_port()}",
        config or {},
        # With this variable set its S3 client panics at start, even where S3 is not used.
        {"AWS_CA_BUNDLE": "", **(env or {})},
    )


def _start(
    name: str,
    argv: list[str],
    directory: Path,
    root: Path,
    address: str,
    config: Mapping[str, Any],
    env: Mapping[str, str] | None,
) -> Registry:
    directory.mkdir(parents=True, exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.yml"
    # Every JSON document is a YAML document.
    path.write_text(json.dumps(merged(configuration(root, address), config), indent=2))
    process = Process(
        name,
        [*argv, str(path)],
        directory,
        ready=lambda: answers(f"http://{address}/v2/"),
        env=env,
    )
    process.start()
    return Registry(address, root, process, pyreg=name == "pyreg")
