"""Who may do what, as clients see it: authenticators and authorizers of every temper."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import quart

from pyreg.access import Gate
from pyreg.api.address import Addresses
from pyreg.hooks import (
    ANONYMOUS,
    Access,
    AccessControl,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
    InvalidCredentials,
    hookimpl,
)
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import error_of, image, post_blob, put_manifest, serving
from tests.fixtures.wire import sha256

pytestmark = pytest.mark.anyio

DATA = b"who may read this?"
ANN = httpx.BasicAuth("ann", "secret")
BOB = httpx.BasicAuth("bob", "hush")
WRONG = httpx.BasicAuth("ann", "guessed")


class Passwords(Authenticator):
    """Basic authentication (RFC 7617) with passwords in memory."""

    name = "passwords"

    def __init__(self, users: dict[str, str], patience: int = 1000) -> None:
        self.users = users
        self.patience = patience

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        if self.users.get(user) != password:
            self.patience -= 1
            raise InvalidCredentials(
                f"wrong password for {user}", retry_after=None if self.patience > 0 else 29.6
            )
        return Identity(user, authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return f'Basic realm="{request.host}"'


class Bearer(Authenticator):
    """Tokens that are user names; denied callers are asked for a better one."""

    name = "bearer"
    challenges_denied = True

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if token == "expired":
            raise InvalidCredentials("it has expired", error="invalid_token")
        return Identity(token, authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        scope = " ".join(map(str, accesses))
        return f'Bearer realm="https://login.test/token",scope="{scope}"' + (
            f',error="{error}"' if error else ""
        )


class Policy(Authorizer):
    """A policy as a function."""

    name = "policy"

    def __init__(self, decide: Callable[[Identity, Access], Decision]) -> None:
        self.decide = decide

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        return self.decide(identity, access)


class Certificates(Authenticator):
    """Takes a header for a certificate; HTTP has no challenge for one."""

    name = "certificates"

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        name = request.headers.get("x-certificate")
        return Identity(name, authenticator=self.name) if name else None

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return ""


@dataclass
class Uses:
    """A plugin with an authenticator, an authorizer, or both."""

    authenticator: Authenticator | None = None
    authorizer: Authorizer | None = None

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator | None:
        return self.authenticator

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer | None:
        return self.authorizer


def users() -> Passwords:
    return Passwords({"ann": "secret", "bob": "hush"})


def anybody_pulls(identity: Identity, access: Access) -> Decision:
    """Anonymous pull, authenticated push; nobody deletes but ann."""
    if access.actions == ("pull",):
        return Decision.ALLOW
    if access.actions == ("delete",):
        return Decision.ALLOW if identity.name == "ann" else Decision.DENY
    return Decision.ABSTAIN if identity.anonymous else Decision.ALLOW


def own_only(identity: Identity, access: Access) -> Decision:
    """Everybody has the repositories below the own name, and may read `shared/...`."""
    if access.name.startswith(f"{identity.name}/") or access.kind == "registry":
        return Decision.ALLOW
    if access.name.startswith("shared/") and access.actions == ("pull",):
        return Decision.ALLOW
    return Decision.ABSTAIN


def pull(repository: str) -> str:
    return f"/v2/{repository}/blobs/{sha256(DATA)}"


async def test_without_plugins_everybody_may_do_everything() -> None:
    async with serving() as client:
        assert (await post_blob(client, "a", DATA)).status_code == 201
        # Credentials that nobody asked for do no harm.
        assert (await client.get(pull("a"), auth=WRONG)).content == DATA


async def test_authenticated_may_do_all_without_a_policy() -> None:
    async with serving(Uses(users())) as client:
        for path in ("/v2/", "/v2/_catalog", "/v2/a/tags/list", pull("a")):
            answer = await client.get(path)
            assert answer.status_code == 401, path
            assert error_of(answer)["code"] == "UNAUTHORIZED"
            assert answer.headers["www-authenticate"] == 'Basic realm="registry.test"'
        assert (await post_blob(client, "a", DATA, auth=ANN)).status_code == 201
        assert (await client.get(pull("a"), auth=BOB)).content == DATA
        assert (await client.delete(pull("a"), auth=BOB)).status_code == 202


async def test_wrong_credentials_are_never_anonymous() -> None:
    async with serving(Uses(users(), Policy(anybody_pulls))) as client:
        await post_blob(client, "a", DATA, auth=ANN)
        assert (await client.get(pull("a"))).status_code == 200
        answer = await client.get(pull("a"), auth=WRONG)
        assert answer.status_code == 401
        assert DATA not in answer.content
        assert "ann" not in answer.text, "the log hears why, the client does not"


async def test_anonymous_pull_and_authenticated_push() -> None:
    async with serving(Uses(users(), Policy(anybody_pulls))) as client:
        answer = await post_blob(client, "a", DATA)
        assert answer.status_code == 401
        detail = {
            (item["Type"], item["Name"], item["Action"]) for item in error_of(answer)["detail"]
        }
        assert detail == {("repository", "a", "pull"), ("repository", "a", "push")}
        assert (await post_blob(client, "a", DATA, auth=BOB)).status_code == 201
        payload = image(DATA)
        assert (await put_manifest(client, "a", "v1", payload, auth=BOB)).status_code == 201
        assert (await client.get("/v2/a/manifests/v1")).content == payload
        assert (await client.get("/v2/a/tags/list")).json()["tags"] == ["v1"]
        denied = await client.delete("/v2/a/manifests/v1", auth=BOB)
        assert denied.status_code == 403
        assert error_of(denied)["code"] == "DENIED"
        assert (await client.delete("/v2/a/manifests/v1", auth=ANN)).status_code == 202


async def test_several_authenticators_each_knows_its_own() -> None:
    async with serving(Uses(users()), Uses(Bearer())) as client:
        answer = await client.get(pull("a"))
        assert answer.status_code == 401
        assert answer.headers.get_list("www-authenticate") == [
            'Bearer realm="https://login.test/token",scope="repository:a:pull"',
        ]
        assert (await client.get("/v2/", auth=ANN)).status_code == 200
        bearer = {"Authorization": "Bearer carol"}
        assert (await client.get("/v2/", headers=bearer)).status_code == 200
        assert (await client.get("/v2/", headers={"Authorization": "Digest x"})).status_code == 401


async def test_an_error_of_a_token_is_in_the_challenge() -> None:
    async with serving(Uses(Bearer())) as client:
        answer = await client.get(pull("a"), headers={"Authorization": "Bearer expired"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].endswith(',error="invalid_token"')


async def test_a_denied_token_is_challenged_and_a_denied_password_is_not() -> None:
    plugins = (Uses(Bearer()), Uses(users(), Policy(own_only)))
    async with serving(*plugins) as client:
        bearer = {"Authorization": "Bearer carol"}
        answer = await post_blob(client, "ann/app", DATA, headers=bearer)
        assert answer.status_code == 401
        challenge = answer.headers.get_list("www-authenticate")[0]
        assert challenge.endswith('scope="repository:ann/app:pull,push",error="insufficient_scope"')
        assert (await post_blob(client, "ann/app", DATA, auth=BOB)).status_code == 403
        assert (await post_blob(client, "ann/app", DATA, auth=ANN)).status_code == 201


async def test_too_many_wrong_passwords_are_429() -> None:
    async with serving(Uses(Passwords({"ann": "secret"}, patience=2))) as client:
        assert (await client.get("/v2/", auth=WRONG)).status_code == 401
        answer = await client.get("/v2/", auth=WRONG)
        assert answer.status_code == 429
        assert error_of(answer)["code"] == "TOOMANYREQUESTS"
        assert answer.headers["retry-after"] == "30"


async def test_what_one_may_not_see_looks_like_what_is_not_there() -> None:
    async with serving(Uses(users(), Policy(own_only))) as client:
        await post_blob(client, "ann/app", DATA, auth=ANN)
        payload = image(DATA)
        await put_manifest(client, "ann/app", "v1", payload, auth=ANN)
        digest = sha256(payload)
        for path in (
            "/v2/{}/tags/list",
            "/v2/{}/manifests/v1",
            f"/v2/{{}}/manifests/{digest}",
            f"/v2/{{}}/blobs/{sha256(DATA)}",
            f"/v2/{{}}/referrers/{digest}",
        ):
            hidden = await client.get(path.format("ann/app"), auth=BOB)
            absent = await client.get(path.format("ann/none"), auth=BOB)
            assert hidden.status_code == absent.status_code == 404
            assert hidden.text.replace("ann/app", "ann/none") == absent.text
            assert error_of(hidden)["code"] == "NAME_UNKNOWN"


async def test_without_authenticators_a_policy_denies() -> None:
    async with serving(Uses(authorizer=Policy(lambda *_: Decision.ABSTAIN))) as client:
        answer = await post_blob(client, "a", DATA)
        assert answer.status_code == 403, "nobody could log in, so no challenge helps"
        assert "www-authenticate" not in answer.headers
        assert (await client.get(pull("a"))).status_code == 404


async def test_a_mount_needs_pull_on_the_source() -> None:
    async with serving(Uses(users(), Policy(own_only))) as client:

        async def mounted(source: str) -> httpx.Response:
            query = {"mount": sha256(DATA), "from": source}
            return await client.post("/v2/bob/app/blobs/uploads/", params=query, auth=BOB)

        await post_blob(client, "ann/app", DATA, auth=ANN)
        hidden, absent = await mounted("ann/app"), await mounted("ann/none")
        # To bob there is nothing to mount, so he is to upload it.
        assert hidden.status_code == absent.status_code == 202
        assert set(hidden.headers) == set(absent.headers)
        assert (await client.get(pull("bob/app"), auth=BOB)).status_code == 404

        await post_blob(client, "bob/other", DATA, auth=BOB)
        assert (await mounted("bob/other")).status_code == 201
        assert (await client.get(pull("bob/app"), auth=BOB)).content == DATA


async def test_an_anonymous_mount_is_none_under_access_control() -> None:
    storage = InMemoryStorage()
    query = {"mount": sha256(DATA)}
    async with serving(storage=storage) as client:
        await post_blob(client, "secret", DATA)
        assert (await client.post("/v2/a/blobs/uploads/", params=query)).status_code == 201
    async with serving(Uses(users()), storage=storage) as client:
        # Whoever knows a digest must not get at the bytes.
        answer = await client.post("/v2/b/blobs/uploads/", params=query, auth=BOB)
        assert answer.status_code == 202
        assert (await client.get(pull("b"), auth=BOB)).status_code == 404


async def test_decisions_are_made_in_order_and_for_all_accesses() -> None:
    asked: list[str] = []

    def deciding(name: str, decision: Decision) -> Uses:
        def decide(_: Identity, access: Access) -> Decision:
            asked.append(f"{name} {access}")
            return decision

        return Uses(authorizer=Policy(decide))

    abstains, allows = deciding("1", Decision.ABSTAIN), deciding("2", Decision.ALLOW)
    async with serving(abstains, allows, deciding("3", Decision.DENY)) as client:
        assert (await client.get("/v2/_catalog")).status_code == 200
    assert asked == ["1 registry:catalog:*", "2 registry:catalog:*"]


async def test_an_authenticator_that_breaks_lets_nobody_in() -> None:
    class Broken(Passwords):
        async def authenticate(self, request: AuthRequest) -> Identity | None:
            raise ConnectionError("the directory with the password hunter2 does not answer")

    async with serving(Uses(Broken({})), Uses(users())) as client:
        answer = await client.get("/v2/", auth=ANN)
        assert answer.status_code == 500
        assert "hunter2" not in answer.text


async def test_the_gate_decides_alike_for_routes_of_plugins() -> None:
    gate = Gate([users()], [Policy(own_only)])
    access = Access("repository", "ann/app", ("push",))
    assert await gate.allows(Identity("ann", authenticator="passwords"), access)
    assert not await gate.allows(Identity("bob", authenticator="passwords"), access)
    assert not await gate.allows(ANONYMOUS, access)
    assert not gate.open


# -- authorizers of one authenticator's callers --------------------------------------------


class Scope(Policy):
    """Decides on the bearers of tokens alone; none of them may do anything but pull `a`."""

    name = "scope"
    authenticator = "bearer"

    def __init__(self) -> None:
        super().__init__(
            lambda _, access: (
                Decision.ALLOW
                if access.name in ("a", "base") and access.actions in (("pull",), ("*",))
                else Decision.DENY
            )
        )


CAROL = {"Authorization": "Bearer carol"}


async def test_an_authorizer_of_one_authenticator_says_nothing_of_others() -> None:
    """Who came with a password may do everything, as if there were no tokens."""
    async with serving(Uses(Bearer(), Scope()), Uses(users())) as client:
        assert (await post_blob(client, "a", DATA, auth=ANN)).status_code == 201
        assert (await post_blob(client, "b", DATA, auth=ANN)).status_code == 201
        assert (await client.get(pull("b"), auth=BOB)).content == DATA
        assert (await client.get(pull("a"), headers=CAROL)).content == DATA
        assert (await client.get(pull("b"), headers=CAROL)).status_code == 401
        assert (await post_blob(client, "a", DATA, headers=CAROL)).status_code == 401
        assert (await client.get(pull("a"))).status_code == 401, "strangers are nobody's callers"


async def test_an_authorizer_of_one_authenticator_beside_one_of_everybody() -> None:
    policy = Policy(anybody_pulls)
    async with serving(Uses(Bearer(), Scope()), Uses(users(), policy)) as client:
        assert (await post_blob(client, "b", DATA, auth=BOB)).status_code == 201
        assert (await client.get(pull("b"))).content == DATA
        # Her token says less than what the policy would allow to anybody.
        assert (await client.get(pull("b"), headers=CAROL)).status_code == 401


# -- the catalog ---------------------------------------------------------------------------


async def repositories(client: httpx.AsyncClient, *names: str) -> None:
    for name in names:
        await post_blob(client, name, DATA, auth=ANN)
        assert (await put_manifest(client, name, "v1", image(DATA), auth=ANN)).status_code == 201


class Shows(Policy):
    """Everything is allowed, and the catalog shows repositories whose names begin with `a`."""

    async def sees(self, identity: Identity, repository: str) -> Decision:
        return Decision.ALLOW if repository.startswith("a") else Decision.ABSTAIN


async def test_the_catalog_shows_what_authorizers_let_see() -> None:
    async def shown(*plugins: object) -> list[str]:
        async with serving(*plugins) as client:
            await repositories(client, "a", "b", "ann/a", "bob/b")
            answer = await client.get("/v2/_catalog", auth=ANN)
            assert answer.status_code == 200
            names: list[str] = answer.json()["repositories"]
            return names

    def allows(identity: Identity, access: Access) -> Decision:
        return Decision.ALLOW

    everything = ["a", "ann/a", "b", "bob/b"]
    assert await shown(Uses(users())) == everything, "without an authorizer, all of it"
    assert await shown(Uses(users(), Policy(allows))) == everything
    assert await shown(Uses(users(), Shows(allows))) == ["a", "ann/a"]
    assert await shown(Uses(users(), Shows(allows)), Uses(authorizer=Policy(allows))) == everything
    bound = Shows(allows)
    bound.authenticator = "somebody else's"
    assert await shown(Uses(users(), bound)) == everything


async def test_without_a_word_of_its_own_who_may_pull_sees() -> None:
    policy = Policy(own_only)
    ann = Identity("ann", authenticator="passwords")
    assert await policy.sees(ann, "ann/app") is Decision.ALLOW
    assert await policy.sees(ann, "shared/app") is Decision.ALLOW
    assert await policy.sees(ann, "bob/app") is Decision.ABSTAIN


# -- credentials that nobody can make anything of ------------------------------------------


async def test_two_authorization_headers_are_refused() -> None:
    """A proxy in front may have looked at the one, and the registry would look at the other."""
    good, bad = (f"Basic {base64.b64encode(pair).decode()}" for pair in (b"ann:secret", b"ann:no"))
    async with serving(Uses(users(), Policy(anybody_pulls))) as client:
        for pair in ((good, bad), (bad, good), (good, good)):
            headers = [("Authorization", value) for value in pair]
            for path in ("/v2/", pull("a"), "/v2/_catalog"):
                answer = await client.get(path, headers=headers)
                assert answer.status_code == 400, path
                assert error_of(answer)["message"] == "more than one Authorization header"
                assert "www-authenticate" not in answer.headers


class Shrugs(Passwords):
    """Never finds credentials of its kind."""

    def __init__(self) -> None:
        super().__init__({})

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        return None

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return f'Example realm="{request.host}"'


@pytest.mark.parametrize("value", ["Digest x", "Bearer x", "basic", "nonsense", "Basic"])
async def test_credentials_that_nobody_takes_are_never_anonymous(value: str) -> None:
    """Whoever sends credentials wants to be somebody, even where strangers may pull."""
    async with serving(Uses(Shrugs(), Policy(anybody_pulls))) as client:
        assert (await client.get(pull("a"))).status_code == 404
        answer = await client.get(pull("a"), headers={"Authorization": value})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Example realm="registry.test"'


async def test_challenges_come_in_the_order_of_the_authenticators() -> None:
    """Basic is left out where there is Bearer: clients that see both fail at one of them."""
    for plugins, schemes in (
        ((Uses(users()), Uses(Certificates()), Uses(Shrugs())), ["Basic", "Example"]),
        ((Uses(Shrugs()), Uses(Certificates()), Uses(users())), ["Example", "Basic"]),
        ((Uses(Bearer()), Uses(Certificates()), Uses(users())), ["Bearer"]),
        (
            (Uses(users()), Uses(Shrugs()), Uses(Bearer()), Uses(Certificates())),
            ["Example", "Bearer"],
        ),
    ):
        async with serving(*plugins) as client:
            for headers in ({}, {"Authorization": "Bearer expired"}, {"Authorization": "X y"}):
                answer = await client.get("/v2/", headers=headers)
                assert answer.status_code == 401
                found = answer.headers.get_list("www-authenticate")
                assert [challenge.split()[0] for challenge in found] == schemes
            assert (await client.get("/v2/", headers={"X-Certificate": "ann"})).status_code == 200


async def test_where_no_challenge_helps_there_is_none() -> None:
    """A 401 without a challenge is no answer (RFC 9110, section 15.5.2)."""
    async with serving(Uses(Certificates())) as client:
        answer = await client.get("/v2/")
        assert answer.status_code == 403
        assert error_of(answer)["code"] == "DENIED"
        assert "certificate" in error_of(answer)["message"]
        assert "www-authenticate" not in answer.headers
        assert (await client.get("/v2/", headers={"X-Certificate": "ann"})).status_code == 200


async def test_an_empty_user_and_password_are_nobody() -> None:
    """Podman and skopeo answer a Basic challenge so when they have no password."""
    async with serving(Uses(users(), Policy(anybody_pulls))) as client:
        for value in ("Basic Og==", "basic Og=="):
            answer = await client.get(pull("a"), headers={"Authorization": value})
            assert answer.status_code == 404, "nobody may pull, but there is nothing"
            begun = await client.post("/v2/a/blobs/uploads/", headers={"Authorization": value})
            assert begun.status_code == 401
        for value in ("Basic OjE=", "Basic Ojo=", "Bearer Og=="):
            answer = await client.get(pull("a"), headers={"Authorization": value})
            assert answer.status_code == 401, "that is somebody, and nobody knows who"


async def test_who_decides_on_the_callers_of_one_authenticator_is_asked_first() -> None:
    """A policy must not add to what a token grants."""

    class OnlyAnn(Policy):
        authenticator = "passwords"

    everything = Policy(lambda *_: Decision.ALLOW)
    mine = OnlyAnn(lambda _, access: Decision.ALLOW if access.name == "a" else Decision.DENY)
    async with serving(Uses(users(), everything), Uses(authorizer=mine)) as client:
        assert (await post_blob(client, "a", DATA, auth=ANN)).status_code == 201
        assert (await post_blob(client, "b", DATA, auth=ANN)).status_code == 403
        assert (await post_blob(client, "b", DATA)).status_code == 201, "nobody is no caller of it"


@dataclass
class Asks:
    """Shows what a plugin's routes learn of a request."""

    def __post_init__(self) -> None:
        self.seen: list[AuthRequest] = []

    @hookimpl
    def pyreg_access(self, access: AccessControl) -> None:
        self.access = access

    @hookimpl
    def pyreg_blueprint(self) -> quart.Blueprint:
        blueprint = quart.Blueprint("asks", __name__)

        @blueprint.get("/ask")
        async def ask() -> str:
            self.seen.append(self.access.request(quart.request.scope))
            return "thanks"

        return blueprint


