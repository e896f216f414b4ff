"""Who may do what, and what a plugin's authenticator, authorizer and guard change on the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pyreg.errors import Refused
from pyreg.hooks import (
    Access,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
    InvalidCredentials,
    Operation,
    hookimpl,
)
from tests.protocol.live import OCTETS, Live, digest_of, error
from tests.protocol.material import image

DATA = b"guarded"


class Names(Authenticator):
    """Believes whoever says `X <name>`."""

    name = "names"

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        scheme, _, user = request.headers.get("authorization", "").partition(" ")
        if scheme != "X":
            return None
        if user == "wrong":
            raise InvalidCredentials("wrong")
        if user == "often":
            raise InvalidCredentials("wrong again", retry_after=2.5)
        return Identity(user, authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return f'X realm="test",scope="{" ".join(map(str, accesses))}"'


class Table(Authorizer):
    """Everybody may pull `public`; a user may do all below the user's own name."""

    name = "table"

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        if access.kind == "registry":
            return Decision.ALLOW if access.name == "base" else Decision.ABSTAIN
        if access.name == "public" and access.actions == ("pull",):
            return Decision.ALLOW
        own = access.name == identity.name or access.name.startswith(f"{identity.name}/")
        return Decision.ALLOW if identity.name and own else Decision.ABSTAIN


class Plugin:
    api_version = (1, 0)

    def __init__(self) -> None:
        self.operations: list[str] = []

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        return Names()

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer:
        return Table()

    @hookimpl
    async def pyreg_guard(self, operation: Operation, identity: Identity) -> None:
        self.operations.append(f"{identity.name} {operation.action} {operation.kind}")
        if "forbidden" in operation.tags:
            raise Refused("no such tags here", detail={"tag": "forbidden"})


@pytest.fixture
def guarded(start: Callable[..., Live]) -> Live:
    return start(plugins=[Plugin()])


def as_user(server: Live, user: str) -> None:
    server.http.headers["Authorization"] = f"X {user}"


ENDPOINTS = [
    ("GET", "/v2/private/manifests/v1", "pull"),
    ("GET", f"/v2/private/blobs/{digest_of(DATA)}", "pull"),
    ("GET", "/v2/private/tags/list", "pull"),
    ("GET", f"/v2/private/referrers/{digest_of(DATA)}", "pull"),
    ("POST", "/v2/private/blobs/uploads/", "pull,push"),
    ("PATCH", "/v2/private/blobs/uploads/x", "pull,push"),
    ("PUT", "/v2/private/blobs/uploads/x", "pull,push"),
    ("GET", "/v2/private/blobs/uploads/x", "pull,push"),
    ("DELETE", "/v2/private/blobs/uploads/x", "pull,push"),
    ("PUT", "/v2/private/manifests/v1", "pull,push"),
    ("DELETE", "/v2/private/manifests/v1", "delete"),
    ("DELETE", f"/v2/private/blobs/{digest_of(DATA)}", "delete"),
]


@pytest.mark.parametrize(("method", "path", "actions"), ENDPOINTS)
def test_every_endpoint_is_guarded(guarded: Live, method: str, path: str, actions: str) -> None:
    """401 with a challenge for strangers; 403, or 404 for reads, for those who may not."""
    answer = guarded.http.request(method, path)
    error(answer, 401, "UNAUTHORIZED")
    scope = f'scope="repository:private:{actions}"'
    assert answer.headers["www-authenticate"] == f'X realm="test",{scope}'
    as_user(guarded, "wrong")
    error(guarded.http.request(method, path), 401, "UNAUTHORIZED")
    as_user(guarded, "someone")
    refused = guarded.http.request(method, path)
    if actions == "pull":
        error(refused, 404, "NAME_UNKNOWN")
    else:
        error(refused, 403, "DENIED")


def test_the_catalog_and_the_base(guarded: Live) -> None:
    assert guarded.http.get("/v2/").status_code == 200
    answer = guarded.http.get("/v2/_catalog")
    error(answer, 401, "UNAUTHORIZED")
    assert "registry:catalog:*" in answer.headers["www-authenticate"]
    as_user(guarded, "someone")
    error(guarded.http.get("/v2/_catalog"), 403, "DENIED")


def test_too_many_failures(guarded: Live) -> None:
    """ "A 429 response SHOULD include a Retry-After header"."""
    as_user(guarded, "often")
    answer = guarded.http.get("/v2/private/tags/list")
    error(answer, 429, "TOOMANYREQUESTS")
    assert answer.headers["retry-after"] == "2"


def test_a_body_is_not_taken_from_strangers(guarded: Live) -> None:
    """The refusal comes before the first byte of the body is stored."""
    answer = guarded.http.post(
        "/v2/private/blobs/uploads/", params={"digest": digest_of(DATA)}, content=DATA
    )
    error(answer, 401, "UNAUTHORIZED")
    assert list(guarded.registry.driver.driver._store.objects) == []  # type: ignore[attr-defined]


def test_mounting_needs_to_read_the_source(guarded: Live) -> None:
    """A source that the caller may not see looks like one that does not exist: 202."""
    as_user(guarded, "alice")
    digest = guarded.blob("alice/secret", DATA)
    as_user(guarded, "bob")
    for query in ({"from": "alice/secret"}, {}, {"from": "alice/nothing"}):
        answer = guarded.http.post("/v2/bob/x/blobs/uploads/", params={"mount": digest, **query})
        assert answer.status_code == 202
        error(guarded.http.get(f"/v2/bob/x/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    guarded.blob("bob/y", DATA)
    answer = guarded.http.post(
        "/v2/bob/x/blobs/uploads/", params={"mount": digest, "from": "bob/y"}
    )
    assert answer.status_code == 201


def test_a_guard(start: Callable[..., Live]) -> None:
    """It sees each write before it is committed, and its refusal is what the client hears."""
    plugin = Plugin()
    server = start(plugins=[plugin])
    as_user(server, "alice")
    digest = server.manifest("alice", "good", image(server, "alice"))
    entry = error(server.put_manifest("alice", "forbidden", image(server, "alice")), 403, "DENIED")
    assert entry["message"] == "no such tags here"
    assert entry["detail"] == {"tag": "forbidden"}
    error(server.http.get("/v2/alice/manifests/forbidden"), 404, "MANIFEST_UNKNOWN")
    plugin.operations.clear()
    server.blob("alice", DATA)
    query = {"mount": digest_of(DATA), "from": "alice"}
    server.http.post("/v2/alice/other/blobs/uploads/", params=query, headers=OCTETS)
    for path in ("manifests/good", f"manifests/{digest}", f"blobs/{digest_of(DATA)}"):
        server.http.delete(f"/v2/alice/{path}")
    assert plugin.operations == [
        "alice push blob",
        "alice mount blob",
        "alice delete tag",
        "alice delete manifest",
        "alice delete blob",
    ]
