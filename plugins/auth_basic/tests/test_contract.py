"""The authenticator keeps the contract, with every kind of hash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyreg.hooks import Authenticator
from pyreg.testing import AuthContract, Credentials
from pyreg_auth_basic import HtpasswdPlugin, Options, ThrottleOptions
from pyreg_auth_basic.hashes import make_hash

PASSWORDS = {
    "ann": "correct horse",
    "bea": "battery:staple",
    "zoë": "grüße ☃",
    "o'neil@example.org": " spaces at the ends ",
}


def patient(path: Path, **more: float) -> Options:
    """Options under which nobody has to wait."""
    return Options("tests", str(path), throttle=ThrottleOptions(failures=0), **more)


@pytest.mark.parametrize("remember", [0, 300], ids=["verified-anew", "remembered"])
@pytest.mark.parametrize(
    ("algorithm", "cost"), [("bcrypt", 5), ("argon2", 1), ("sha512", 5000)], ids=str
)
class TestHtpasswd(AuthContract):
    @pytest.fixture
    async def authenticator(
        self, anyio_backend: str, tmp_path: Path, algorithm: str, cost: int, remember: float
    ) -> AsyncIterator[Authenticator]:
        path = tmp_path / "htpasswd"
        path.write_text(
            "".join(
                f"{user}:{make_hash(password, algorithm, cost)}\n"
                for user, password in PASSWORDS.items()
            )
        )
        plugin = HtpasswdPlugin(patient(path, remember=remember))
        await plugin.pyreg_startup()
        yield plugin.pyreg_authenticator()
        await plugin.pyreg_shutdown()

    @pytest.fixture
    def good(self) -> list[Credentials]:
        return [
            Credentials.basic(user, password, name=user) for user, password in PASSWORDS.items()
        ]

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        return [
            Credentials.basic("ann", "battery:staple"),
            Credentials.basic("ann", "correct horsf"),
            Credentials.basic("nobody", "correct horse"),
            Credentials.basic("ANN", "correct horse"),
            Credentials.basic("ann", "correct horse\x00"),
            Credentials({"authorization": "Basic not-base64"}),
        ]

    @pytest.fixture
    def foreign(self) -> list[Credentials]:
        token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
        return [Credentials.basic("ann", token), Credentials.basic("oidc", token)]
