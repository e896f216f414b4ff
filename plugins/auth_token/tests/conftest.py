"""What the tests of this plugin share."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

# `plugins` and `tests` are packages that nobody installs; the tests import from them.
sys.path.insert(0, str(Path(__file__).parent.parent.parent.parent))

from plugins.auth_token.tests import tokens
from pyreg_auth_token.keys import ALGORITHMS
from pyreg_auth_token.plugin import Options, TokenPlugin
from tests.fixtures.in_process import serving
from tests.fixtures.servers import short_dir, start_go_registry, start_registry, workshop

__all__ = ["short_dir", "start_go_registry", "start_registry", "workshop"]


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


def algorithm_key(name: str) -> str:
    """The name under which `tokens.key` has the key for an algorithm."""
    assert name in ALGORITHMS
    return "RS256" if name[0] in "RP" else name
