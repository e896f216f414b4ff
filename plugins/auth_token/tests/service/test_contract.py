"""The authenticator and the authorizer of the token service keep the contract."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from pyreg.hooks import Access, Authenticator, Authorizer, Identity
from pyreg.testing import AuthContract, AuthorizerContract, Credentials
from pyreg_auth_token.grants import TokenClaims
from pyreg_auth_token.service.access_tokens import issue
from pyreg_auth_token.service.plugin import ServiceAuthorizer, TokenServicePlugin
from pyreg_auth_token.service.refresh import Credentials as Login
from pyreg_auth_token.service.refresh import RefreshTokens
from pyreg_auth_token.service.signing import read_keys

APP = Access("repository", "team/app", ("pull", "push"))


def token(
    keys: Path,
    name: str,
    *,
    granted: Sequence[Access] = (APP,),
    service: str = "pyreg",
    now: float = 0.0,
) -> str:
    return issue(
        read_keys(keys),
        Identity(name, frozenset({"devs"}), {"email": "a@b.c"}, "htpasswd"),
        granted,
        issuer="pyreg",
        service=service,
        lifetime=300,
        now=now or time.time(),
    ).text


class TestAuthenticator(AuthContract):
    @pytest.fixture
    async def authenticator(self, keys: Path, anyio_backend: str) -> AsyncIterator[Authenticator]:
        plugin = TokenServicePlugin(TokenServicePlugin.Options(keys=str(keys)))
        await plugin.pyreg_startup()
        yield plugin.pyreg_authenticator()
        await plugin.pyreg_shutdown()

    @pytest.fixture
    def good(self, keys: Path) -> list[Credentials]:
        return [Credentials.bearer(token(keys, name), name=name) for name in ("ada", "bob")]

    @pytest.fixture
    def bad(self, keys: Path) -> list[Credentials]:
        refresh = RefreshTokens("pyreg", "pyreg", 1000.0)
        sealed = refresh.seal(read_keys(keys), Login("ada", "secret"), time.time())
        assert sealed is not None
        return [
            Credentials.bearer(text)
            for text in (
                token(keys, "ada", service="other"),
                token(keys, "ada", now=time.time() - 1000),
                token(keys, "ada", now=time.time() + 1000),
                f"{token(keys, 'ada').rpartition('.')[0]}.{'A' * 86}",
                sealed,
            )
        ]


class TestAuthorizer(AuthorizerContract):
    @pytest.fixture
    def authorizer(self) -> Authorizer:
        async def shows(identity: Identity, repository: str) -> bool:
            return True

        return ServiceAuthorizer("pyreg", shows)

    @pytest.fixture
    def bearer(self) -> Identity:
        claims = {
            "iss": "pyreg",
            "access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}],
        }
        return Identity("ada", claims=TokenClaims(claims), authenticator="token")

    @pytest.fixture
    def allowed(self, bearer: Identity) -> list[tuple[Identity, Access]]:
        pull = Access("repository", "team/app", ("pull",))
        return [(bearer, pull), (bearer, APP), (bearer, Access("registry", "base", ("*",)))]

    @pytest.fixture
    def denied(self, bearer: Identity) -> list[tuple[Identity, Access]]:
        return [
            (bearer, Access("repository", "team/app", ("delete",))),
            (bearer, Access("repository", "team/other", ("pull",))),
            (bearer, Access("registry", "catalog", ("*",))),
        ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"keys": ""}, "keys"),
        ({"path": "/v2/token"}, "belongs to the registry"),
        ({"path": "/auth/keys"}, "the public keys are at this path"),
        ({"path": "auth"}, "path"),
        ({"path": "/a b"}, "path"),
        ({"realm": "registry.example.com/auth"}, "realm"),
        ({"expiration": False}, "expected a duration"),
        ({"expiration": "59s"}, "expiration"),
        ({"expiration": "25h"}, "expiration"),
        ({"expiration": "300"}, "greater than or equal to 60"),
        ({"expiration": "5 minutes"}, "expected a duration"),
        ({"expiration": True}, "expected a duration"),
        ({"refreshexpiration": -1}, "refreshexpiration"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TokenServicePlugin.Options.model_validate({"keys": "/keys", **options})


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200)])
def test_durations(text: str, seconds: int) -> None:
    options = {"keys": "/keys", "expiration": text, "refreshexpiration": "0"}
    read = TokenServicePlugin.Options.model_validate(options)
    assert (read.expiration, read.refreshexpiration) == (seconds, 0)


@pytest.mark.anyio
async def test_a_realm_that_was_told_is_the_realm(keys: Path) -> None:
    realm = "https://tokens.example.com/auth/token"
    plugin = TokenServicePlugin(TokenServicePlugin.Options(keys=str(keys), realm=realm))
    request = Credentials().request()
    challenge = plugin.pyreg_authenticator().challenge(request, [])
    assert challenge == f'Bearer realm="{realm}",service="pyreg"'
