"""Material of the tests: a token server's keys and certificates, and tokens good and bad."""

from __future__ import annotations

import base64
import datetime
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwt.algorithms import get_default_algorithms

from pyreg_auth_token.keys import thumbprint

ISSUER = "auth.example.com"
SERVICE = "registry.example.com"
REALM = "https://auth.example.com/token"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


def new_key(algorithm: str) -> PrivateKey:
    """A new key for an algorithm."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key(algorithm: str, owner: str = "server") -> PrivateKey:
    """The key of somebody, the same in all tests of a run."""
    return _key(algorithm, owner)


@cache
def _key(algorithm: str, _owner: str) -> PrivateKey:
    return new_key(algorithm)


def kid(algorithm: str, owner: str = "server") -> str:
    """The RFC 7638 thumbprint of a key."""
    return thumbprint(key(algorithm, owner).public_key())


def encoded(value: bytes | Mapping[str, Any]) -> str:
    """A part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(
    header: bytes | Mapping[str, Any],
    claims: bytes | Mapping[str, Any],
    algorithm: str = "ES256",
    private: Any = None,
) -> str:
    """A token, whatever its parts say.

    Args:
        header: As it stands in the token.
        claims: As they stand in the token.
        algorithm: What really happens.
        private: The key; the server's for the algorithm unless told.
    """
    message = f"{encoded(header)}.{encoded(claims)}"
    method = get_default_algorithms()[algorithm]
    secret = key(algorithm) if private is None else private
    return f"{message}.{encoded(method.sign(message.encode(), secret))}"


def grant(name: str, *actions: str, kind: str = "repository") -> dict[str, Any]:
    """An entry of the `access` claim."""
    return {"type": kind, "name": name, "actions": list(actions)}


PULL = grant("team/app", "pull")


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token; what is changed to None is left out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "sub": "ada",
        "aud": SERVICE,
        "exp": now + 300,
        "nbf": now - 10,
        "iat": now - 10,
        "jti": "7",
        "access": [PULL],
        **changes,
    }
    return {name: value for name, value in good.items() if value is not None}


def token(algorithm: str = "ES256", header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A good token of the server, but for what is changed in its claims.

    Args:
        algorithm: What it is signed with, by `kid`.
        header: Changes the header; what is changed to None is left out.
        changes: See `claims`.
    """
    full = {"typ": "JWT", "alg": algorithm, "kid": kid(algorithm), **(header or {})}
    return signed({k: v for k, v in full.items() if v is not None}, claims(**changes), algorithm)


def jwk(public: Any, **more: Any) -> dict[str, Any]:
    """A public key in the form of RFC 7517."""
    for method in ("RS256", "ES256", "EdDSA"):
        try:
            return {**get_default_algorithms()[method].to_jwk(public, as_dict=True), **more}
        except (jwt.PyJWTError, TypeError, AttributeError):
            continue
    raise TypeError(type(public).__name__)


@dataclass(frozen=True)
class Certified:
    """A certificate with its private key."""

    certificate: x509.Certificate
    private: PrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate, as in a bundle."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def x5c(self) -> str:
        """The certificate, as in a token's header."""
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()


def certify(
    name: str,
    private: PrivateKey,
    issuer: Certified | None = None,
    *,
    authority: bool | None = None,
    usage: x509.KeyUsage | None = None,
    begins: int = -1,
    ends: int = 30,
) -> Certified:
    """Issue a certificate.

    Args:
        name: The subject.
        private: Its key.
        issuer: Who signs it; itself unless told.
        authority: The flag of the basic constraints; none of these without it.
        usage: The key usage; none without it.
        begins: When its validity begins, in days from now.
        ends: When it ends.
    """
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    signer = issuer.private if issuer else private
    method = None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256()
    return Certified(builder.sign(signer, method), private)


def usage(**flags: bool) -> x509.KeyUsage:
    """A key usage of which only these flags are set."""
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: flags.get(name, False) for name in names})
