"""A policy over HTTP: what callers may do, and that nothing tells them of what they may not see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pyreg.hooks import Authenticator, AuthRequest, Identity, InvalidCredentials, hookimpl
from pyreg_auth_policy import Options, PolicyPlugin
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import error_of, image, post_blob, put_manifest, serving
from tests.fixtures.wire import OCI_MANIFEST, sha256

pytestmark = pytest.mark.anyio

CONFIG = b"{}"
LAYER = b"a layer that is nobody's business"

RULES = [
    {"repositories": "public/**", "allow": ["pull", "list"], "to": "anonymous"},
    {"repositories": "team/**", "allow": ["push", "list"], "to": "group:devs"},
    {"repositories": "{user}/**", "allow": "all", "to": "authenticated"},
    {"repositories": "team/frozen", "deny": ["push", "delete"], "to": "everybody"},
    {"repositories": "**", "allow": "all", "to": "user:root"},
]


class Names(Authenticator):
    """Believes whoever says `X <name>`, and `X <name> <claim>=<value> ...` about the claims."""

    name = "names"

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme != "X":
            return None
        name, *claims = value.split()
        if name == "wrong":
            raise InvalidCredentials("wrong")
        pairs = dict(claim.split("=", 1) for claim in claims)
        return Identity(name, claims=pairs, authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Any, error: str = "") -> str:
        return 'X realm="names"'


class NamesPlugin:
    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        return Names()


def as_user(text: str) -> dict[str, str]:
    return {"Authorization": f"X {text}"} if text else {}


def plugin(*rules: dict[str, Any], **more: Any) -> PolicyPlugin:
    given = {"rules": rules or RULES, "groups": {"devs": ["ann"]}, **more}
    return PolicyPlugin(Options.model_validate(given))


class Users:
    """One registry, and its callers.

    Args:
        http: Its client.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, user: str, path: str, **query: str) -> httpx.Response:
        return await self.http.get(path, headers=as_user(user), params=query or None)

    async def push(self, user: str, repository: str, *, config: bytes = CONFIG) -> int:
        """Push an image; the status of the first refusal, or 201."""
        for data in (config, LAYER):
            answer = await post_blob(self.http, repository, data, headers=as_user(user))
            if answer.status_code != 201:
                return answer.status_code
        answer = await self.http.put(
            f"/v2/{repository}/manifests/v1",
            content=image(config, [LAYER]),
            headers={"Content-Type": OCI_MANIFEST, **as_user(user)},
        )
        return answer.status_code

    async def catalog(self, user: str, **query: str) -> list[str]:
        answer = await self.get(user, "/v2/_catalog", **query)
        assert answer.status_code == 200, answer.text
        names: list[str] = answer.json()["repositories"]
        return names


@pytest.fixture
async def users(anyio_backend: str) -> AsyncIterator[Users]:
    """A registry with repositories of several people in it."""
    async with serving(NamesPlugin(), plugin()) as client:
        users = Users(client)
        for name in ("public/app", "team/app", "team/frozen-not", "ann/app", "bob/app", "zoe/app"):
            assert await users.push("root", name) == 201
        yield users


async def test_who_may_push_where(users: Users) -> None:
    assert await users.push("ann", "team/new") == 201
    assert await users.push("ann", "ann/deep/er") == 201
    assert await users.push("ann", "team/frozen") == 403
    assert await users.push("root", "team/frozen") == 403, "a denial is for everybody"
    assert await users.push("ann", "bob/app") == 403
    assert await users.push("bob", "team/new") == 403
    assert await users.push("ann", "public/app") == 403
    assert await users.push("", "public/app") == 401


@pytest.mark.parametrize("user", ["team", "te*m", "team/app", "..", "*", "**", "{user}", "Team"])
async def test_nobody_gets_anywhere_by_a_clever_name(users: Users, user: str) -> None:
    """A user can be called like a directory of others only by having exactly that name."""
    for repository in ("ann/app", "bob/app", "x/y"):
        assert await users.push(user, repository) == 403
        assert (await users.get(user, f"/v2/{repository}/tags/list")).status_code == 404
    if user != "team":
        assert await users.push(user, "team/app") == 403


async def test_strangers_pull_what_is_public(users: Users) -> None:
    for user in ("", "bob"):
        assert (await users.get(user, "/v2/public/app/manifests/v1")).status_code == 200
        blob = await users.get(user, f"/v2/public/app/blobs/{sha256(LAYER)}")
        assert blob.content == LAYER
    assert (await users.get("", "/v2/team/app/manifests/v1")).status_code == 401
    assert (await users.get("wrong", "/v2/public/app/manifests/v1")).status_code == 401


async def test_the_ping_asks_for_a_login(users: Users) -> None:
    asked = await users.get("", "/v2/")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"] == 'X realm="names"'
    assert (await users.get("nobody-knows-me", "/v2/")).status_code == 200


