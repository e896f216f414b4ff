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
from tests.servers.process import Process, free_port
from tests.servers.registries import Registry, configuration, merged

__all__ = ["short_dir", "workshop"]

PYREG = (sys.executable, "-m", "pyreg.cli", "serve", "--workers", "2")


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
        (directory / "data").mkdir(parents=True)
        address = f"127.0.0.1:{free_port()}"
        path = directory / "config.yml"
        path.write_text(json.dumps(merged(configuration(directory / "data", address), config)))
        argv = PYREG if program == "pyreg" else (require(program), "serve")
        process = Process(
            program,
            [*argv, str(path)],
            directory,
            ready=lambda: answers(f"http://{address}/v2/"),
            # With this variable set the other one panics at start, even where S3 is not used.
            env={"AWS_CA_BUNDLE": ""},
        )
        process.start()
        started.append(Registry(address, directory / "data", process, pyreg=program == "pyreg"))
        return started[-1]

    yield starter
    for registry in started:
        registry.stop()


def answers(url: str) -> bool:
    """True if somebody answers, with whatever status."""
    try:
        return httpx.get(url, trust_env=False).status_code > 0
    except httpx.TransportError:
        return False
