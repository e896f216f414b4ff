"""Cipher suites by the names that the Docker registry's configuration has for them: Go's.

As in Go, the suites of TLS 1.3 cannot be chosen: all three are always spoken, and the order is
the server's. AES-128 comes first. It is as safe as AES-256 against everything that is known, and
faster.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

TLS13 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
"""OpenSSL and the standard (RFC 8446, appendix B.4) have the same names for these."""

_GOOD = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}

_WEAK = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
"""CBC, whose implementations leaked time again and again, and keys without forward secrecy."""

_BROKEN = (
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
)
"""RC4 (RFC 7465) and 3DES (Sweet32). OpenSSL has not spoken them for years."""

# Two names that Go once gave to two of its suites, and still takes.
_ALIASES = {
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}

NAMES = (*TLS13, *_GOOD, *_WEAK, *_BROKEN)
"""Every name that is known."""


@dataclass(frozen=True)
class Suites:
    """What is spoken.

    Attributes:
        tls12: OpenSSL's names for TLS 1.2, the best first; none means that TLS 1.2 is not spoken.
        warnings: What the author of the list should know.
    """

    tls12: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def choose(names: Sequence[str]) -> Suites:
    """The suites of a list.

    Args:
        names: Go's names; none means the good ones.

    Raises:
        ValueError: a name is unknown, or nothing is left that can be spoken.
    """
    if not names:
        return Suites(tuple(_GOOD.values()))
    wanted = {_ALIASES.get(name, name) for name in names}
    for name in names:
        if _ALIASES.get(name, name) not in NAMES:
            raise ValueError(f"{name!r} is no cipher suite{_did_you_mean(name)}")
    warnings = [f"{name} is broken, and is left out" for name in _BROKEN if name in wanted]
    warnings += [
        f"{name} is weak; use it only for clients that have nothing better"
        for name in _WEAK
        if name in wanted
    ]
    if not wanted - set(_BROKEN):
        raise ValueError("every cipher suite of the list is broken; leave the list out")
    spoken = {**_GOOD, **_WEAK}
    return Suites(tuple(spoken[name] for name in spoken if name in wanted), tuple(warnings))


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name.upper().replace("-", "_"), NAMES, n=1)
    return f"; did you mean {close[0]}?" if close else ""
