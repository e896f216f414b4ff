"""The verification of a token: its key, its signature, its issuer, audience and times."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import jwt

from pyreg_auth_token.jws import InvalidToken, Unverified, shown
from pyreg_auth_token.keys import ALGORITHMS
from pyreg_auth_token.selection import Select
from pyreg_auth_token.sources import KeySource

LEEWAY = 60.0
"""Seconds that clocks may differ by, as in the Docker registry."""


class Verifier:
    """Verifies the tokens of one issuer.

    Args:
        keys: What its tokens are signed with.
        select: Which of the keys a token is signed with.
        issuer: What `iss` has to be.
        audience: What `aud` has to be or to contain, one of them.
        algorithms: Which of `pyreg_auth_token.keys.ALGORITHMS` are accepted.
    """

    def __init__(
        self,
        keys: KeySource,
        select: Select,
        *,
        issuer: str,
        audience: Sequence[str],
        algorithms: Collection[str] = ALGORITHMS,
    ) -> None:
        self.issuer = issuer
        self.keys = keys
        self._select = select
        self._audience = tuple(audience)
        self._algorithms = frozenset(algorithms)

    async def verify(self, token: Unverified) -> dict[str, Any]:
        """The claims of a token, all of them now known to be the issuer's.

        Raises:
            InvalidToken: something is wrong with it.
        """
        algorithm = token.header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken(f"the algorithm {shown(algorithm)} is not accepted")
        if "crit" in token.header:
            raise InvalidToken("the header has extensions that must be understood (`crit`)")
        key = self._select(token.header, await self.keys.current())
        if key is None:
            key = self._select(token.header, await self.keys.renewed())
        if key is None:
            raise InvalidToken(f"no trusted key is called {shown(token.header.get('kid'))}")
        if algorithm not in key.algorithms:
            raise InvalidToken(f"its key is not for the algorithm {algorithm}")
        try:
            # The algorithms are those of the key: the token only chooses among them.
            claims: dict[str, Any] = jwt.decode(
                token.text,
                key.public,
                algorithms=sorted(key.algorithms & self._algorithms),
                audience=self._audience,
                issuer=self.issuer,
                leeway=LEEWAY,
                options={"require": ["exp"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(str(error)) from None
        return claims
