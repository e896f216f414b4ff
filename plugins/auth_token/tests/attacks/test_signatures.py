"""Tokens signed by others, with other algorithms, or not at all."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.attacks.conftest import Attack
from plugins.auth_token.tests.tokens import claims, encoded, signed, token

pytestmark = pytest.mark.anyio

HEADER = {"typ": "JWT", "alg": "ES256", "kid": tokens.kid("ES256")}


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"], {}])
async def test_no_signature(refused: Attack, name: object) -> None:
    unsigned = f"{encoded({**HEADER, 'alg': name})}.{encoded(claims())}"
    await refused(f"{unsigned}.")
    await refused(f"{unsigned}.{token().rpartition('.')[2]}")


async def test_the_signature_is_cut_off(refused: Attack) -> None:
    whole = token()
    await refused(whole.rpartition(".")[0] + ".")
    await refused(whole[:-8])


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("owner", ["ES256", "RS256", "EdDSA"])
async def test_a_public_key_is_no_shared_secret(refused: Attack, name: str, owner: str) -> None:
    """The classic: sign with the public key, which everybody has, as if it were a secret."""
    public = tokens.key(owner).public_key()
    method = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[name]
    for form in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        tokens.certify("server", tokens.key(owner)).pem,
    ):
        message = f"{encoded({'alg': name, 'kid': tokens.kid(owner)})}.{encoded(claims())}"
        await refused(f"{message}.{encoded(hmac.digest(form, message.encode(), method))}")


@pytest.mark.parametrize(
    ("named", "real"),
    [
        ("ES256", "RS256"),
        ("RS256", "ES256"),
        ("EdDSA", "ES256"),
        ("ES256", "EdDSA"),
        ("ES384", "ES256"),
        ("ES256", "ES384"),
        ("ES512", "ES256"),
    ],
)
async def test_another_algorithm_than_the_key_has(refused: Attack, named: str, real: str) -> None:
    for owner in (named, real):
        await refused(signed({"alg": named, "kid": tokens.kid(owner)}, claims(), real))


@pytest.mark.parametrize(("named", "real"), [("RS256", "PS256"), ("PS384", "RS384")])
async def test_another_padding_than_it_says(refused: Attack, named: str, real: str) -> None:
    header = {"alg": named, "kid": tokens.kid("RS256")}
    await refused(signed(header, claims(), real, tokens.key("RS256")))


@pytest.mark.parametrize("name", ["ES256", "RS256", "EdDSA"])
async def test_the_attackers_key_under_the_servers_name(refused: Attack, name: str) -> None:
    header = {"alg": name, "kid": tokens.kid(name)}
    await refused(signed(header, claims(), name, tokens.key(name, "attacker")))


async def test_parts_of_two_tokens(refused: Attack) -> None:
    header, _, signature = token().split(".")
    await refused(f"{header}.{encoded(claims(sub='root'))}.{signature}")
    other = encoded({**HEADER, "typ": "at+jwt"})
    await refused(f"{other}.{token().split('.')[1]}.{signature}")


async def test_extensions_that_nobody_understands(refused: Attack) -> None:
    await refused(signed({**HEADER, "crit": ["exp"]}, claims()))
    await refused(signed({**HEADER, "crit": ["b64"], "b64": False}, claims()))
    await refused(signed({**HEADER, "crit": []}, claims()))


async def test_a_signature_of_zeros(refused: Attack) -> None:
    """ECDSA implementations have taken (0, 0) for a signature of anything."""
    message = f"{encoded(HEADER)}.{encoded(claims())}"
    for length in (64, 0, 1, 63, 65, 512):
        await refused(f"{message}.{encoded(bytes(length))}")
