"""Good tokens, used for more than they grant."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from plugins.auth_token.tests.tokens import grant, token
from tests.fixtures.in_process import error_of, image, post_blob, put_manifest
from tests.fixtures.wire import sha256

pytestmark = pytest.mark.anyio

BLOB = b"a layer"
CATALOG = grant("catalog", "*", kind="registry")


def bearer(*grants: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(access=list(grants))}"}


def everything() -> dict[str, str]:
    """Made when it is needed: tokens do not live as long as a run of all tests."""
    return bearer(grant("team/app", "*"), grant("team/other", "*"), CATALOG)


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A registry with a blob and an image in `team/app`, and an image in `team/other`."""
    for name in ("team/app", "team/other"):
        assert (await post_blob(client, name, b"{}", headers=everything())).status_code == 201
        client.headers.update(everything())
        assert (await put_manifest(client, name, "v1", image(b"{}"))).status_code == 201
        del client.headers["Authorization"]
    assert (await post_blob(client, "team/app", BLOB, headers=everything())).status_code == 201
    return client


def denied(answer: httpx.Response, scope: str) -> None:
    """401, as in the Docker registry: the client is to come back with a better token."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].endswith(
        f',scope="{scope}",error="insufficient_scope"'
    )
    assert error_of(answer)["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize(
    "grants",
    [
        [],
        [grant("team/app")],
        [grant("team/app", "push")],
        [grant("team/app", "delete")],
        [grant("team/app", "PULL")],
        [grant("team/app", "pull,push")],
        [grant("team/app", "")],
        [grant("team/ap", "*")],
        [grant("team/app2", "*")],
        [grant("team", "*")],
        [grant("team/*", "*")],
        [grant("*", "*")],
        [grant("", "*")],
        [grant("TEAM/APP", "*")],
        [grant("team/app/", "*")],
        [grant("./team/app", "*")],
        [grant("team/app", "*", kind="registry")],
        [grant("team/app", "*", kind="")],
        [grant("team/app", "*", kind="*")],
        [grant("team/app", "*", kind="Repository")],
        [grant("team/app", "*", kind="repository(")],
        [grant("team/app", "*", kind="xrepository(plugin)")],
        [CATALOG],
        [grant("base", "*", kind="registry")],
    ],
    ids=str,
)
async def test_scopes_that_do_not_fit(filled: httpx.AsyncClient, grants: list[object]) -> None:
    for path in ("manifests/v1", f"blobs/{sha256(BLOB)}", "tags/list"):
        answer = await filled.get(f"/v2/team/app/{path}", headers=bearer(*grants))
        denied(answer, "repository:team/app:pull")


@pytest.mark.parametrize(
    "grants",
    [
        [grant("team/app", "pull")],
        [grant("team/app", "pull", "push", "delete")],
        [grant("team/app", "*")],
        [grant("team/app", "pull", kind="repository(plugin)")],
        [grant("team/app", "push"), grant("other", "*"), grant("team/app", "pull")],
        [{**grant("team/app", "pull"), "class": "plugin"}],
        [{"type": "repository", "name": "x", "actions": None}, grant("team/app", "pull")],
    ],
    ids=str,
)
async def test_scopes_that_fit(filled: httpx.AsyncClient, grants: list[object]) -> None:
    answer = await filled.get("/v2/team/app/manifests/v1", headers=bearer(*grants))
    assert answer.status_code == 200


async def test_pull_is_not_push(filled: httpx.AsyncClient) -> None:
    pull = bearer(grant("team/app", "pull"))
    answer = await filled.post("/v2/team/app/blobs/uploads/", headers=pull)
    denied(answer, "repository:team/app:pull,push")
    # The Docker registry asks for both, too.
    push = bearer(grant("team/app", "push"))
    denied(
        await filled.post("/v2/team/app/blobs/uploads/", headers=push),
        "repository:team/app:pull,push",
    )


async def test_push_is_not_delete(filled: httpx.AsyncClient) -> None:
    push = bearer(grant("team/app", "pull", "push"))
    answer = await filled.delete("/v2/team/app/manifests/v1", headers=push)
    denied(answer, "repository:team/app:delete")


async def test_an_upload_goes_on_only_with_its_own_scope(filled: httpx.AsyncClient) -> None:
    """The address of an upload is no credential."""
    begun = await filled.post("/v2/team/app/blobs/uploads/", headers=everything())
    other = bearer(grant("team/other", "pull", "push"))
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await filled.request(method, begun.headers["location"], headers=other)
        assert answer.status_code == 401, method


async def test_a_mount_needs_pull_on_the_source(filled: httpx.AsyncClient) -> None:
    """Else whoever knows a digest could have any blob: it becomes an upload instead."""
    to = {"mount": sha256(BLOB), "from": "team/app"}
    for grants in ([], [grant("team/app", "push")], [grant("team/app", "delete")]):
        answer = await filled.post(
            "/v2/team/other/blobs/uploads/",
            params=to,
            headers=bearer(grant("team/other", "pull", "push"), *grants),
        )
        assert answer.status_code in (202, 401), answer.text
        blob = await filled.head(f"/v2/team/other/blobs/{sha256(BLOB)}", headers=everything())
        assert blob.status_code == 404
    answer = await filled.post(
        "/v2/team/other/blobs/uploads/",
        params=to,
        headers=bearer(grant("team/other", "pull", "push"), grant("team/app", "pull")),
    )
    assert answer.status_code == 201


async def test_a_mount_needs_push_on_the_target(filled: httpx.AsyncClient) -> None:
    answer = await filled.post(
        "/v2/team/other/blobs/uploads/",
        params={"mount": sha256(BLOB), "from": "team/app"},
        headers=bearer(grant("team/app", "*"), grant("team/other", "pull")),
    )
    assert answer.status_code == 401
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_the_catalog_is_for_those_who_were_granted_it(filled: httpx.AsyncClient) -> None:
    for grants in (
        [grant("team/app", "*")],
        [grant("catalog", "*")],
        [grant("catalog", "pull", kind="registry")],
        [grant("catalog", kind="registry")],
        [grant("*", "*", kind="registry")],
        [grant("base", "*", kind="registry")],
    ):
        answer = await filled.get("/v2/_catalog", headers=bearer(*grants))
        denied(answer, "registry:catalog:*")
        assert "team" not in answer.text
    answer = await filled.get("/v2/_catalog", headers=bearer(CATALOG))
    assert answer.json() == {"repositories": ["team/app", "team/other"]}


async def test_nobody_learns_what_exists(filled: httpx.AsyncClient) -> None:
    headers = bearer(grant("elsewhere", "*"))
    there, missing = [
        await filled.get(f"/v2/{name}/manifests/v1", headers=headers)
        for name in ("team/app", "team/nix")
    ]
    assert there.status_code == missing.status_code == 401
    assert there.text.replace("team/app", "team/nix") == missing.text


async def test_every_valid_token_passes_at_the_base(client: httpx.AsyncClient) -> None:
    changed: list[dict[str, Any]] = [{"access": None}, {"access": []}]
    for changes in changed:
        headers = {"Authorization": f"Bearer {token(**changes)}"}
        assert (await client.get("/v2/", headers=headers)).status_code == 200


async def test_without_a_token_nothing_is_open(filled: httpx.AsyncClient) -> None:
    for path, scope in (
        ("/v2/", ""),
        ("/v2/_catalog", ',scope="registry:catalog:*"'),
        ("/v2/team/app/manifests/v1", ',scope="repository:team/app:pull"'),
    ):
        answer = await filled.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == (
            f'Bearer realm="https://auth.example.com/token",service="registry.example.com"{scope}'
        )
