"""A pipeline with an ID token of a real issuer, against a registry that asks it for its keys."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from plugins.auth_token.tests import tokens
from pyreg.hooks import Event, Identity, Operation, hookimpl
from pyreg_auth_token import remote
from pyreg_auth_token.oidc.options import Options
from pyreg_auth_token.oidc.plugin import OidcPlugin
from pyreg_auth_token.plugin import Options as TokenOptions
from pyreg_auth_token.plugin import TokenPlugin
from tests.fixtures.in_process import post_blob, serving
from tests.servers.oidc import OidcIssuer, start_oidc_issuer
from tests.servers.registries import Registry

pytestmark = pytest.mark.anyio

AUDIENCE = "registry.example.com"


@pytest.fixture(scope="module")
def issuer(workshop: Path) -> Iterator[OidcIssuer]:
    started = start_oidc_issuer(workshop / "oidc")
    yield started
    started.process.stop()


@pytest.fixture
def mortal(short_dir: Path) -> Iterator[OidcIssuer]:
    """An issuer that a test may stop."""
    started = start_oidc_issuer(short_dir / "issuer")
    yield started
    if started.process.alive:
        started.process.stop()


def rule(server: OidcIssuer, **changes: Any) -> dict[str, Any]:
    return {
        "issuer": server.url,
        "audience": AUDIENCE,
        "claims": {"repository_owner": "example", "ref": ["refs/heads/main", "refs/tags/v*"]},
        "name": "{repository}",
        "groups": ["ci", "{repository_owner}"],
        **changes,
    }


def plugin(*rules: dict[str, Any]) -> OidcPlugin:
    return OidcPlugin(Options.model_validate({"issuers": rules}))


PIPELINE = {
    "repository": "example/app",
    "repository_owner": "example",
    "ref": "refs/heads/main",
}


class Guard:
    """Remembers who writes."""

    def __init__(self) -> None:
        self.identities: list[Identity] = []
        self.actors: list[str] = []

    @hookimpl
    async def pyreg_guard(self, operation: Operation, identity: Identity) -> None:
        self.identities.append(identity)

    @hookimpl
    async def pyreg_observe(self, event: Event) -> None:
        self.actors.append(event.actor)


@pytest.fixture
async def client(issuer: OidcIssuer, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(plugin(rule(issuer))) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(token: str, user: str = "ci") -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}


async def status(client: httpx.AsyncClient, headers: dict[str, str]) -> int:
    return (await client.get("/v2/", headers=headers)).status_code


async def test_a_push(issuer: OidcIssuer) -> None:
    guard = Guard()
    token = issuer.token(AUDIENCE, **PIPELINE)
    async with serving(plugin(rule(issuer)), guard) as client:
        for number, headers in enumerate((bearer(token), basic(token), basic(token, "é"))):
            answer = await post_blob(client, "example/app", b"%d" % number, headers=headers)
            assert answer.status_code == 201
    [identity] = {id(each): each for each in guard.identities}.values()
    assert identity.name == "example/app"
    assert identity.groups == {"ci", "example"}
    assert identity.claims["ref"] == "refs/heads/main"
    assert identity.authenticator == "oidc"
    assert set(guard.actors) == {"example/app"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other.example.com"}, "Audience"),
        ({"aud": []}, "aud"),
        ({"repository_owner": "evil"}, "its claim 'repository_owner' is 'evil'"),
        ({"repository_owner": ["evil"]}, "its claim 'repository_owner' is"),
        ({"repository_owner": None}, "its claim 'repository_owner' is None"),
        ({"ref": "refs/heads/main/x"}, "its claim 'ref' is"),
        ({"repository": ""}, "no plain claim 'repository'"),
        ({"repository": {"name": "example/app"}}, "no plain claim 'repository'"),
        ({"exp": -100}, "expired"),
        ({"exp": 7 * 3600}, "valid for longer than 21600 s"),
        ({"iat": -7 * 3600}, "valid for longer than 21600 s"),
        ({"nbf": 100}, "not yet valid"),
        ({"iat": 100}, "not yet valid"),
    ],
)
async def test_pipelines_that_are_refused(
    client: httpx.AsyncClient,
    issuer: OidcIssuer,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    reason: str,
) -> None:
    caplog.set_level(logging.INFO, "pyreg.auth")
    now = int(time.time())  # times are given as seconds from it
    changes = {
        name: now + value if name in ("exp", "iat", "nbf") else value
        for name, value in changes.items()
    }
    token = issuer.token(AUDIENCE, **{**PIPELINE, **changes})
    for headers in (bearer(token), basic(token)):
        caplog.clear()
        assert await status(client, headers) == 401
        [line] = [line for line in caplog.text.splitlines() if "an ID token is refused: " in line]
        assert reason in line
        assert token not in caplog.text
        assert token.rpartition(".")[2] not in caplog.text


async def test_who_else_is_refused(client: httpx.AsyncClient, issuer: OidcIssuer) -> None:
    good = issuer.token(AUDIENCE, **PIPELINE)
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    forged = tokens.signed({"alg": "RS256", "kid": kid}, claims, "RS256")
    embedded = {"alg": "RS256", "jwk": tokens.jwk(tokens.key("RS256").public_key())}
    other = tokens.signed({"alg": "RS256", "kid": kid}, {**claims, "iss": "https://evil"}, "RS256")
    for token in (
        forged,
        tokens.signed(embedded, claims, "RS256"),
        f"{good.rpartition('.')[0]}.",
        other,
        "opaque",
    ):
        assert await status(client, bearer(token)) == 401
        assert await status(client, basic(token)) == 401
    assert await status(client, {}) == 401
    assert await status(client, basic("secret")) == 401
    assert await status(client, bearer(good)) == 200


async def test_the_challenge_is_for_docker_login(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2/")
    assert answer.headers["www-authenticate"] == 'Basic realm="ID token"'


async def test_a_new_key(issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    async with serving(plugin(rule(issuer))) as client:
        old = issuer.token(AUDIENCE, **PIPELINE)
        assert await status(client, bearer(old)) == 200
        issuer.rotate()
        new = issuer.token(AUDIENCE, **PIPELINE)
        assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
        for token in (new, old):
            assert await status(client, bearer(token)) == 200


async def test_keys_that_are_withdrawn(
    mortal: OidcIssuer, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that was verified before is not good for ever."""
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    async with serving(plugin(rule(mortal))) as client:
        old = mortal.token(AUDIENCE, **PIPELINE)
        assert await status(client, bearer(old)) == 200
        mortal.process.stop()
        assert await status(client, bearer(old)) == 200
        again = start_oidc_issuer(short_dir / "again", port=int(mortal.url.rpartition(":")[2]))
        try:
            assert await status(client, bearer(again.token(AUDIENCE, **PIPELINE))) == 200
            assert await status(client, bearer(old)) == 401
        finally:
            again.process.stop()


