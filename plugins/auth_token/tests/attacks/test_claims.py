"""Well-signed tokens that are not for this registry, not for this time, or malformed."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.attacks.conftest import Attack, get_in
from plugins.auth_token.tests.tokens import claims, signed, token

pytestmark = pytest.mark.anyio

HEADER = {"alg": "ES256", "kid": tokens.kid("ES256")}


@pytest.mark.parametrize(
    "issuer",
    [
        "evil.example.com", "", "auth.example.co", "auth.example.com.evil", "AUTH.example.com",
        " auth.example.com", ["auth.example.com"], 7, None,
    ],
)  # fmt: skip
async def test_another_issuer(refused: Attack, issuer: Any) -> None:
    await refused(token(iss=issuer))


@pytest.mark.parametrize(
    "audience",
    [
        "other.example.com", "", "registry.example.co", "registry.example.com ", [], ["other"],
        {"registry.example.com": 1}, 7, None, [["registry.example.com"]],
        [7, "registry.example.com"],
    ],
)  # fmt: skip
async def test_another_audience(refused: Attack, audience: Any) -> None:
    await refused(token(aud=audience))


async def test_an_audience_among_others_gets_in(client: httpx.AsyncClient) -> None:
    answer = await get_in(client, token(aud=["other", tokens.SERVICE]))
    assert answer.status_code == 200


async def test_a_minute_of_difference_between_clocks(client: httpx.AsyncClient) -> None:
    now = int(time.time())
    changed: list[dict[str, Any]] = [{"exp": now - 50}, {"nbf": now + 50}, {"iat": now + 50}]
    for changes in changed:
        assert (await get_in(client, token(**changes))).status_code == 200, changes


async def test_another_time(refused: Attack) -> None:
    now = int(time.time())
    for changes in (
        {"exp": now - 70},
        {"exp": now - 10**6},
        {"exp": 0},
        {"exp": -1},
        {"exp": None},
        {"nbf": now + 70},
        {"nbf": now + 10**6, "exp": now + 2 * 10**6},
        {"iat": now + 70},
    ):
        await refused(token(**changes))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["9999999999", True, [9999999999], {}, "", "now"])
async def test_times_that_are_no_numbers(refused: Attack, name: str, value: Any) -> None:
    await refused(token(**{name: value}))


@pytest.mark.parametrize("text", ["null", "1e400", "-1e400", "NaN", "Infinity", "9" * 5000])
async def test_times_beyond_all_bounds(refused: Attack, text: str) -> None:
    whole = claims(exp=None)
    body = f'{{"iss": "{whole["iss"]}", "aud": "{whole["aud"]}", "exp": {text}}}'
    await refused(signed(HEADER, body.encode()))


@pytest.mark.parametrize("value", [7, True, ["ada"], {}])
async def test_a_subject_that_is_no_text(refused: Attack, value: Any) -> None:
    await refused(token(sub=value))


@pytest.mark.parametrize(
    "access",
    [
        {}, "repository:team/app:pull", 7, True, [7], ["repository:team/app:pull"], [None], [[]],
        [{}], [{"type": "repository"}], [{"type": "repository", "actions": ["pull"]}],
        [{"type": 7, "name": "team/app", "actions": ["pull"]}],
        [{"type": "repository", "name": ["team/app"], "actions": ["pull"]}],
        [{"type": "repository", "name": "team/app", "actions": "pull"}],
        [{"type": "repository", "name": "team/app", "actions": {"pull": True}}],
        [{"type": "repository", "name": "team/app", "actions": ["pull", 7]}],
        [{"type": "repository", "name": "team/app", "actions": [["pull"]]}],
    ],
)  # fmt: skip
async def test_malformed_access_is_an_invalid_token(refused: Attack, access: Any) -> None:
    await refused(token(access=access))


@pytest.mark.parametrize("groups", ["admin", {"admin": 1}, [7], [["admin"]], 7])
async def test_malformed_groups_are_an_invalid_token(refused: Attack, groups: Any) -> None:
    await refused(token(groups=groups))
