"""Access tokens, as in the Docker registry's "Bearer token specification"."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from pyreg.hooks import ANONYMOUS, Access, Identity
from pyreg_auth_token.service.signing import SigningKeys

CALLER = "caller"
"""The claim that says how the bearer came to the token service, besides `sub` and `groups`."""

MAX_CALLER = 6 * 1024
"""Bytes that these claims may have; a token has to fit into a header of a request."""


class UnfitIdentity(Exception):
    """What is known of a caller does not fit into a token; the message is for the client."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that was issued.

    Attributes:
        text: For the `Authorization` header.
        issued: When, in seconds since the epoch.
        lifetime: Seconds.
    """

    text: str
    issued: int
    lifetime: int

    @property
    def issued_at(self) -> str:
        """In the form of RFC 3339."""
        return datetime.fromtimestamp(self.issued, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def issue(
    keys: SigningKeys,
    identity: Identity,
    granted: Sequence[Access],
    *,
    issuer: str,
    service: str,
    lifetime: int,
    now: float,
) -> AccessToken:
    """Make a token.

    Args:
        keys: The newest one that signs is used.
        identity: For whom.
        granted: What it allows; nothing is fine.
        issuer: `iss`.
        service: `aud`.
        lifetime: Seconds.
        now: Seconds since the epoch.

    Raises:
        UnfitIdentity: the caller has too many groups or claims.
    """
    key = keys.current(now)
    issued = int(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": identity.name,
        "aud": service,
        "exp": issued + lifetime,
        "nbf": issued,
        "iat": issued,
        "jti": secrets.token_urlsafe(16),
        "access": [
            {"type": item.kind, "name": item.name, "actions": list(item.actions)}
            for item in granted
        ],
    }
    if not identity.anonymous:
        claims.update(_described(identity))
    text = jwt.encode(claims, key.private, key.algorithm, headers={"kid": key.kid})
    return AccessToken(text, issued, lifetime)


def caller(claims: Mapping[str, Any]) -> Identity:
    """The caller that `issue` was given, from the claims of the token that it made.

    Args:
        claims: They must have been verified.
    """
    described = claims.get(CALLER)
    if described is None:
        return ANONYMOUS
    return Identity(
        claims["sub"],
        frozenset(claims["groups"]),
        described["claims"],
        described["authenticator"],
    )


def _described(identity: Identity) -> dict[str, Any]:
    described = {
        "groups": sorted(identity.groups),
        CALLER: {"authenticator": identity.authenticator, "claims": dict(identity.claims)},
    }
    try:
        size = len(json.dumps(described))
    except (TypeError, ValueError) as error:
        raise UnfitIdentity("the claims of this login do not fit into a token") from error
    if size > MAX_CALLER:
        raise UnfitIdentity("this login has too many groups or claims for a token")
    return described
