"""The plugin as a whole: every algorithm, keys that change, and mistakes at the start."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.tokens import grant, signed, token
from pyreg.errors import PluginError
from pyreg.hooks import Access, Authorizer, Decision, Identity, hookimpl
from pyreg.testing import Credentials
from pyreg_auth_token import remote, sources
from pyreg_auth_token.grants import MAX_ENTRIES, Grants
from pyreg_auth_token.jws import InvalidToken
from pyreg_auth_token.keys import ALGORITHMS, fingerprint
from pyreg_auth_token.plugin import Options, TokenPlugin
from tests.fixtures.in_process import serving

pytestmark = pytest.mark.anyio


async def status(client: httpx.AsyncClient, text: str) -> int:
    return (await client.get("/v2/", headers={"Authorization": f"Bearer {text}"})).status_code


def owner(algorithm: str) -> str:
    """Which of the server's keys fits."""
    return "RS256" if algorithm[:2] in ("RS", "PS") else algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm(client: httpx.AsyncClient, algorithm: str) -> None:
    header = {"alg": algorithm, "kid": tokens.kid(owner(algorithm))}
    text = signed(header, tokens.claims(), algorithm, tokens.key(owner(algorithm)))
    assert await status(client, text) == 200


async def test_names_of_older_token_servers(client: httpx.AsyncClient) -> None:
    kid = fingerprint(tokens.key("RS256").public_key())
    assert await status(client, token("RS256", {"kid": kid})) == 200


async def test_fewer_algorithms(options: Options) -> None:
    fewer = options.model_copy(update={"signingalgorithms": ("ES256",)})
    async with serving(TokenPlugin(fewer)) as client:
        assert await status(client, token("ES256")) == 200
        assert await status(client, token("RS256")) == 401


async def test_who_the_bearer_is(options: Options) -> None:
    plugin = TokenPlugin(options)
    await plugin.pyreg_startup()
    ask = plugin.pyreg_authenticator().authenticate
    identity = await ask(Credentials.bearer(token(groups=["ops"], nick="a")).request())
    assert identity is not None
    assert (identity.name, identity.authenticator) == ("ada", "token")
    assert identity.groups == {"ops"}
    assert identity.claims["nick"] == "a"
    nobody = await ask(Credentials.bearer(token(sub=None)).request())
    assert nobody is not None
    assert nobody.name == ""
    assert not nobody.anonymous  # the token server vouches for what it may do
    await plugin.pyreg_shutdown()


async def test_a_key_that_is_taken_away(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that were verified with it are no good any more."""
    monkeypatch.setattr(sources, "LOOK_EVERY", 0.0)
    path = Path(options.jwks)
    async with serving(TokenPlugin(options)) as client:
        old = token("ES256")
        for _ in range(2):
            assert await status(client, old) == 200
        keys = json.loads(path.read_text())["keys"]
        path.write_text(json.dumps({"keys": [key for key in keys if key["crv"] != "P-256"]}))
        assert await status(client, old) == 401
        assert await status(client, token("ES384")) == 200
        path.write_text(json.dumps({"keys": keys}))
        assert await status(client, old) == 200


class Generous(Authorizer):
    """Allows everybody everything."""

    name = "generous"

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        return Decision.ALLOW

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer:
        return self


async def test_no_policy_adds_to_what_a_token_grants(options: Options) -> None:
    for plugins in ([TokenPlugin(options), Generous()], [Generous(), TokenPlugin(options)]):
        async with serving(*plugins) as client:
            headers = {"Authorization": f"Bearer {token()}"}
            answer = await client.post("/v2/team/app/blobs/uploads/", headers=headers)
            assert answer.status_code == 401
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("option", ["rootcertbundle", "jwks"])
async def test_mistakes_at_the_start(options: Options, option: str) -> None:
    Path(getattr(options, option)).unlink()
    with pytest.raises(PluginError, match=rf"auth\.token\.{option}: .*No such file"):
        await TokenPlugin(options).pyreg_startup()


class TestAnAddress:
    """A token server that publishes its keys."""

    @pytest.fixture
    def published(self, tmp_path: Path) -> Path:
        (tmp_path / "www").mkdir()
        (tmp_path / "www" / "keys").write_text('{"keys": []}')
        return tmp_path / "www" / "keys"

    @pytest.fixture
    def address(self, published: Path) -> Iterator[str]:
        handler = partial(SimpleHTTPRequestHandler, directory=str(published.parent))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()
        thread.join()
        server.server_close()

    async def test_keys_come_and_go(
        self, published: Path, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "PAUSE", 0.0)
        monkeypatch.setattr(remote, "BACK_OFF", (0.0, 0.0))

        def publish(*names: str) -> None:
            keys = [tokens.jwk(tokens.key(name).public_key()) for name in names]
            published.write_text(json.dumps({"keys": keys}))

        options = Options(
            realm=tokens.REALM, service=tokens.SERVICE, issuer=tokens.ISSUER, jwks=address
        )
        async with serving(TokenPlugin(options)) as client:
            assert await status(client, token("ES256")) == 401
            publish("ES256")
            old = token("ES256")
            assert await status(client, old) == 200
            publish("EdDSA")
            assert await status(client, old) == 200  # nobody has looked yet
            assert await status(client, token("EdDSA")) == 200
            assert await status(client, old) == 401


def test_grants_have_a_bound() -> None:
    entry = grant("team/app", "pull")
    assert Grants([entry] * MAX_ENTRIES).allow(Access("repository", "team/app", ("pull",)))
    with pytest.raises(InvalidToken):
        Grants([entry] * (MAX_ENTRIES + 1))


def test_nothing_is_not_granted() -> None:
    assert not Grants([grant("team/app", "pull")]).allow(Access("repository", "team/app", ()))
