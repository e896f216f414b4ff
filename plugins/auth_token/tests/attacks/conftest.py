"""How attacks are told from failures: a good token gets in before and after each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from plugins.auth_token.tests import tokens

Attack = Callable[[str], Awaitable[None]]


async def get_in(client: httpx.AsyncClient, token: str, path: str = "/v2/") -> httpx.Response:
    return await client.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
async def refused(client: httpx.AsyncClient) -> AsyncIterator[Attack]:
    """Asserts that a token does not get in anywhere, and that the refusal says no more."""

    async def attack(token: str) -> None:
        for path in ("/v2/", "/v2/team/app/tags/list", "/v2/_catalog"):
            answer = await get_in(client, token, path)
            assert answer.status_code == 401, (path, answer.text)
            assert answer.headers["www-authenticate"].endswith(',error="invalid_token"')
            assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"

    assert (await get_in(client, tokens.token())).status_code == 200
    yield attack
    assert (await get_in(client, tokens.token())).status_code == 200