async def test_several_rules(issuer: OidcIssuer) -> None:
    release = rule(issuer, claims={"ref": "refs/tags/*", "repository_owner": "example"})
    build = rule(issuer, audience="build", name="build-{repository}", groups=[])
    guard = Guard()
    async with serving(plugin(release, build), guard) as client:
        # The last one fits neither: it has the audience of the one, and the branch of the other.
        cases: list[tuple[str | list[str], dict[str, str]]] = [
            (AUDIENCE, {"ref": "refs/tags/v1"}),
            ("build", {}),
            ([AUDIENCE, "build"], {}),
            (AUDIENCE, {}),
        ]
        for number, (audience, changes) in enumerate(cases):
            token = issuer.token(audience, **{**PIPELINE, **changes})
            await post_blob(client, "example/app", b"%d" % number, headers=bearer(token))
    names = [identity.name for identity in guard.identities]
    assert names == ["example/app", "build-example/app", "build-example/app"]


async def test_beside_a_token_server(issuer: OidcIssuer, options: TokenOptions) -> None:
    """Each takes its own tokens, in whatever order; nobody's token is not anonymous."""
    ours, theirs = issuer.token(AUDIENCE, **PIPELINE), tokens.token()
    for reverse in (False, True):
        plugins = [TokenPlugin(options), plugin(rule(issuer))]
        if reverse:
            plugins.reverse()
        async with serving(*plugins) as client:
            assert await status(client, bearer(ours)) == 200
            assert await status(client, bearer(theirs)) == 200
            push = await post_blob(client, "team/app", b"x", headers=bearer(ours))
            assert push.status_code == 201  # its authorizer decides on tokens of its own alone
            push = await post_blob(client, "team/app", b"y", headers=bearer(theirs))
            assert push.status_code == 401
            for token in (
                tokens.token(iss="https://nobody.example.com"),
                tokens.token(iss=issuer.url),
                issuer.token(AUDIENCE, **PIPELINE, iss=tokens.ISSUER),
                "opaque",
            ):
                answer = await client.get("/v2/", headers=bearer(token))
                assert answer.status_code == 401
                challenge = next(
                    value
                    for value in answer.headers.get_list("www-authenticate")
                    if value.startswith("Bearer")
                )
                assert challenge.endswith(',error="invalid_token"')


async def test_the_configuration_of_another_issuer(
    issuer: OidcIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """By another name it is the same server, and yet not the issuer that was configured."""
    other = issuer.url.replace("127.0.0.1", "localhost")
    async with serving(plugin(rule(issuer, issuer=other))) as client:
        token = issuer.token(AUDIENCE, **PIPELINE, iss=other)
        assert await status(client, bearer(token)) == 401
    assert f"it is the configuration of '{issuer.url}'" in caplog.text


async def test_keys_that_are_named(issuer: OidcIssuer) -> None:
    async with serving(plugin(rule(issuer, jwks=f"{issuer.url}/jwks"))) as client:
        assert await status(client, bearer(issuer.token(AUDIENCE, **PIPELINE))) == 200


async def test_an_issuer_that_is_down(mortal: OidcIssuer) -> None:
    token = mortal.token(AUDIENCE, **PIPELINE)
    mortal.process.stop()
    async with serving(plugin(rule(mortal))) as client:
        assert await status(client, bearer(token)) == 401


def test_a_real_server(start: Callable[..., Registry], issuer: OidcIssuer) -> None:
    registry = start({"auth": {"oidc": {"issuers": [rule(issuer)]}}})
    token = issuer.token(AUDIENCE, **PIPELINE)
    with httpx.Client(base_url=registry.url, trust_env=False) as client:
        assert client.get("/v2/").status_code == 401
        assert client.get("/v2/", headers=bearer(token)).status_code == 200
        assert client.get("/v2/", auth=("ci", token)).status_code == 200
        assert client.get("/v2/", auth=("ci", "secret")).status_code == 401
    assert registry.process is not None
    assert token not in registry.process.log()
