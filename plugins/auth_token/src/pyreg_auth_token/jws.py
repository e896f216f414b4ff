"""A token as it arrives: three parts, decoded within bounds, with nothing verified yet.

PyJWT does the verification. What is here has to happen before: which key to verify with stands in
the header, and whose token it is stands in the claims.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pyreg.hooks import AuthRequest, InvalidCredentials

MAX_LENGTH = 16 * 1024
"""Characters in a token. Servers rarely take more in all headers of a request together."""

_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_BEARER = re.compile(r"bearer +([^ ]+)", re.IGNORECASE)
_TIMES = ("exp", "nbf", "iat")


class InvalidToken(InvalidCredentials):
    """The token is not accepted; `invalid_token` in the challenge (RFC 6750, section 3.1).

    Args:
        reason: For the log; nothing of the token but single values, cut short.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason, error="invalid_token")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token whose parts could be read; anybody can have written them.

    Attributes:
        text: The token itself.
        header: The JOSE header (RFC 7515, section 4).
        claims: The claims (RFC 7519, section 4).
    """

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def issuer(self) -> str:
        """Whose token it claims to be; "" if it does not say."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""


def bearer_token(request: AuthRequest) -> str | None:
    """The token of an `Authorization: Bearer` header (RFC 6750, section 2.1); None without."""
    match = _BEARER.fullmatch(request.headers.get("authorization", ""))
    return match[1] if match else None


def parse(text: str) -> Unverified:
    """Take a token apart.

    Numbers that are none, members that come twice, and dates that are no numbers are refused:
    where two readers could understand a token differently, one of them is being deceived.

    Raises:
        InvalidToken: it is too long, or no JWS in compact form with JSON objects in it.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidToken(f"the token has more than {MAX_LENGTH} characters")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise InvalidToken("the token does not consist of three parts in base64url")
    header, claims = _json(match[1], "header"), _json(match[2], "claims")
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidToken(f"`{name}` is not a number")
    return Unverified(text, header, claims)


def shown(value: object) -> str:
    """A value of a token as it may stand in the log: quoted, and cut short."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _json(part: str, what: str) -> dict[str, Any]:
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        raise InvalidToken(f"the {what} of the token cannot be read") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"the {what} of the token is not a JSON object")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member comes twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
