"""Public keys that are trusted, and the names that tokens know them by."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

# The members of a JWK that are its key (RFC 7638, section 3.2), in the order of a thumbprint.
_REQUIRED = ("crv", "e", "kty", "n", "x", "y")

ALGORITHMS = (*_RSA, *_CURVES.values(), "EdDSA")
"""Every algorithm that a token may be signed with (RFC 7518, section 3.1; RFC 8037)."""

MIN_RSA_BITS = 2048
"""Bits of an RSA key (RFC 7518, sections 3.3 and 3.5)."""


class UnusableKey(ValueError):
    """No token can be verified with this key; says why."""


@dataclass(frozen=True, slots=True, eq=False)
class TrustedKey:
    """A public key, with what it may be used for.

    Attributes:
        public: The key.
        algorithms: Those of `ALGORITHMS` that fit it. A token that names any other is refused,
            so that the token cannot choose how its own key is understood.
    """

    public: PublicKey
    algorithms: frozenset[str]

    @classmethod
    def of(cls, public: object, algorithm: str | None = None) -> TrustedKey:
        """Trust a key.

        Args:
            public: A public key of `cryptography`.
            algorithm: The only one that it is meant for, if its owner says so.

        Raises:
            UnusableKey: its kind is none of `PublicKey`, or it is too weak.
        """
        if isinstance(public, RSAPublicKey):
            if public.key_size < MIN_RSA_BITS:
                raise UnusableKey(
                    f"it is an RSA key of {public.key_size} bits, and less than {MIN_RSA_BITS} "
                    "are not safe"
                )
            fitting = frozenset(_RSA)
        elif isinstance(public, EllipticCurvePublicKey):
            if public.curve.name not in _CURVES:
                raise UnusableKey(f"tokens are not signed on the curve {public.curve.name}")
            fitting = frozenset({_CURVES[public.curve.name]})
        elif isinstance(public, Ed25519PublicKey):
            fitting = frozenset({"EdDSA"})
        else:
            raise UnusableKey(f"it is a {type(public).__name__}")
        if algorithm is not None:
            fitting &= {algorithm}
            if not fitting:
                raise UnusableKey(f"it does not fit its algorithm {algorithm!r}")
        return cls(public, fitting)

    @property
    def thumbprint(self) -> str:
        """RFC 7638, with SHA-256: the `kid` of today's token servers."""
        return thumbprint(self.public)


def thumbprint(public: PublicKey) -> str:
    """The JWK thumbprint of a key (RFC 7638), with SHA-256, in base64url."""
    if isinstance(public, RSAPublicKey):
        members = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, EllipticCurvePublicKey):
        members = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        members = OKPAlgorithm.to_jwk(public, as_dict=True)
    required = {name: members[name] for name in _REQUIRED if name in members}
    document = json.dumps(required, separators=(",", ":"))
    digest = hashlib.sha256(document.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def fingerprint(public: PublicKey) -> str:
    """The name of a key in libtrust, the `kid` of older token servers: `PYYO:TEWU:...`.

    The first 240 bits of the SHA-256 of the key in DER form, in base32, in groups of four.
    """
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(encoded).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


@dataclass(frozen=True, eq=False)
class Keyring:
    """Everything that is trusted at one moment; a change makes a new one.

    Attributes:
        named: Keys by the names that a `kid` may have. Issuers may give one name to two keys
            of different kinds.
        roots: Certificates that chains in tokens have to end at.
    """

    named: Mapping[str, tuple[TrustedKey, ...]] = field(default_factory=dict)
    roots: tuple[Certificate, ...] = ()

    def find(self, name: str, algorithm: str) -> TrustedKey | None:
        """The key of this name that fits an algorithm."""
        return next((key for key in self.named.get(name, ()) if algorithm in key.algorithms), None)

    def fitting(self, algorithm: str) -> list[TrustedKey]:
        """All keys that fit an algorithm, each once."""
        keys = {id(key): key for group in self.named.values() for key in group}
        return [key for key in keys.values() if algorithm in key.algorithms]


EMPTY = Keyring()


def keyring(
    keys: Iterable[tuple[Iterable[str], TrustedKey]], roots: Iterable[Certificate] = ()
) -> Keyring:
    """A keyring of keys, each with its names; a name given twice keeps both, in this order."""
    named: dict[str, tuple[TrustedKey, ...]] = {}
    for names, key in keys:
        for name in dict.fromkeys(names):
            named[name] = (*named.get(name, ()), key)
    return Keyring(named, tuple(roots))


def joined(rings: Iterable[Keyring]) -> Keyring:
    """One keyring of several; where names meet, the first has the say."""
    rings = list(rings)
    pairs = [
        ((name,), key) for ring in rings for name, group in ring.named.items() for key in group
    ]
    return keyring(pairs, (root for ring in rings for root in ring.roots))
