"""The entry point `token` and its options."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pyreg.hooks import Authenticator, Authorizer, hookimpl
from pyreg_auth_token.authenticator import TokenAuthenticator, TokenAuthorizer
from pyreg_auth_token.challenge import BearerChallenge
from pyreg_auth_token.documents import read_bundle, read_jwks
from pyreg_auth_token.fetching import Fetcher, check_address
from pyreg_auth_token.keys import ALGORITHMS
from pyreg_auth_token.remote import RemoteKeys
from pyreg_auth_token.selection import by_docker_rules
from pyreg_auth_token.sources import KeyFile, KeySource, KeySources
from pyreg_auth_token.verifier import Verifier

_SHARED_SECRETS = ("HS256", "HS384", "HS512")


class Options(BaseModel):
    """The options below `auth.token`, those of the Docker registry.

    Attributes:
        realm: The token server's address, for clients.
        service: What the token server calls this registry; `aud` in its tokens.
        issuer: What the token server calls itself; `iss` in its tokens.
        rootcertbundle: A PEM file of certificates that tokens are signed with, or whose
            authorities issue those certificates.
        jwks: A JSON Web Key Set: a file, or an https address.
        signingalgorithms: Which algorithms are accepted; all that are safe, if empty.
        autoredirect: Send clients to the host that they asked, instead of to `realm`.
        autoredirectpath: The token server's path there.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    realm: str = ""
    service: Annotated[str, Field(min_length=1)]
    issuer: Annotated[str, Field(min_length=1)]
    rootcertbundle: str = ""
    jwks: str = ""
    signingalgorithms: tuple[str, ...] = ()
    autoredirect: bool = False
    autoredirectpath: Annotated[str, Field(pattern="^/")] = "/auth/token"

    @field_validator("signingalgorithms")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in _SHARED_SECRETS:
                raise ValueError(
                    f"{name} would sign tokens with a secret that the registry has to know, too; "
                    "have the token server sign with a private key (ES256, RS256, EdDSA)"
                )
            if name not in ALGORITHMS:
                raise ValueError(f"{name!r} is none of {', '.join(ALGORITHMS)}")
        return names

    @field_validator("jwks")
    @classmethod
    def _safe(cls, jwks: str) -> str:
        return check_address(jwks) if "://" in jwks else jwks

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if not (self.realm or self.autoredirect):
            raise ValueError("`realm` is missing: the address of the token server")
        if not (self.rootcertbundle or self.jwks):
            raise ValueError("`rootcertbundle` or `jwks` is missing: what tokens are verified with")
        return self


_Options = Options  # inside the class, `Options` is the attribute


class TokenPlugin:
    """Hands out authentication and authorization by tokens.

    It comes before other plugins, wherever it stands: a policy must not allow the bearer of a
    token what the token does not grant.
    """

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._keys = KeySources(_sources(options))
        verifier = Verifier(
            self._keys,
            by_docker_rules,
            issuer=options.issuer,
            audience=[options.service],
            algorithms=options.signingalgorithms or ALGORITHMS,
        )
        challenge = BearerChallenge(
            options.realm,
            options.service,
            path=options.autoredirectpath if options.autoredirect else "",
        )
        self._authenticator = TokenAuthenticator(verifier, challenge)

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        """Knows the bearers of tokens."""
        return self._authenticator

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer:
        """Allows them what their tokens grant."""
        return TokenAuthorizer()

    @hookimpl
    async def pyreg_startup(self) -> None:
        """Read the keys."""
        await self._keys.start()

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        """Stop fetching keys."""
        await self._keys.stop()


def _sources(options: Options) -> list[KeySource]:
    sources: list[KeySource] = []
    if options.rootcertbundle:
        sources.append(KeyFile(options.rootcertbundle, "auth.token.rootcertbundle", read_bundle))
    if options.jwks:
        sources.append(source_of_jwks(options.jwks, "auth.token.jwks", Fetcher()))
    return sources


def source_of_jwks(place: str, option: str, fetcher: Fetcher) -> KeySource:
    """Keys of a JSON Web Key Set.

    Args:
        place: A file, or an address.
        option: The option that names it, for messages.
        fetcher: Gets it from an address.
    """
    if "://" in place:
        return RemoteKeys(place, lambda: fetcher.get(place))
    return KeyFile(place, option, read_jwks)
