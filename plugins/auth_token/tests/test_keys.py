"""Keys: their names, what they are good for, and the documents that they come in."""

from __future__ import annotations

import json
import logging
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.tokens import certify, jwk
from pyreg_auth_token.documents import UnreadableKeys, read_bundle, read_jwk, read_jwks
from pyreg_auth_token.keys import ALGORITHMS, TrustedKey, UnusableKey, fingerprint, joined, keyring

# RFC 7638, section 3.1.
RFC_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
    "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FD"
    "W2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQF"
    "h6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
}
RFC_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

# The key in the Docker registry's "Token Authentication Implementation".
DOCKER_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "m7zUpx3b-zmVE5cymSs64POG9QcyEpJaYCD82-549_Q",
    "y": "dU3biz8sZ_8GPB-odm8Wxz3lNDr1xcAQQPQaOcr1fmc",
}
DOCKER_NAME = "PYYO:TEWU:V7JH:26JV:AQTZ:LJC3:SXVJ:XGHA:34F2:2LAQ:ZRMK:Z7Q6"


def test_thumbprints_are_those_of_rfc_7638() -> None:
    assert read_jwk(RFC_KEY).thumbprint == RFC_THUMBPRINT


def test_fingerprints_are_those_of_libtrust() -> None:
    assert fingerprint(read_jwk(DOCKER_KEY).public) == DOCKER_NAME


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_has_its_own_algorithm(name: str) -> None:
    assert TrustedKey.of(tokens.key(name).public_key()).algorithms == {name}


def test_an_rsa_key_has_six() -> None:
    key = TrustedKey.of(tokens.key("RS256").public_key())
    assert key.algorithms == {name for name in ALGORITHMS if name[:2] in ("RS", "PS")}
    assert TrustedKey.of(key.public, "PS512").algorithms == {"PS512"}


@pytest.mark.parametrize(
    ("private", "reason"),
    [
        (rsa.generate_private_key(65537, 1024), "1024 bits"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (dsa.generate_private_key(2048), "DSA"),
        (x25519.X25519PrivateKey.generate(), "X25519"),
    ],
)
def test_keys_that_are_not_trusted(private: Any, reason: str) -> None:
    with pytest.raises(UnusableKey, match=reason):
        TrustedKey.of(private.public_key())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "shared secret"),
        ({**RFC_KEY, "use": "enc"}, "not for signatures"),
        ({**RFC_KEY, "key_ops": ["encrypt"]}, "not for the verification"),
        ({**RFC_KEY, "alg": "HS256"}, "does not fit its algorithm"),
        ({**RFC_KEY, "alg": "ES256"}, "does not fit its algorithm"),
        ({**RFC_KEY, "alg": 7}, "`alg`"),
        ({**RFC_KEY, "n": "!"}, "cannot be read"),
        ({"kty": "none"}, "cannot be read"),
        ("key", "no JSON object"),
    ],
)
def test_jwks_that_are_not_trusted(entry: Any, reason: str) -> None:
    with pytest.raises(UnusableKey, match=reason):
        read_jwk(entry)


def test_a_private_key_is_refused_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    with pytest.raises(UnusableKey, match="private") as caught:
        read_jwk(private)
    with pytest.raises(UnreadableKeys):
        read_jwks(json.dumps({"keys": [{**private, "crv": "P-999"}]}).encode())
    assert private["d"] not in str(caught.value) + caplog.text


def test_a_key_set_keeps_what_can_be_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    good = jwk(tokens.key("ES256").public_key(), kid="one")
    ring = read_jwks(json.dumps({"keys": [{"kty": "oct", "k": "AA"}, good, RFC_KEY]}).encode())
    assert set(ring.named) == {"one", tokens.kid("ES256"), RFC_THUMBPRINT}
    assert "key 1 of a key set is left out: it is a shared secret" in caplog.text


def test_one_name_for_two_kinds_of_keys() -> None:
    entries = [jwk(tokens.key(name).public_key(), kid="same") for name in ("ES256", "EdDSA")]
    ring = read_jwks(json.dumps({"keys": entries}).encode())
    for name in ("ES256", "EdDSA"):
        found = ring.find("same", name)
        assert found is not None
        assert found.algorithms == {name}
    assert ring.find("same", "RS256") is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b"7", b"\xff", b'{"keys": []}', b'{"keys": {}}',
        b'{"keys": [7, null]}', b"[" * 100_000, b'{"keys": [' + b"7," * 200 + b"7]}",
    ],
)  # fmt: skip
def test_no_key_sets(data: bytes) -> None:
    with pytest.raises(UnreadableKeys):
        read_jwks(data)


def test_a_bundle_trusts_keys_and_roots() -> None:
    one = certify("one", tokens.key("ES256"))
    two = certify("two", tokens.key("RS256"))
    ring = read_bundle(b"a comment\n" + one.pem + two.pem)
    assert ring.roots == (one.certificate, two.certificate)
    for name in ("ES256", "RS256"):
        assert ring.find(tokens.kid(name), name)
        assert ring.find(fingerprint(tokens.key(name).public_key()), name)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        certify("weak", rsa.generate_private_key(65537, 1024)).pem,
    ],
)  # fmt: skip
def test_no_bundles(data: bytes) -> None:
    with pytest.raises(UnreadableKeys):
        read_bundle(data)


def test_where_names_meet_the_first_has_the_say() -> None:
    first, second = (TrustedKey.of(tokens.key("ES256", who).public_key()) for who in "ab")
    ring = joined([keyring([(["x"], first)]), keyring([(["x", "y"], second)])])
    assert ring.find("x", "ES256") is first
    assert ring.find("y", "ES256") is second
    assert ring.fitting("ES256") == [first, second]