async def test_the_ping_lets_pass_where_a_login_gains_nothing() -> None:
    public = {"repositories": "**", "allow": "pull", "to": "anonymous"}
    storage = InMemoryStorage()
    for plugins in ([plugin(public)], [NamesPlugin(), plugin(public)]):
        async with serving(*plugins, storage=storage) as client:
            assert (await client.get("/v2/")).status_code == 200
            assert (await client.get("/v2/a/tags/list")).status_code == 404
            refused = await client.post("/v2/a/blobs/uploads/")
            assert refused.status_code == (403 if len(plugins) == 1 else 401)


async def test_the_catalog_shows_what_one_may_see(users: Users) -> None:
    assert await users.catalog("") == ["public/app"]
    assert await users.catalog("ann") == ["ann/app", "public/app", "team/app", "team/frozen-not"]
    assert await users.catalog("bob") == ["bob/app", "public/app"]
    assert len(await users.catalog("root")) == 6


@pytest.mark.parametrize("size", ["1", "2", "3", "100"])
async def test_pages_of_the_catalog_tell_nothing(users: Users, size: str) -> None:
    """Pages are full, they end where the visible names end, and links name visible ones only."""
    for user, seen in {
        "": {"public/app"},
        "bob": {"bob/app", "public/app"},
        "zoe": {"public/app", "zoe/app"},
    }.items():
        found: list[str] = []
        path = f"/v2/_catalog?n={size}"
        while path:
            answer = await users.get(user, path)
            page = answer.json()["repositories"]
            found += page
            link = answer.headers.get("link", "")
            for hidden in {"ann/app", "bob/app", "zoe/app", "team/app"} - seen:
                assert hidden not in link
                assert hidden.replace("/", "%2F") not in link
            path = link.partition("<")[2].partition(">")[0]
            assert len(page) == int(size) or not path
            assert page, "a page with nothing on it would tell that something is hidden"
        assert found == sorted(seen)
    after_hidden = await users.catalog("bob", last="ann/app")
    assert after_hidden == await users.catalog("bob", last="ann/apq")


async def test_the_catalog_is_denied_to_who_may_list_nothing() -> None:
    pull = {"repositories": "**", "allow": "pull", "to": "anonymous"}
    lists = {"repositories": "a/**", "allow": "list", "to": "user:ann"}
    async with serving(NamesPlugin(), plugin(pull, lists)) as client:
        users = Users(client)
        assert (await users.get("", "/v2/_catalog")).status_code == 401
        assert (await users.get("bob", "/v2/_catalog")).status_code == 403
        assert await users.catalog("ann") == []


HIDDEN = [
    "tags/list",
    "manifests/v1",
    f"manifests/{sha256(image(CONFIG, [LAYER]))}",
    f"blobs/{sha256(LAYER)}",
    f"referrers/{sha256(image(CONFIG, [LAYER]))}",
]


def told(answer: httpx.Response, name: str) -> tuple[int, str, dict[str, str]]:
    """All that an answer says, save the name that was asked for and what no two share."""
    headers = {key: value for key, value in answer.headers.items() if key != "date"}
    return answer.status_code, answer.text.replace(name, "NAME"), headers


@pytest.mark.parametrize("what", HIDDEN)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_hidden_looks_like_the_absent(users: Users, method: str, what: str) -> None:
    answers = {}
    for name in ("zoe/app", "zoe/abc"):  # one is there, the other is not
        answer = await users.http.request(method, f"/v2/{name}/{what}", headers=as_user("bob"))
        answers[name] = told(answer, name)
        assert answer.status_code == 404
    assert answers["zoe/app"] == answers["zoe/abc"]


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("POST", "blobs/uploads/"),
        ("PUT", "manifests/v1"),
        ("DELETE", "manifests/v1"),
        ("DELETE", f"blobs/{sha256(LAYER)}"),
        ("GET", "blobs/uploads/x"),
        ("PATCH", "blobs/uploads/x"),
        ("DELETE", "blobs/uploads/x"),
    ],
)
async def test_writes_to_the_hidden_tell_nothing(users: Users, method: str, what: str) -> None:
    answers = {}
    for name in ("zoe/app", "zoe/abc"):
        answer = await users.http.request(method, f"/v2/{name}/{what}", headers=as_user("bob"))
        answers[name] = told(answer, name)
        assert answer.status_code == 403
    assert answers["zoe/app"] == answers["zoe/abc"]


async def test_a_digest_is_no_key(users: Users) -> None:
    """The bytes are stored once, but each repository has to have been given them."""
    secret = b"what zoe keeps for herself"
    assert await users.push("root", "zoe/secret", config=secret) == 201
    for method in ("GET", "HEAD"):
        for name in ("bob/app", "public/app", "bob/none"):
            answer = await users.http.request(
                method, f"/v2/{name}/blobs/{sha256(secret)}", headers=as_user("bob")
            )
            assert answer.status_code == 404
    payload = image(secret, [LAYER])
    for reference in ("v2", sha256(payload)):
        answer = await users.http.put(
            f"/v2/bob/app/manifests/{reference}",
            content=payload,
            headers={"Content-Type": OCI_MANIFEST, **as_user("bob")},
        )
        assert answer.status_code == 400, "a manifest does not bring the blob with it"
        assert error_of(answer)["code"] == "MANIFEST_BLOB_UNKNOWN"


