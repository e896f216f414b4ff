"""Which trusted key a token says it was signed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyreg_auth_token import chain
from pyreg_auth_token.documents import read_jwk
from pyreg_auth_token.jws import InvalidToken, shown
from pyreg_auth_token.keys import Keyring, TrustedKey, UnusableKey

Select = Callable[[dict[str, Any], Keyring], TrustedKey | None]
"""From a token's header and the trusted keys to the key; None if no trusted key is meant.

Raises InvalidToken where newer keys could not change the answer.
"""


def by_docker_rules(header: dict[str, Any], ring: Keyring) -> TrustedKey | None:
    """As the Docker registry does: by `x5c`, without it by `jwk`, without both by `kid`.

    Only one of them is looked at: a chain that fails is not made good by a `kid`.
    """
    if header.get("x5c"):
        return _by_chain(header["x5c"], ring)
    if "jwk" in header:
        return _by_jwk(header, ring)
    if header.get("kid"):
        return _by_name(header, ring)
    raise InvalidToken("the header has neither `x5c` nor `jwk` nor `kid`")


def by_name(header: dict[str, Any], ring: Keyring) -> TrustedKey | None:
    """As OpenID Connect does (Core 1.0, section 10.1): by `kid`; without, by the only key."""
    if "kid" in header:
        return _by_name(header, ring)
    fitting = ring.fitting(header["alg"])
    return fitting[0] if len(fitting) == 1 else None


def _by_name(header: dict[str, Any], ring: Keyring) -> TrustedKey | None:
    name = header["kid"]
    if not isinstance(name, str):
        raise InvalidToken("`kid` is no text")
    found = ring.find(name, header["alg"])
    if found is None and name in ring.named:
        raise InvalidToken(f"the key {shown(name)} is not for {shown(header['alg'])}")
    return found


def _by_chain(value: Any, ring: Keyring) -> TrustedKey:
    try:
        return chain.key_of(value, ring.roots)
    except chain.UntrustedChain as error:
        raise InvalidToken(str(error)) from None


def _by_jwk(header: dict[str, Any], ring: Keyring) -> TrustedKey | None:
    """The trusted key that is this one; the token's own copy is never verified with."""
    entry = header["jwk"]
    try:
        embedded = read_jwk(entry)
    except UnusableKey as error:
        raise InvalidToken(f"`jwk` cannot be used: {error}") from None
    if "x5c" not in entry:
        return ring.find(embedded.thumbprint, header["alg"])
    certified = _by_chain(entry["x5c"], ring)
    if certified.thumbprint != embedded.thumbprint:
        raise InvalidToken("`jwk` has another key than its certificate")
    return certified
