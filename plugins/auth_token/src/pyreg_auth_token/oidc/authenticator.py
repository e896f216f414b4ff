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
from pyreg_auth_token.jws import InvalidToken, Unverified, bearer_token, parse, shown
from pyreg_auth_token.oidc.conditions import Unmet, check, filled, groups_of, texts_of
from pyreg_auth_token.oidc.options import Rule
from pyreg_auth_token.remembered import Remembered
from pyreg_auth_token.verifier import LEEWAY, Verifier

log = logging.getLogger("pyreg.auth.oidc")

NAME = "oidc"

_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+=*) *", re.IGNORECASE)
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Issuer:
    """One issuer, with the rules about its tokens and what was learnt of them.

    Attributes:
        verifier: Of its tokens; for the audiences of all rules.
        rules: In the order of the configuration.
        remembered: The bearers of tokens that were verified.
    """

    verifier: Verifier
    rules: Sequence[Rule]
    remembered: Remembered


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

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """The bearer of an ID token of one of the issuers.

        A Bearer token of another issuer is left to the other authenticators. A password in the
        form of a token is nobody else's.
        """
        text = bearer_token(request)
        password = None if text is not None else token_password(request)
        if text is None and password is None:
            return None
        try:
            token = parse(text or password or "")
            issuer = self._issuers.get(token.issuer)
            if issuer is not None:
                return await self._bearer(token, issuer)
        except InvalidToken as error:
            if text is not None and not _TOKEN.fullmatch(text):
                return None  # no token of ours has another form
            log.info("an ID token is refused: %s", error.reason)
            raise
        if password is None:
            return None
        log.info("an ID token is refused: its issuer %s is not known", shown(token.issuer))
        raise InvalidToken("the issuer is not known")

    async def _bearer(self, token: Unverified, issuer: Issuer) -> Identity:
        ring = await issuer.verifier.keys.current()
        known = issuer.remembered.find(token.text, ring)
        if known is None:
            claims = await issuer.verifier.verify(token)
            known = _identity(claims, issuer.rules)
            issuer.remembered.add(token.text, ring, claims["exp"], known)
        return known

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
    if claims["exp"] - claims["iat"] > rule.max_seconds + LEEWAY:
        raise Unmet(f"it is valid for longer than {rule.maxlifetime}")
    check(rule.claims, claims)
    return Identity(
        name=filled(rule.name, claims),
        groups=groups_of(rule.groups, claims),
        claims=MappingProxyType(dict(claims)),
        authenticator=NAME,
    )