async def test_a_mount_from_the_hidden_is_an_upload(users: Users) -> None:
    async def mounted(source: str | None, digest: str) -> httpx.Response:
        query = {"mount": digest, **({"from": source} if source else {})}
        return await users.http.post(
            "/v2/bob/mounted/blobs/uploads/", params=query, headers=as_user("bob")
        )

    secret = b"what zoe keeps for herself"
    await users.push("root", "zoe/secret", config=secret)
    digest = sha256(secret)
    seen = set()
    for source in ("zoe/secret", "zoe/none", "bob/app", None):
        answer = await mounted(source, digest)
        seen.add((answer.status_code, frozenset(answer.headers)))
        path = f"/v2/bob/mounted/blobs/{digest}"
        assert (await users.get("bob", path)).status_code == 404
    assert len(seen) == 1
    assert seen.pop()[0] == 202
    assert (await mounted("public/app", sha256(LAYER))).status_code == 201


async def test_a_mount_needs_to_push_to_the_target(users: Users) -> None:
    query = {"mount": sha256(LAYER), "from": "public/app"}
    for target, status in (("zoe/app", 403), ("team/frozen", 403)):
        answer = await users.http.post(
            f"/v2/{target}/blobs/uploads/", params=query, headers=as_user("bob")
        )
        assert answer.status_code == status


async def test_an_upload_belongs_to_its_repository(users: Users) -> None:
    begun = await users.http.post("/v2/zoe/app/blobs/uploads/", headers=as_user("zoe"))
    path = httpx.URL(begun.headers["location"]).raw_path.decode()
    for stolen in (path, path.replace("/zoe/app/", "/bob/app/")):
        for method in ("GET", "PATCH", "DELETE"):
            answer = await users.http.request(
                method, stolen, content=b"x" if method == "PATCH" else None,
                headers={"Content-Type": "application/octet-stream", **as_user("bob")},
            )  # fmt: skip
            assert answer.status_code in (403, 404), (method, answer.status_code)
    assert (await users.get("zoe", path)).status_code == 204


async def test_referrers_stay_in_their_repository(users: Users) -> None:
    """A signature in a hidden repository does not show beside the same image elsewhere."""
    subject = image(CONFIG, [LAYER])
    descriptor = {"mediaType": OCI_MANIFEST, "digest": sha256(subject), "size": len(subject)}
    signature = image(CONFIG, [LAYER], subject=descriptor, artifactType="application/x-secret")
    await users.push("root", "zoe/app")
    answer = await put_manifest_as(users, "zoe", "zoe/app", sha256(signature), signature)
    assert answer.status_code == 201
    path = f"/v2/{{}}/referrers/{sha256(subject)}"
    assert len((await users.get("zoe", path.format("zoe/app"))).json()["manifests"]) == 1
    assert (await users.get("bob", path.format("public/app"))).json()["manifests"] == []
    assert (await users.get("bob", path.format("zoe/app"))).status_code == 404


async def put_manifest_as(
    users: Users, user: str, repository: str, reference: str, payload: bytes
) -> httpx.Response:
    return await users.http.put(
        f"/v2/{repository}/manifests/{reference}",
        content=payload,
        headers={"Content-Type": OCI_MANIFEST, **as_user(user)},
    )


async def test_claims_decide() -> None:
    rules = (
        {
            "repositories": "{claimpath:repository}/**",
            "allow": "push",
            "to": {"authenticator": "names", "claims": {"ref": ["refs/heads/main", "refs/tags/*"]}},
        },
    )
    async with serving(NamesPlugin(), plugin(*rules)) as client:
        users = Users(client)
        job = "job repository=acme/app"
        assert await users.push(f"{job} ref=refs/heads/main", "acme/app/image") == 201
        assert await users.push(f"{job} ref=refs/tags/v1", "acme/app/image") == 201
        assert await users.push(f"{job} ref=refs/heads/x", "acme/app/image") == 403
        assert await users.push(f"{job} ref=refs/tags/v1/x", "acme/app/image") == 403
        assert await users.push(f"{job} ref=refs/heads/main", "acme/apple/image") == 403
        assert await users.push(f"{job}/.. ref=refs/heads/main", "acme/other/image") == 403


async def test_the_error_names_the_access_and_no_rule(users: Users) -> None:
    answer = await put_manifest(users.http, "team/frozen", "v1", b"{}")
    assert answer.status_code == 401
    answer = await users.http.delete("/v2/team/frozen/manifests/v1", headers=as_user("root"))
    assert answer.status_code == 403
    assert error_of(answer)["detail"] == {"access": "repository:team/frozen:delete"}
    assert "rule" not in json.dumps(error_of(answer))
