"""What the tests of the token service share: a registry with users, rules and a token service."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from click.testing import CliRunner, Result

# `tests` is a package that nobody installs; the tests import from it.
sys.path.insert(0, str(Path(__file__).parents[4]))

from pyreg.hooks import (
    Access,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
    InvalidCredentials,
    hookimpl,
)
from pyreg_auth_token.service.commands import token_keys
from pyreg_auth_token.service.plugin import TokenServicePlugin
from tests.fixtures.engines import ctr, docker, podman, skopeo
from tests.fixtures.in_process import serving
from tests.fixtures.servers import short_dir, start_go_registry, start_registry, workshop

__all__ = [
    "ctr",
    "docker",
    "podman",
    "short_dir",
    "skopeo",
    "start_go_registry",
    "start_registry",
    "workshop",
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def run(*arguments: str | Path) -> Result:
    """`pyreg token-keys` with arguments; whatever comes of it."""
    return CliRunner().invoke(token_keys, [str(each) for each in arguments])


@pytest.fixture
def command() -> Callable[..., Result]:
    return run


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A directory with one key."""
    directory = tmp_path / "token-keys"
    result = run("init", directory)
    assert result.exit_code == 0, result.output
    [made] = directory.iterdir()
    # Long ago, so that a key that is added in the same second signs at once.
    made.rename(made.with_name("20260101T000000Z.pem"))
    return directory


class Users(Authenticator):
    """Users with passwords, which tests change at will; too many failures make them wait."""

    name = "htpasswd"

    def __init__(self) -> None:
        self.passwords = {"ann": "secret of ann", "bob": "secret of bob"}
        self.groups = {"ann": frozenset({"devs"})}
        self.claims: dict[str, Any] = {}
        self.retry_after: float | None = None
        self.asked: list[AuthRequest] = []

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        self.asked.append(request)
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(text).decode().partition(":")
        except ValueError as error:
            raise InvalidCredentials("not base64") from error
        if self.retry_after is not None:
            raise InvalidCredentials("too many failures", retry_after=self.retry_after)
        if self.passwords.get(user) != password:
            raise InvalidCredentials("wrong password")
        return Identity(user, self.groups.get(user, frozenset()), self.claims, self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return 'Basic realm="users"'


class Badges(Authenticator):
    """Knows whoever comes with a certificate, as far as this test is concerned."""

    name = "certificate"

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        badge = request.headers.get("x-badge")
        return Identity(badge, authenticator=self.name) if badge else None

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return ""


class Rules(Authorizer):
    """`public/...` may be pulled by all, `ann/...` is ann's, `devs/...` is for a group."""

    name = "policy"

    def __init__(self) -> None:
        self.forbidden: set[str] = set()

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        return Decision.ALLOW if self._allows(identity, access) else Decision.DENY

    def _allows(self, identity: Identity, access: Access) -> bool:
        if identity.name in self.forbidden:
            return False
        if access.kind == "registry":
            return not identity.anonymous
        place = access.name.partition("/")[0]
        if place == "public" and access.actions == ("pull",):
            return True
        if place == "devs" and "devs" in identity.groups:
            return "delete" not in access.actions
        return bool(identity.name) and place == identity.name


class UsersAndRules:
    """The plugin of both."""

    def __init__(self) -> None:
        self.users = Users()
        self.rules = Rules()
        self.badges = Badges()

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        return self.users

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer:
        return self.rules


class CertificatePlugin:
    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        return Badges()


@dataclass
class Service:
    """A registry with a token service, and its client."""

    http: httpx.AsyncClient
    plugin: TokenServicePlugin
    users: Users
    rules: Rules
    keys: Path
    last: dict[str, Any] = field(default_factory=dict)

    async def get(
        self, *scopes: str, user: str = "", password: str | None = None, **query: str
    ) -> httpx.Response:
        """Ask for a token by GET; as a user with the right password, unless told."""
        password = self.users.passwords.get(user, "") if password is None else password
        return await self.http.get(
            "/auth/token",
            params={"service": "pyreg", "scope": scopes, **query},
            auth=(user, password) if user else None,
        )

    async def post(self, **form: str) -> httpx.Response:
        """Ask for a token by POST."""
        return await self.http.post("/auth/token", data={"service": "pyreg", **form})

    async def token(self, *scopes: str, user: str = "") -> str:
        """A token with what is granted of these scopes."""
        answer = await self.get(*scopes, user=user)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def refresh_token(self, user: str = "ann") -> str:
        """A refresh token of a user."""
        answer = await self.get(user=user, offline_token="true")
        return str(answer.json()["refresh_token"])

    async def with_token(
        self, token: str, path: str, method: str = "GET", **options: Any
    ) -> httpx.Response:
        """Ask the registry."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, path, headers=headers, **options)

    def claims(self, token: str) -> dict[str, Any]:
        """What stands in a token, unverified."""
        found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return found


@pytest.fixture
async def service(anyio_backend: str, keys: Path) -> AsyncIterator[Service]:
    plugin = TokenServicePlugin(TokenServicePlugin.Options(keys=str(keys)))
    people = UsersAndRules()
    # In the order in which people write them: the token service at the end.
    async with serving(CertificatePlugin(), people, plugin) as client:
        yield Service(client, plugin, people.users, people.rules, keys)


@pytest.fixture(autouse=True)
def umask() -> None:
    """Tests of modes need the usual one."""
    os.umask(0o022)
