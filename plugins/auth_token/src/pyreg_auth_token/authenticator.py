"""Access with the tokens of a token server, as in the Docker registry."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pyreg.hooks import (
    Access,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
)
from pyreg_auth_token.challenge import BearerChallenge
from pyreg_auth_token.grants import TokenClaims
from pyreg_auth_token.jws import InvalidToken, Unverified, bearer_token, parse, shown
from pyreg_auth_token.remembered import Remembered
from pyreg_auth_token.verifier import Verifier

log = logging.getLogger("pyreg.auth.token")

NAME = "token"
MAX_GROUPS = 500


class TokenAuthenticator(Authenticator):
    """Knows the bearers of tokens.

    A token that names another issuer is left to the other authenticators; if none of them
    takes it, the registry refuses it.

    Args:
        verifier: Of the token server's tokens.
        challenge: Sends clients to the token server.
    """

    name = NAME
    challenges_denied = True

    def __init__(self, verifier: Verifier, challenge: BearerChallenge) -> None:
        self._verifier = verifier
        self._challenge = challenge
        self._remembered = Remembered()

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """The `sub` of a valid token, with its claims."""
        header = request.headers.get("authorization", "")
        if header[:7].lower() != "bearer ":
            return None
        ring = await self._verifier.keys.current()
        # Before it is looked at: what was verified was well-formed.
        known = self._remembered.find(header[7:], ring)
        if known is not None:
            return known
        text = bearer_token(request)
        if text is None:
            return None
        try:
            token = parse(text)
            if token.issuer != self._verifier.issuer:
                log.debug("a token of %s is left to others", shown(token.issuer))
                return None
            identity = await self._verified(token)
        except InvalidToken as error:
            log.info("a token is refused: %s", error.reason)
            raise
        self._remembered.add(text, ring, token.claims["exp"], identity)
        return identity

    async def _verified(self, token: Unverified) -> Identity:
        claims = await self._verifier.verify(token)
        return Identity(
            name=claims.get("sub", ""),
            groups=_groups(claims.get("groups")),
            claims=TokenClaims(claims),
            authenticator=NAME,
        )

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        """See `BearerChallenge`."""
        return self._challenge(request, accesses, error)


class TokenAuthorizer(Authorizer):
    """Allows the bearers of tokens exactly what their tokens grant."""

    name = NAME
    authenticator = NAME

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        """ALLOW or DENY; `/v2/` itself is open to every valid token."""
        if (access.kind, access.name) == ("registry", "base"):
            return Decision.ALLOW
        return _decided(identity, access)

    async def sees(self, identity: Identity, repository: str) -> Decision:
        """Who was granted the catalog sees all of it."""
        whole = _decided(identity, Access("registry", "catalog", ("*",)))
        return whole if whole is Decision.ALLOW else await super().sees(identity, repository)


def _decided(identity: Identity, access: Access) -> Decision:
    claims = identity.claims
    granted = isinstance(claims, TokenClaims) and claims.grants.allow(access)
    return Decision.ALLOW if granted else Decision.DENY


def _groups(claim: object) -> frozenset[str]:
    """A private claim of token servers that know about groups."""
    if claim is None:
        return frozenset()
    if not isinstance(claim, list) or len(claim) > MAX_GROUPS:
        raise InvalidToken(f"`groups` is no list of at most {MAX_GROUPS} names")
    if not all(isinstance(group, str) for group in claim):
        raise InvalidToken("a name in `groups` is no text")
    return frozenset(claim)
