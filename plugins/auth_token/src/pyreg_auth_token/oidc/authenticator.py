"""Access with the ID tokens of CI systems."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pyreg.hooks import Access, Authenticator, AuthRequest, Identity
from pyreg_auth_token.jws import InvalidToken, bearer_token, parse, shown
from pyreg_auth_token.oidc.conditions import Unmet, check, filled, groups_of, texts_of
from pyreg_auth_token.oidc.options import Rule
from pyreg_auth_token.remembered import Remembered
from pyreg_auth_token.sources import KeySources
from pyreg_auth_token.verifier import LEEWAY, Verifier

log = logging.getLogger("pyreg.auth.oidc")

NAME = "oidc"

_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+=*) *", re.IGNORECASE)
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Issuer:
    """One issuer, with the rules about its tokens.

    Attributes:
        verifier: Of its tokens; for the audiences of all rules.
        rules: In the order of the configuration.
    """

    verifier: Verifier
    rules: Sequence[Rule]


class OidcAuthenticator(Authenticator):
    """Knows the bearers of ID tokens (OpenID Connect Core 1.0, section 2).

    A token comes as a Bearer token, or as the password of Basic credentials under any user
    name, as in `docker login --username ci --password-stdin`.

    Args:
        issuers: Whose tokens are accepted, by the value of `iss`.
    """

    name = NAME

    def __init__(self, issuers: Mapping[str, Issuer]) -> None:
        self._issuers = dict(issuers)
        self._keys = KeySources([issuer.verifier.keys for issuer in issuers.values()])
        self._remembered = Remembered()

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """The bearer of an ID token of one of the issuers.

        A Bearer token of another issuer is left to the other authenticators. A password in the
        form of a token is nobody else's.
        """
        bearer = bearer_token(request)
        text = token_password(request) if bearer is None else bearer
        if text is None:
            return None
        ring = await self._keys.current()
        known = self._remembered.find(text, ring)
        if known is not None:
            return known
        try:
            token = parse(text)
            issuer = self._issuers.get(token.issuer)
            if issuer is None:
                if bearer is not None:
                    return None
                raise InvalidToken(f"its issuer {shown(token.issuer)} is not known")
            claims = await issuer.verifier.verify(token)
            identity = _identity(claims, issuer.rules)
        except InvalidToken as error:
            if bearer is not None and not _TOKEN.fullmatch(bearer):
                return None  # no token of ours has another form
            log.info("an ID token is refused: %s", error.reason)
            raise
        self._remembered.add(text, ring, claims["exp"], identity)
        return identity

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        """Basic, which every client can answer with a token for a password."""
        return 'Basic realm="ID token"'


def token_password(request: AuthRequest) -> str | None:
    """A password that has the form of a token, in Basic credentials (RFC 7617)."""
    match = _BASIC.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        return None
    try:
        _, _, password = base64.b64decode(match[1], validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password if _TOKEN.fullmatch(password) else None


def _identity(claims: Mapping[str, Any], rules: Sequence[Rule]) -> Identity:
    """Who the bearer is, by the first rule that holds.

    Raises:
        InvalidToken: none does; says why, for each.
    """
    reasons = []
    for rule in rules:
        try:
            return _by_rule(claims, rule)
        except Unmet as error:
            reasons.append(str(error))
    raise InvalidToken("; ".join(dict.fromkeys(reasons)))


def _by_rule(claims: Mapping[str, Any], rule: Rule) -> Identity:
    if not set(texts_of(claims.get("aud"))) & set(rule.audience):
        raise Unmet(f"its audience is not {' or '.join(map(repr, rule.audience))}")
    # Core 1.0, section 2, asks for `iat`; without it nobody knows how long the token lives.
    if "iat" not in claims:
        raise Unmet("it has no claim 'iat'")
    if claims["exp"] - claims["iat"] > rule.maxlifetime + LEEWAY:
        raise Unmet(f"it is valid for longer than {rule.maxlifetime:.0f} s")
    check(rule.claims, claims)
    return Identity(
        name=filled(rule.name, claims),
        groups=groups_of(rule.groups, claims),
        claims=MappingProxyType(dict(claims)),
        authenticator=NAME,
    )
