"""Both authenticators, and the authorizer, keep the contract of `pyreg.hooks.auth`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.tokens import grant, token
from pyreg.hooks import Access, Authenticator, Authorizer, Identity
from pyreg.testing import AuthContract, AuthorizerContract, Credentials
from pyreg_auth_token.authenticator import TokenAuthorizer
from pyreg_auth_token.grants import TokenClaims
from pyreg_auth_token.oidc.options import Options as OidcOptions
from pyreg_auth_token.oidc.plugin import OidcPlugin
from pyreg_auth_token.plugin import Options, TokenPlugin


class TestToken(AuthContract):
    @pytest.fixture
    async def authenticator(
        self, options: Options, anyio_backend: str
    ) -> AsyncIterator[Authenticator]:
        plugin = TokenPlugin(options)
        await plugin.pyreg_startup()
        yield plugin.pyreg_authenticator()
        await plugin.pyreg_shutdown()

    @pytest.fixture
    def good(self) -> list[Credentials]:
        return [
            Credentials.bearer(token(), name="ada"),
            Credentials.bearer(token("EdDSA", sub="bob"), name="bob"),
            Credentials.bearer(token(sub="carol", access=None), name="carol"),
        ]

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        changes = [{"aud": "other"}, {"exp": int(time.time()) - 100}, {"access": 7}]
        wrong = [token(**change) for change in changes]  # type: ignore[arg-type]
        wrong.append(f"{token().rpartition('.')[0]}.{'A' * 86}")
        wrong.append("no-token-at-all")
        return [Credentials.bearer(each) for each in wrong]

    @pytest.fixture
    def foreign(self) -> list[Credentials]:
        return [Credentials.bearer(token(iss="https://other.example.com"))]


class TestOidc(AuthContract):
    @pytest.fixture
    async def authenticator(
        self, tmp_path: Path, anyio_backend: str
    ) -> AsyncIterator[Authenticator]:
        jwks = tmp_path / "jwks.json"
        keys = [tokens.jwk(tokens.key("ES256").public_key(), kid=tokens.kid("ES256"))]
        jwks.write_text(json.dumps({"keys": keys}))
        rule = {
            "issuer": tokens.ISSUER,
            "audience": tokens.SERVICE,
            "claims": {"sub": ["a*", "b?b"]},
            "jwks": str(jwks),
        }
        plugin = OidcPlugin(OidcOptions.model_validate({"issuers": [rule]}))
        await plugin.pyreg_startup()
        yield plugin.pyreg_authenticator()
        await plugin.pyreg_shutdown()

    @pytest.fixture
    def good(self) -> list[Credentials]:
        # Basic credentials have a user name that means nothing, which the suite does not expect.
        return [
            Credentials.bearer(token(), name="ada"),
            Credentials.bearer(token(sub="bob"), name="bob"),
        ]

    async def test_a_challenge_names_the_scheme_of_the_credentials(
        self, authenticator: Authenticator, good: list[Credentials]
    ) -> None:
        """Of the two that it takes, the one that clients know how to answer."""
        assert authenticator.challenge(Credentials().request(), []).startswith("Basic ")

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        changes = [{"aud": "other"}, {"exp": int(time.time()) - 100}, {"sub": "mallory"}]
        wrong = [token(**change) for change in changes]  # type: ignore[arg-type]
        return [
            *(Credentials.bearer(each) for each in wrong),
            *(Credentials.basic("ada", each) for each in wrong),
            Credentials.basic("ada", token(iss="https://other.example.com")),
        ]

    @pytest.fixture
    def foreign(self) -> list[Credentials]:
        return [
            Credentials.bearer(token(iss="https://other.example.com")),
            Credentials.bearer("opaque"),
            Credentials.basic("ada", "secret"),
            Credentials.basic("ada", "a.b.c"),
        ]


class TestTokenAuthorizer(AuthorizerContract):
    @pytest.fixture
    def authorizer(self) -> Authorizer:
        return TokenAuthorizer()

    @pytest.fixture
    def bearer(self) -> Identity:
        access = [grant("team/app", "pull", "push"), grant("team/all", "*")]
        claims = TokenClaims({"sub": "ada", "access": access})
        return Identity("ada", claims=claims, authenticator="token")

    @pytest.fixture
    def allowed(self, bearer: Identity) -> list[tuple[Identity, Access]]:
        return [
            (bearer, Access("repository", "team/app", ("pull",))),
            (bearer, Access("repository", "team/app", ("pull", "push"))),
            (bearer, Access("repository", "team/all", ("pull", "push", "delete"))),
            (bearer, Access("registry", "base", ("*",))),
        ]

    @pytest.fixture
    def denied(self, bearer: Identity) -> list[tuple[Identity, Access]]:
        nobody = Identity("ada", claims={"access": [grant("team/app", "*")]}, authenticator="x")
        return [
            (bearer, Access("repository", "team/app", ("delete",))),
            (bearer, Access("repository", "team/app", ("*",))),
            (bearer, Access("repository", "team", ("pull",))),
            (bearer, Access("registry", "catalog", ("*",))),
            (nobody, Access("repository", "team/app", ("pull",))),
        ]
