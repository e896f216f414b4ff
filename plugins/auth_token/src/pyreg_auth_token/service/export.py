"""Public keys in the forms that other registries read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from pyreg_auth_token.service.signing import SigningKey, SigningKeys

_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, section 4.1.2.5


def jwks(keys: SigningKeys) -> dict[str, Any]:
    """A JSON Web Key Set (RFC 7517, section 5), for `jwks` of pyreg and Docker registry 3."""
    return {"keys": [_jwk(key) for key in keys.keys]}


def _jwk(key: SigningKey) -> Mapping[str, Any]:
    public = key.trusted.public
    if isinstance(public, RSAPublicKey):
        members = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, EllipticCurvePublicKey):
        members = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        members = OKPAlgorithm.to_jwk(public, as_dict=True)
    members.pop("key_ops", None)  # together with `use` it says the same twice
    return {**members, "use": "sig", "alg": key.algorithm, "kid": key.kid}


def bundle(keys: SigningKeys) -> bytes:
    """Certificates in PEM, one for each key, for `rootcertbundle` of the Docker registry 2.

    They sign themselves and say nothing but the key: it is all that registries take from them.
    """
    return b"".join(_certificate(key) for key in keys.keys)


def _certificate(key: SigningKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"pyreg tokens {key.name}")])
    since = datetime.fromtimestamp(0, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.trusted.public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(_NEVER)
        # It vouches for its own key and for no other certificate.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    plain = isinstance(key.private, Ed25519PrivateKey | Ed448PrivateKey)
    return builder.sign(key.private, None if plain else SHA256()).public_bytes(Encoding.PEM)
