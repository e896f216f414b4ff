"""What is no token, or could be read in two ways."""

from __future__ import annotations

import json

import httpx
import pytest

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.attacks.conftest import Attack, get_in
from plugins.auth_token.tests.tokens import claims, encoded, signed, token

pytestmark = pytest.mark.anyio

HEADER = {"alg": "ES256", "kid": tokens.kid("ES256")}


def with_member(text: str) -> bytes:
    """The good claims, with one more member in front."""
    return b"{" + text.encode() + b", " + json.dumps(claims()).encode()[1:]


async def test_members_that_come_twice(refused: Attack) -> None:
    await refused(signed(HEADER, with_member('"sub": "root"')))
    await refused(signed(HEADER, with_member('"exp": 1')))
    await refused(signed(HEADER, with_member('"x": {"a": 1, "a": 2}')))
    doubled = b'{"alg": "none", ' + json.dumps(HEADER).encode()[1:]
    await refused(signed(doubled, claims()))


async def test_deeply_nested_claims(refused: Attack) -> None:
    for left, right in (("[", "]"), ('{"a":', "}")):
        deep = left * 4000 + "1" + right * 4000 if left == "[" else left * 1200 + "1" + right * 1200
        await refused(signed(HEADER, with_member(f'"x": {deep}')))


async def test_huge_tokens(client: httpx.AsyncClient, refused: Attack) -> None:
    await refused(token(x="a" * 13_000))
    await refused(token(header={"x": "a" * 13_000}))
    await refused("a" * 20_000 + ".a.a")
    assert (await get_in(client, token(x="a" * 10_000))).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "x", ".", "..", "...", "a.b", "a.b.c.d", "e30.e30.", "e30.e30.e30", "W10.W10.W10",
        "bnVsbA.bnVsbA.AA", "Ng.Ng.Ng", "eyJ.eyJ.eyJ", "a.b.c", "=.=.=", "a.b.c=",
    ],
)  # fmt: skip
async def test_no_tokens(refused: Attack, text: str) -> None:
    await refused(text)


async def test_base64_with_strange_characters(refused: Attack) -> None:
    header, body, signature = token().split(".")
    for text in (
        f"{header}=.{body}.{signature}",
        f"{header}.{body}==.{signature}",
        f"{header}.{body}.{signature}==",
        f"{header}\t.{body}.{signature}",
        f"{header}.{body}.{signature},x",
        f"{header}..{body}.{signature}",
        f".{header}.{body}.{signature}",
        f"{header}.{body}.{signature}.",
    ):
        await refused(text)


async def test_encodings_that_are_not_utf8(refused: Attack) -> None:
    for data in (
        b"\xff\xfe",
        json.dumps(claims()).encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
    ):
        await refused(signed(HEADER, data))
        await refused(signed(data, claims()))


async def test_json_in_its_other_serialization(refused: Attack) -> None:
    """RFC 7515, section 7.2: signatures beside a payload, in one JSON object."""
    header, body, signature = token().split(".")
    general = {"payload": body, "signatures": [{"protected": header, "signature": signature}]}
    await refused(json.dumps(general).replace(" ", ""))
    await refused(encoded(general))


@pytest.mark.parametrize("separator", ["  ", "   "])
async def test_spaces_before_a_good_token_do_no_harm(
    client: httpx.AsyncClient, separator: str
) -> None:
    answer = await client.get("/v2/", headers={"Authorization": f"bEaReR{separator}{token()}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Bearer a b", "Basic e30.e30.e30", "Token x"]
)
async def test_other_headers_are_not_anonymous(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get("/v2/", headers={"Authorization": value})
    assert answer.status_code == 401
    assert "error=" not in answer.headers["www-authenticate"]
