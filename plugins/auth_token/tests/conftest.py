"""What the tests of this plugin share."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

# `plugins` and `tests` are packages that nobody installs; the tests import from them.
sys.path.insert(0, str(Path(__file__).parent.parent.parent.parent))

from plugins.auth_token.tests import tokens
from pyreg_auth_token.plugin import Options, TokenPlugin
from tests.fixtures.in_process import serving
from tests.fixtures.programs import require
from tests.fixtures.servers import short_dir, workshop
from tests.servers.registries import Registry, start_docker_registry, start_pyreg

__all__ = ["short_dir", "workshop"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def authority() -> tokens.Certified:
    """Who issues the token server's certificates."""
    return tokens.certify("authority", tokens.key("ES256", "authority"), authority=True)


@pytest.fixture
def options(tmp_path: Path, authority: tokens.Certified) -> Options:
    """The server's keys in a key set, and in a bundle its RSA certificate and its authority."""
    keys = [
        tokens.jwk(tokens.key(name).public_key(), kid=tokens.kid(name))
        for name in ("ES256", "ES384", "ES512", "EdDSA")
    ]
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": keys}))
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(tokens.certify("server", tokens.key("RS256")).pem + authority.pem)
    return Options(
        realm=tokens.REALM,
        service=tokens.SERVICE,
        issuer=tokens.ISSUER,
        rootcertbundle=str(bundle),
        jwks=str(jwks),
    )


@pytest.fixture
async def client(options: Options, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a registry that takes the server's tokens."""
    async with serving(TokenPlugin(options)) as client:
        yield client


@pytest.fixture
def start(short_dir: Path) -> Iterator[Callable[..., Registry]]:
    """Starts pyreg, or `docker-registry`, with a configuration that lets nobody in unasked."""
    started: list[Registry] = []

    def starter(config: dict[str, Any], program: str = "pyreg") -> Registry:
        directory = short_dir / f"{len(started)}"
        if program == "pyreg":
            started.append(start_pyreg(directory, config=config))
        else:
            started.append(start_docker_registry(require(program), directory, config=config))
        return started[-1]

    yield starter
    for registry in started:
        registry.stop()
