"""The entry point `tokenservice` and its options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from quart import Blueprint

from pyreg.hooks import (
    AccessControl,
    Authenticator,
    Authorizer,
    Decision,
    Identity,
    hookimpl,
    parse_duration,
)
from pyreg_auth_token.authenticator import TokenAuthenticator, TokenAuthorizer
from pyreg_auth_token.challenge import BearerChallenge
from pyreg_auth_token.selection import by_docker_rules
from pyreg_auth_token.service.access_tokens import caller
from pyreg_auth_token.service.endpoint import TokenEndpoint
from pyreg_auth_token.service.refresh import RefreshTokens
from pyreg_auth_token.service.watching import WatchedKeys
from pyreg_auth_token.verifier import Verifier

Seconds = Annotated[float, BeforeValidator(parse_duration)]


class Options(BaseModel):
    """The options below `auth.tokenservice`.

    Attributes:
        keys: The directory of private keys; `pyreg token-keys init` makes one.
        issuer: What the service calls itself; `iss` in its tokens.
        service: What it calls the registry that tokens are for; `aud` in its tokens.
        realm: The address of `path` for clients; "" takes the host that each client asked.
        path: Where tokens are issued. The public keys are beside it, as `keys`.
        expiration: How long a token is good for: `90s`, `5m`, `1h`.
        refreshexpiration: How long a refresh token is good for; 0 for no refresh tokens.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    keys: Annotated[str, Field(min_length=1)]
    issuer: Annotated[str, Field(min_length=1)] = "pyreg"
    service: Annotated[str, Field(min_length=1)] = "pyreg"
    realm: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)+$")] = "/auth/token"
    # Less than a minute is too short for older clients ("Token Response Fields").
    expiration: Annotated[Seconds, Field(ge=60, le=86_400)] = 300
    refreshexpiration: Annotated[Seconds, Field(ge=0)] = 30 * 86_400

    @field_validator("path")
    @classmethod
    def _free(cls, path: str) -> str:
        if path.startswith("/v2/") or path == "/v2":
            raise ValueError("everything below /v2 belongs to the registry")
        if path == _beside(path):
            raise ValueError("the public keys are at this path")
        return path


_Options = Options  # inside the class, `Options` is the attribute


class TokenServicePlugin:
    """Hands out a token service, and what verifies its tokens.

    It comes before other plugins, wherever it stands: clients take the first challenge that they
    know, and what a token does not grant is denied before a policy is asked.
    """

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._keys = WatchedKeys(Path(options.keys))
        self._access: AccessControl | None = None

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        """Knows the bearers of tokens, and sends all others to the token service."""
        options = self._options
        verifier = Verifier(
            self._keys, by_docker_rules, issuer=options.issuer, audience=[options.service]
        )
        challenge = BearerChallenge(
            options.realm or options.path,
            options.service,
            path="" if options.realm else options.path,
        )
        return TokenAuthenticator(verifier, challenge)

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer:
        """Allows bearers what their tokens grant."""
        return ServiceAuthorizer(self._options.issuer, self._shows)

    @hookimpl
    def pyreg_access(self, access: AccessControl) -> None:
        """Who calls, and who may do what, is for the registry's other plugins to say."""
        self._access = access

    @hookimpl
    def pyreg_blueprint(self) -> Blueprint:
        """Where tokens are issued, and where the public keys are."""
        options = self._options
        endpoint = TokenEndpoint(
            self._registry_access,
            lambda: self._keys.signing,
            RefreshTokens(options.issuer, options.service, options.refreshexpiration),
            issuer=options.issuer,
            service=options.service,
            lifetime=int(options.expiration),
        )
        return endpoint.blueprint(options.path, _beside(options.path))

    @hookimpl
    def pyreg_health(self) -> Callable[[], Awaitable[str | None]]:
        """Whether the directory of keys can still be used."""

        async def token_keys() -> str | None:
            return self._keys.trouble

        return token_keys

    @hookimpl
    async def pyreg_startup(self) -> None:
        """Read the keys."""
        await self._keys.start()

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        """Look at the keys no more."""
        await self._keys.stop()

    @property
    def _registry_access(self) -> AccessControl:
        assert self._access is not None, "the registry tells before it asks for routes"
        return self._access

    async def _shows(self, identity: Identity, repository: str) -> bool:
        return await self._registry_access.shows(identity, repository)


class ServiceAuthorizer(TokenAuthorizer):
    """Allows the bearers of the service's tokens what their tokens grant.

    Args:
        issuer: The service's name.
        shows: What a caller sees by the registry's other authorizers.
    """

    def __init__(self, issuer: str, shows: Callable[[Identity, str], Awaitable[bool]]) -> None:
        self._issuer = issuer
        self._shows = shows

    async def sees(self, identity: Identity, repository: str) -> Decision:
        """Who was granted the catalog sees in it what it would see without a token."""
        decision = await super().sees(identity, repository)
        if decision is not Decision.ALLOW or identity.claims.get("iss") != self._issuer:
            return decision
        shown = await self._shows(caller(identity.claims), repository)
        return Decision.ALLOW if shown else Decision.DENY


def _beside(path: str) -> str:
    """Where the public keys are: `/auth/keys` for `/auth/token`."""
    return f"{path.rpartition('/')[0]}/keys"
