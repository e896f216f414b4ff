"""Tokens that bring their own key, or a misleading name of one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.attacks.conftest import Attack, get_in
from plugins.auth_token.tests.tokens import Certified, certify, claims, signed, usage

pytestmark = pytest.mark.anyio

ATTACKER = tokens.key("ES256", "attacker")


def chained(*chain: Certified, private: Any = None, **header: Any) -> str:
    """A token signed by the first certificate's key, with the chain."""
    x5c = [item.x5c for item in chain]
    full = {"alg": "ES256", "x5c": x5c, **header}
    return signed(full, claims(), "ES256", private or chain[0].private)


# -- jwk ------------------------------------------------------------------------------------------


async def test_a_trusted_key_in_the_header_gets_in(client: httpx.AsyncClient) -> None:
    header = {"alg": "ES256", "jwk": tokens.jwk(tokens.key("ES256").public_key())}
    assert (await get_in(client, signed(header, claims()))).status_code == 200


async def test_the_attackers_key_in_the_header(refused: Attack) -> None:
    own = tokens.jwk(ATTACKER.public_key())
    for entry in (own, {**own, "kid": tokens.kid("ES256")}, {**own, "trusted": True}):
        for more in ({}, {"kid": tokens.kid("ES256")}):
            await refused(
                signed({"alg": "ES256", "jwk": entry, **more}, claims(), "ES256", ATTACKER)
            )


async def test_a_trusted_key_in_the_header_that_did_not_sign(refused: Attack) -> None:
    header = {"alg": "ES256", "jwk": tokens.jwk(tokens.key("ES256").public_key())}
    await refused(signed(header, claims(), "ES256", ATTACKER))


@pytest.mark.parametrize(
    "entry",
    [
        None, {}, [], "key", 7, {"kty": "EC"}, {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "RSA", "n": "", "e": ""},
        {"kty": ["EC"]}, {"kty": "EC", "crv": {}, "x": 1, "y": None}, {"kty": "OKP", "crv": "X"},
        {"kty": "RSA", "n": "A" * 9000, "e": "AQAB"}, {"kty": "RSA", "n": "AQAB", "e": "A"},
    ],
)  # fmt: skip
async def test_no_keys_at_all(refused: Attack, entry: Any) -> None:
    await refused(signed({"alg": "ES256", "jwk": entry}, claims()))


async def test_addresses_of_keys_are_not_followed(refused: Attack) -> None:
    for name in ("jku", "x5u"):
        header = {"alg": "ES256", name: "http://127.0.0.1:9/keys"}
        await refused(signed(header, claims(), "ES256", ATTACKER))
        await refused(signed({**header, "kid": tokens.kid("ES256")}, claims(), "ES256", ATTACKER))


# -- x5c ------------------------------------------------------------------------------------------


async def test_a_chain_to_the_authority_gets_in(
    client: httpx.AsyncClient, authority: Certified
) -> None:
    between = certify("between", tokens.key("ES256", "between"), authority, authority=True)
    private = tokens.key("ES256", "leaf")
    for token in (
        chained(certify("leaf", private, authority)),
        chained(certify("leaf", private, authority, usage=usage(digital_signature=True))),
        chained(certify("leaf", private, between), between),
        chained(certify("leaf", private, between), between, authority),
    ):
        answer = await get_in(client, token)
        assert answer.status_code == 200, answer.headers


async def test_a_certificate_of_the_bundle_signs_itself(client: httpx.AsyncClient) -> None:
    server = certify("server", tokens.key("RS256"))
    header = {"alg": "RS256", "x5c": [server.x5c]}
    # Another certificate of the same key is not the one in the bundle.
    assert (await get_in(client, signed(header, claims(), "RS256"))).status_code == 401


async def test_a_foreign_authority(refused: Attack) -> None:
    foreign = certify("authority", ATTACKER, authority=True)
    leaf = certify("leaf", tokens.key("ES256", "leaf"), foreign)
    await refused(chained(leaf))
    await refused(chained(leaf, foreign))
    await refused(chained(leaf, foreign, kid=tokens.kid("ES256")))


async def test_a_certificate_that_signed_itself(refused: Attack) -> None:
    for authority in (None, False, True):
        await refused(chained(certify("server", ATTACKER, authority=authority)))


async def test_a_chain_that_does_not_fit_together(refused: Attack, authority: Certified) -> None:
    """The attacker's certificate, with the true ones behind it."""
    own = certify("leaf", ATTACKER)
    true = certify("leaf", tokens.key("ES256", "leaf"), authority)
    await refused(chained(own, authority))
    await refused(chained(own, true, authority))
    await refused(chained(true, private=ATTACKER))


async def test_a_certificate_out_of_its_time(refused: Attack, authority: Certified) -> None:
    private = tokens.key("ES256", "leaf")
    await refused(chained(certify("leaf", private, authority, begins=-9, ends=-1)))
    await refused(chained(certify("leaf", private, authority, begins=1, ends=9)))
    between = tokens.key("ES256", "between")
    old = certify("old", between, authority, authority=True, begins=-9, ends=-1)
    await refused(chained(certify("leaf", private, old), old))


@pytest.mark.parametrize("flag", [None, False])
async def test_a_signers_certificate_as_an_authority(
    refused: Attack, authority: Certified, flag: bool | None
) -> None:
    """Whoever has a certificate for tokens must not be able to issue further ones."""
    signer = certify("signer", ATTACKER, authority, authority=flag)
    await refused(chained(certify("leaf", tokens.key("ES256", "leaf"), signer), signer))


async def test_certificates_for_something_else(refused: Attack, authority: Certified) -> None:
    leaf = tokens.key("ES256", "leaf")
    await refused(chained(certify("leaf", leaf, authority, usage=usage(key_agreement=True))))
    other = usage(digital_signature=True)
    between = certify("b", ATTACKER, authority, authority=True, usage=other)
    await refused(chained(certify("leaf", leaf, between), between))


async def test_a_chain_without_end(refused: Attack, authority: Certified) -> None:
    private = tokens.key("ES256", "between")
    chain = [authority]
    for number in range(6):
        chain.insert(0, certify(f"c{number}", private, chain[0], authority=True))
    await refused(chained(*chain))
    await refused(chained(*[chain[0]] * 12))


@pytest.mark.parametrize(
    "value", [[""], ["!"], [7], [None], "MIIB", {"0": "MIIB"}, 7, True, [["MIIB"]], ["MIIB"], ["é"]]
)
async def test_no_chain_at_all(refused: Attack, value: Any) -> None:
    header = {"alg": "ES256", "kid": tokens.kid("ES256"), "x5c": value}
    await refused(signed(header, claims()))


# -- kid ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "", "../../../../dev/null", "/dev/null", "/proc/self/environ", "' OR 1=1 --", "\x00", "*",
        "..", "http://127.0.0.1:9/", "k" * 8000, "\ud83d\ude00", "__class__", "0", "null",
        None, 0, True, [], {}, [tokens.kid("ES256")], {"$ne": ""},
    ],
)  # fmt: skip
async def test_names_that_no_key_has(refused: Attack, value: Any) -> None:
    await refused(signed({"alg": "ES256", "kid": value}, claims()))
    await refused(signed({"alg": "ES256", "kid": value}, claims(), "ES256", ATTACKER))


async def test_no_name_at_all(refused: Attack) -> None:
    await refused(signed({"alg": "ES256"}, claims()))
