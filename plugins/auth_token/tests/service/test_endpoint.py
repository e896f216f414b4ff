"""Tokens over HTTP: who gets which, and what they are good for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jwt
import pytest

from pyreg import Registry
from pyreg.hooks import AuthRequest, Identity
from pyreg_auth_token.service.plugin import TokenServicePlugin
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import client_of, error_of, image, post_blob, put_manifest

pytestmark = pytest.mark.anyio

PULL = "repository:ann/app:pull"
PUSH = "repository:ann/app:pull,push"


# -- GET -----------------------------------------------------------------------------------


async def test_the_answer_has_all_that_clients_look_for(service: Any) -> None:
    answer = await service.get(PUSH, user="ann")
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {
        "token", "access_token", "token_type", "expires_in", "issued_at", "scope"
    }  # fmt: skip
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == 300
    assert document["scope"] == PUSH
    assert document["token_type"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_claims_are_those_of_the_specification(service: Any) -> None:
    answer = await service.get(PUSH, "registry:catalog:*", user="ann")
    claims = service.claims(answer.json()["token"])
    assert claims["iss"] == claims["aud"] == "pyreg"
    assert claims["sub"] == "ann"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["nbf"] == claims["iat"]
    assert claims["access"] == [
        {"type": "repository", "name": "ann/app", "actions": ["pull", "push"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]
    assert claims["groups"] == ["devs"]
    assert claims["caller"] == {"authenticator": "htpasswd", "claims": {}}
    header = jwt.get_unverified_header(answer.json()["token"])
    assert header["alg"] == "ES256"
    assert header["typ"] == "JWT"
    other = service.claims(await service.token(PUSH, user="ann"))
    assert claims["jti"] != other["jti"]


@pytest.mark.parametrize(
    ("user", "asked", "granted"),
    [
        ("ann", "repository:ann/app:pull,push,delete", "repository:ann/app:pull,push,delete"),
        ("ann", "repository:bob/app:pull,push", ""),
        ("ann", "repository:public/app:pull,push", "repository:public/app:pull"),
        ("ann", "repository:devs/app:*", "repository:devs/app:pull,push"),
        ("bob", "repository:devs/app:pull", ""),
        ("ann", "repository:ann/app:*", "repository:ann/app:*,pull,push,delete"),
        ("", "repository:public/app:pull,push", "repository:public/app:pull"),
        ("", "repository:ann/app:pull", ""),
        ("", "registry:catalog:*", ""),
        ("ann", "", ""),
        ("ann", f"{PULL} repository:bob/app:pull", PULL),
    ],
)
async def test_what_is_not_allowed_is_left_out_and_no_error(
    service: Any, user: str, asked: str, granted: str
) -> None:
    answer = await service.get(asked, user=user)
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == granted
    assert service.claims(answer.json()["token"])["sub"] == user


async def test_several_scopes_come_as_several_parameters(service: Any) -> None:
    answer = await service.get(PULL, "repository:public/app:pull", user="ann")
    assert answer.json()["scope"] == f"{PULL} repository:public/app:pull"


async def test_a_wrong_password_is_refused(service: Any) -> None:
    answer = await service.get(PULL, user="ann", password="guess")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["error"] == "invalid_grant"
    [error] = answer.json()["errors"]
    assert error["code"] == "UNAUTHORIZED"
    assert "guess" not in answer.text
    assert "ann" not in answer.text


async def test_a_caller_who_guesses_too_often_is_told_to_wait(service: Any) -> None:
    service.users.retry_after = 7.4
    answer = await service.get(PULL, user="ann")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    posted = await service.post(grant_type="password", username="ann", password="x")
    assert posted.status_code == 429


@pytest.mark.parametrize(
    "header", ["Basic !", "Basic", "Basic YTpi YTpi", "Digest a=b", "Negotiate abc", "x"]
)
async def test_credentials_that_nobody_takes_are_not_anonymous(service: Any, header: str) -> None:
    answer = await service.http.get("/auth/token", headers={"Authorization": header})
    assert answer.status_code == 401


async def test_another_service_is_refused(service: Any) -> None:
    answer = await service.get(PULL, user="ann", service="other")
    assert answer.status_code == 400
    assert (await service.http.get("/auth/token")).status_code == 200, "it may be left out"


@pytest.mark.parametrize(
    "query",
    [
        "service=pyreg&service=pyreg",
        "service=pyreg&account=a&account=b",
        "scope=nonsense",
        "scope=%ff",
        "&".join("scope=repository:a:pull" for _ in range(300)),
        "&".join(f"scope=repository:a{n}:pull" for n in range(101)),
    ],
)
async def test_a_bad_request_is_told_so(service: Any, query: str) -> None:
    answer = await service.http.get(f"/auth/token?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] in ("invalid_request", "invalid_scope")
    assert error_of_both(answer)


def error_of_both(answer: Any) -> str:
    document = answer.json()
    assert set(document) == {"error", "error_description", "errors"}
    [error] = document["errors"]
    assert error["message"] == document["error_description"]
    return str(error["message"])


async def test_two_authorization_headers_are_refused(service: Any) -> None:
    answer = await service.http.get(
        "/auth/token", headers=[("Authorization", "Basic YTpi"), ("Authorization", "Basic YTpj")]
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


async def test_a_certificate_is_a_login_too(service: Any) -> None:
    answer = await service.http.get(
        "/auth/token", params={"scope": "repository:cat/app:pull"}, headers={"x-badge": "cat"}
    )
    claims = service.claims(answer.json()["token"])
    assert claims["sub"] == "cat"
    assert claims["caller"]["authenticator"] == "certificate"
    assert answer.json()["scope"] == "repository:cat/app:pull"


async def test_a_password_comes_before_a_certificate(service: Any) -> None:
    for password, status in ((None, 200), ("wrong", 401)):
        service.http.headers["x-badge"] = "cat"
        answer = await service.get(user="ann", password=password, offline_token="true")
        assert answer.status_code == status
        if status == 200:
            assert service.claims(answer.json()["token"])["sub"] == "ann"


async def test_a_slash_at_the_end_of_the_path(service: Any) -> None:
    assert (await service.http.get("/auth/token/")).status_code == 200


async def test_claims_that_no_header_can_carry(service: Any) -> None:
    for claims in ({"long": "x" * 10_000}, {"odd": object()}):
        service.users.claims = claims
        answer = await service.get(PULL, user="ann")
        assert answer.status_code == 400
        assert "token" in error_of_both(answer)


# -- POST ----------------------------------------------------------------------------------


async def test_a_password_is_posted(service: Any) -> None:
    answer = await service.post(
        grant_type="password", username="ann", password="secret of ann", scope=PUSH, client_id="x"
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == PUSH
    assert "refresh_token" not in answer.json()
    assert service.claims(answer.json()["access_token"])["sub"] == "ann"
    asked = service.users.asked[-1]
    assert set(asked.headers) == {"authorization"}
    assert asked.client == "127.0.0.1", "failures count against the one who sent them"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"username": "ann", "password": "no"}, 401, "invalid_grant"),
        ({"username": "", "password": ""}, 401, "invalid_grant"),
        ({"username": "ann:secret of ann", "password": ""}, 401, "invalid_grant"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 401, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "junk"}, 401, "invalid_grant"),
        ({"service": "other"}, 400, "invalid_request"),
        ({"service": ""}, 400, "invalid_request"),
        ({"scope": "nonsense", "username": "ann", "password": "secret of ann"}, 400,
         "invalid_scope"),
    ],
)  # fmt: skip
async def test_a_post_that_is_refused(
    service: Any, form: dict[str, str], status: int, error: str
) -> None:
    answer = await service.post(**{"grant_type": "password", **form})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert error_of_both(answer)


async def test_a_form_and_a_header_are_too_much(service: Any) -> None:
    answer = await service.http.post(
        "/auth/token",
        data={"service": "pyreg", "grant_type": "password"},
        auth=("ann", "secret of ann"),
    )
    assert answer.status_code == 400


async def test_a_body_of_another_kind(service: Any) -> None:
    answer = await service.http.post("/auth/token", json={"grant_type": "password"})
    assert answer.status_code == 415


@pytest.mark.parametrize("size", [70_000, 2_000_000])
async def test_a_body_without_end(service: Any, size: int) -> None:
    answer = await service.post(grant_type="password", username="ann", password="x" * size)
    assert answer.status_code == 413

    async def pieces() -> Any:
        for _ in range(size // 10_000):
            yield b"a" * 10_000

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.http.post("/auth/token", content=pieces(), headers=headers)
    assert answer.status_code == 413, "of a length that nobody announced, too"


async def test_a_certificate_does_not_stand_in_for_a_password(service: Any) -> None:
    service.http.headers["x-badge"] = "cat"
    answer = await service.post(grant_type="password", username="ann", password="no")
    assert answer.status_code == 401


# -- refresh tokens ------------------------------------------------------------------------


async def test_a_refresh_token_gets_tokens_with_other_scopes(service: Any) -> None:
    first = await service.get(user="ann", offline_token="true", client_id="docker")
    refresh = first.json()["refresh_token"]
    answer = await service.post(grant_type="refresh_token", refresh_token=refresh, scope=PUSH)
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == PUSH
    claims = service.claims(answer.json()["access_token"])
    assert claims["sub"] == "ann"
    assert claims["groups"] == ["devs"]
    assert "refresh_token" not in answer.json()


async def test_a_refresh_token_is_posted_for(service: Any) -> None:
    answer = await service.post(
        grant_type="password", username="ann", password="secret of ann", access_type="offline"
    )
    refresh = answer.json()["refresh_token"]
    again = await service.post(
        grant_type="refresh_token", refresh_token=refresh, access_type="offline"
    )
    assert again.json()["refresh_token"] == refresh, "the same, and not a new one"


async def test_nobody_else_gets_a_refresh_token(service: Any) -> None:
    anonymous = await service.get(offline_token="true")
    assert "refresh_token" not in anonymous.json()
    badge = await service.http.get("/auth/token?offline_token=true", headers={"x-badge": "cat"})
    assert badge.status_code == 200
    assert "refresh_token" not in badge.json()
    assert "refresh_token" not in (await service.get(user="ann", offline_token="false")).json()


async def test_a_new_password_ends_a_refresh_token(service: Any) -> None:
    refresh = await service.refresh_token("ann")
    service.users.passwords["ann"] = "changed"
    answer = await service.post(grant_type="refresh_token", refresh_token=refresh, scope=PUSH)
    assert answer.status_code == 401


async def test_a_user_who_is_gone_is_gone(service: Any) -> None:
    refresh = await service.refresh_token("ann")
    del service.users.passwords["ann"]
    answer = await service.post(grant_type="refresh_token", refresh_token=refresh, scope=PUSH)
    assert answer.status_code == 401


async def test_a_refresh_token_gets_what_the_policy_allows_now(service: Any) -> None:
    refresh = await service.refresh_token("ann")
    service.users.groups["ann"] = frozenset()
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    answer = await service.post(**form, scope=f"{PUSH} repository:devs/a:pull")
    assert answer.json()["scope"] == PUSH
    service.rules.forbidden.add("ann")
    assert (await service.post(**form, scope=PUSH)).json()["scope"] == ""


# -- tokens at the registry ----------------------------------------------------------------


async def test_a_token_opens_what_it_grants(service: Any) -> None:
    token = await service.token(PUSH, user="ann")
    assert (await service.with_token(token, "/v2/")).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    service.http.headers.update(headers)
    assert (await post_blob(service.http, "ann/app", b"{}")).status_code == 201
    assert (await put_manifest(service.http, "ann/app", "v1", image(b"{}"))).status_code == 201
    assert (await service.http.get("/v2/ann/app/tags/list")).json()["tags"] == ["v1"]


async def test_a_token_opens_nothing_else_though_its_bearer_might(service: Any) -> None:
    """The scope of a token is a limit, also where a policy stands before it."""
    token = await service.token(PULL, user="ann")
    for path, method in (
        ("/v2/ann/app/blobs/uploads/", "POST"),
        ("/v2/ann/other/tags/list", "GET"),
        ("/v2/public/app/tags/list", "GET"),
        ("/v2/_catalog", "GET"),
    ):
        answer = await service.with_token(token, path, method)
        assert answer.status_code == 401, path
        [challenge] = answer.headers.get_list("www-authenticate")
        assert challenge.startswith("Bearer realm=")
        assert 'error="insufficient_scope"' in challenge


async def test_the_challenge_leads_to_the_service(service: Any) -> None:
    answer = await service.http.get("/v2/ann/app/tags/list")
    assert answer.status_code == 401
    # Clients cannot deal with a second one, though the users' authenticator has one.
    [challenge] = answer.headers.get_list("www-authenticate")
    # Of an http address that is not this machine's, clients are sent to https.
    assert challenge == (
        'Bearer realm="https://registry.test/auth/token",service="pyreg",scope="' + PULL + '"'
    )
    assert error_of(answer)["code"] == "UNAUTHORIZED"


async def test_passwords_still_work_at_the_registry_itself(service: Any) -> None:
    auth = ("ann", "secret of ann")
    assert (await service.http.get("/v2/", auth=auth)).status_code == 200
    assert (await service.http.get("/v2/bob/a/tags/list", auth=auth)).status_code == 404


async def test_the_catalog_shows_what_the_bearer_may_pull(service: Any) -> None:
    for user, name in (("ann", "ann/app"), ("bob", "bob/app"), ("ann", "devs/app")):
        service.http.headers["Authorization"] = (
            f"Bearer {await service.token(f'repository:{name}:pull,push', user=user)}"
        )
        await post_blob(service.http, name, b"{}")
        assert (await put_manifest(service.http, name, "v1", image(b"{}"))).status_code == 201
        del service.http.headers["Authorization"]
    shown = {}
    for user in ("ann", "bob"):
        token = await service.token("registry:catalog:*", user=user)
        answer = await service.with_token(token, "/v2/_catalog")
        shown[user] = answer.json()["repositories"]
    assert shown == {"ann": ["ann/app", "devs/app"], "bob": ["bob/app"]}


async def test_events_and_guards_see_the_user(service: Any) -> None:
    token = await service.token(PUSH, user="ann")
    authenticator = service.plugin.pyreg_authenticator()
    request = AuthRequest("GET", "/v2/", "", {"authorization": f"Bearer {token}"}, "", "http", "a")
    identity: Identity = await authenticator.authenticate(request)
    assert (identity.name, identity.groups) == ("ann", frozenset({"devs"}))


async def test_anonymous_callers_pull_what_the_policy_gives_them(service: Any) -> None:
    token = await service.token("repository:public/app:pull,push")
    answer = await service.with_token(token, "/v2/public/app/tags/list")
    assert answer.status_code == 404, "it is allowed, and there is none"
    answer = await service.with_token(token, "/v2/public/app/blobs/uploads/", "POST")
    assert answer.status_code == 401


# -- keys ----------------------------------------------------------------------------------


async def test_the_public_keys_are_public(service: Any) -> None:
    answer = await service.http.get("/auth/keys")
    assert answer.status_code == 200
    [key] = answer.json()["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("EC", "ES256", "sig")
    assert not {"d", "p", "q", "k"} & set(key)
    token = await service.token(PULL, user="ann")
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    verified = jwt.decode(token, jwt.PyJWK(key), audience="pyreg", issuer="pyreg")
    assert verified["sub"] == "ann"


async def test_a_name_beyond_ascii(service: Any) -> None:
    service.users.passwords["änne"] = "geheim ü"
    pair = base64.b64encode("änne:geheim ü".encode()).decode()
    answer = await service.http.get(
        "/auth/token?offline_token=1", headers={"Authorization": f"Basic {pair}"}
    )
    assert service.claims(answer.json()["token"])["sub"] == "änne"
    refresh = answer.json()["refresh_token"]
    answer = await service.post(grant_type="refresh_token", refresh_token=refresh)
    assert service.claims(answer.json()["token"])["sub"] == "änne"
    posted = await service.post(grant_type="password", username="änne", password="geheim ü")
    assert posted.status_code == 200


async def test_in_front_of_a_host(keys: Path) -> None:
    """An application that embeds the registry needs no route for the token service."""

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    plugin = TokenServicePlugin(TokenServicePlugin.Options(keys=str(keys)))
    async with (
        Registry(storage=InMemoryStorage(), plugins=[plugin]) as registry,
        client_of(registry.front(host)) as client,
    ):
        assert (await client.get("/auth/token")).status_code == 200
        assert (await client.post("/auth/token/")).status_code == 415
        assert (await client.get("/auth/keys")).status_code == 200
        assert (await client.get("/auth/other")).status_code == 418
