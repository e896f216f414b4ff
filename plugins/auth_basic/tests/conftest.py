"""What the tests of this plugin share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import bcrypt
import pytest

# `plugins` and `tests` are packages that nobody installs; the tests import from them.
sys.path.insert(0, str(Path(__file__).parent.parent.parent.parent))

from pyreg_auth_basic.file import PasswordFile
from tests.fixtures.client import Client
from tests.fixtures.engines import ctr, docker, podman, skopeo
from tests.fixtures.programs import require
from tests.fixtures.servers import short_dir, workshop

__all__ = ["ctr", "docker", "podman", "short_dir", "skopeo", "workshop"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def quick_hash(password: str) -> str:
    """A bcrypt hash that takes a millisecond."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def lines(users: Mapping[str, str]) -> str:
    """The lines of a file with these users and passwords."""
    return "".join(f"{user}:{quick_hash(password)}\n" for user, password in users.items())


def replace(path: Path, text: str) -> None:
    """Put a new file in the place of the old one, as well-behaved programs do."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with ann and bea."""
    path = tmp_path / "htpasswd"
    path.write_text(lines({"ann": "correct horse", "bea": "battery:staple"}))
    return path


@pytest.fixture
def file(path: Path) -> PasswordFile:
    """That file, as a registry has it that does not wait for others to finish writing."""
    return PasswordFile(str(path), sleep=lambda _: None)


@pytest.fixture
def apache(tmp_path: Path) -> Callable[..., int]:
    """Apache's `htpasswd`; returns its exit status."""
    client = Client([require("htpasswd")], tmp_path)
    return lambda *args, **kwargs: client.run(*args, **kwargs).returncode