@pytest.mark.parametrize(
    ("options", "headers", "address"),
    [
        ({}, {}, "http://registry.test"),
        ({"prefix": "/p/"}, {}, "http://registry.test/p"),
        (
            {"external": "https://real.test:8443/x", "prefix": "/p"},
            {},
            "https://real.test:8443/x/p",
        ),
        (
            {"trusted": [ip_network("127.0.0.0/8")]},
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "outside.test"},
            "https://outside.test",
        ),
        ({}, {"X-Forwarded-Host": "outside.test"}, "http://registry.test"),
    ],
)
async def test_plugins_learn_the_address_that_the_caller_knows(
    options: dict[str, Any], headers: dict[str, str], address: str
) -> None:
    plugin = Asks()
    async with serving(plugin, addresses=Addresses(**options)) as client:
        path = f"{options.get('prefix', '').rstrip('/')}/ask"
        assert (await client.get(path, headers=headers)).text == "thanks"
    [seen] = plugin.seen
    assert f"{seen.scheme}://{seen.host}{seen.root}" == address


async def test_refused_credentials_are_logged_with_their_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pyreg.access")
    async with serving(Uses(users())) as client:
        assert (await client.get("/v2/", auth=WRONG)).status_code == 401
        assert (await client.get("/v2/", auth=ANN)).status_code == 200
    [record] = [item for item in caplog.records if item.name == "pyreg.access"]
    assert "are refused: wrong password for ann" in record.getMessage()
    assert "guessed" not in caplog.text
