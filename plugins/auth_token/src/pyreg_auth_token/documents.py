"""Documents that keys are published in: JSON Web Key Sets, and bundles of certificates."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import jwt
from cryptography import x509

from pyreg_auth_token.keys import Keyring, TrustedKey, UnusableKey, fingerprint, keyring

log = logging.getLogger("pyreg.auth.token")

MAX_KEYS = 100
"""Keys in a set, and certificates in a bundle."""


class UnreadableKeys(ValueError):
    """A document has no key that could be used; says why."""


def read_jwks(data: bytes) -> Keyring:
    """The keys of a JSON Web Key Set (RFC 7517, section 5).

    A key is known by its `kid` and by its thumbprint. Keys that are not for signatures, and keys
    of kinds that are not accepted (shared secrets above all), are left out with a warning.

    Raises:
        UnreadableKeys: it is no key set, or none of its keys can be used.
    """
    try:
        entries = json.loads(data)["keys"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise UnreadableKeys('it is no JSON Web Key Set ({"keys": [...]})') from None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise UnreadableKeys(f"`keys` is no list of at most {MAX_KEYS} keys")
    found = list(_usable(entries))
    if not found:
        raise UnreadableKeys("none of its keys can verify a token")
    return keyring(found)


def read_jwk(entry: Any) -> TrustedKey:
    """One public JSON Web Key (RFC 7517, section 4).

    Raises:
        UnusableKey: it is not a public key, or not for the signatures of tokens.
    """
    if not isinstance(entry, dict):
        raise UnusableKey("it is no JSON object")
    if entry.get("kty") == "oct":
        raise UnusableKey("it is a shared secret, and tokens are verified with public keys only")
    if entry.get("use", "sig") != "sig":
        raise UnusableKey("it is not for signatures")
    if "verify" not in entry.get("key_ops", ("verify",)):
        raise UnusableKey("it is not for the verification of signatures")
    algorithm = entry.get("alg")
    try:
        # Which algorithms fit the key is up to `TrustedKey`; its `alg` only narrows them down.
        key = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
        # The messages of some of these errors quote the whole key.
        raise UnusableKey(f"it cannot be read ({type(error).__name__})") from None
    if hasattr(key, "public_key"):
        raise UnusableKey("it is a private key; publish the public one alone")
    if algorithm is not None and not isinstance(algorithm, str):
        raise UnusableKey("its `alg` is no text")
    return TrustedKey.of(key, algorithm)


def read_bundle(data: bytes) -> Keyring:
    """The certificates of a PEM file: roots of chains, and keys in their own right.

    A key is known by its thumbprint (RFC 7638) and by its libtrust fingerprint.

    Raises:
        UnreadableKeys: there is no certificate in it, or one that cannot be read or used.
    """
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise UnreadableKeys(f"it is no bundle of certificates in PEM form: {error}") from None
    if len(certificates) > MAX_KEYS:
        raise UnreadableKeys(f"it has more than {MAX_KEYS} certificates")
    keys = []
    for certificate in certificates:
        try:
            key = TrustedKey.of(certificate.public_key())
        except (UnusableKey, ValueError) as error:
            subject = certificate.subject.rfc4514_string()
            raise UnreadableKeys(f"the key of {subject!r} cannot be used: {error}") from None
        keys.append(((key.thumbprint, fingerprint(key.public)), key))
    return keyring(keys, certificates)


def _usable(entries: list[Any]) -> Iterator[tuple[list[str], TrustedKey]]:
    for number, entry in enumerate(entries, 1):
        try:
            key = read_jwk(entry)
        except UnusableKey as error:
            log.warning("key %d of a key set is left out: %s", number, error)
            continue
        name = entry.get("kid")
        yield [*([name] if isinstance(name, str) else []), key.thumbprint], key
