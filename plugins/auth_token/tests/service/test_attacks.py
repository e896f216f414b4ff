"""Attacks on the token service, each of which has to fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pyreg_auth_token.service.export import bundle, jwks
from pyreg_auth_token.service.plugin import TokenServicePlugin
from pyreg_auth_token.service.refresh import Credentials, RefreshTokens
from pyreg_auth_token.service.signing import read_keys
from tests.fixtures.in_process import post_blob, serving
from tests.fixtures.wire import sha256

pytestmark = pytest.mark.anyio

PUSH = "repository:ann/app:pull,push"


def part(document: object) -> str:
    data = json.dumps(document).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def forged(token: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token with other members, and the signature of the old ones."""
    first, second, signature = token.split(".")
    return ".".join(
        [
            part({**decoded(first), **(header or {})}),
            part({**decoded(second), **claims}),
            signature,
        ]
    )


async def refused(service: Any, token: str) -> None:
    """Neither the registry nor the token service takes it, and nobody becomes anonymous."""
    for path in ("/v2/", "/v2/public/app/tags/list", "/auth/token"):
        answer = await service.with_token(token, path)
        assert answer.status_code == 401, path


EVERYTHING = [{"type": "repository", "name": "bob/app", "actions": ["*"]}]


@pytest.mark.parametrize(
    "claims",
    [
        {"access": EVERYTHING},
        {"sub": "bob"},
        {"exp": int(time.time()) + 10**6},
        {"groups": ["admins"]},
    ],
)
async def test_changed_claims(service: Any, claims: dict[str, Any]) -> None:
    await refused(service, forged(await service.token(PUSH, user="ann"), **claims))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES384", "RS256", "EdDSA", "", 5])
async def test_changed_algorithm(service: Any, algorithm: Any) -> None:
    token = forged(await service.token(PUSH, user="ann"), header={"alg": algorithm})
    await refused(service, token)
    await refused(service, f"{token.rpartition('.')[0]}.")


async def test_the_public_key_as_a_shared_secret(service: Any) -> None:
    keys = read_keys(service.keys)
    public = keys.keys[0].trusted.public
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        bundle(keys),
        json.dumps(jwks(keys)).encode(),
    ):
        token = await service.token(PUSH, user="ann")
        claims = {**service.claims(token), "access": EVERYTHING}
        head = f"{part({'alg': 'HS256', 'kid': keys.keys[0].kid})}.{part(claims)}"
        signature = hmac.digest(secret, head.encode(), hashlib.sha256)
        await refused(service, f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


async def test_a_key_of_the_attackers_own(service: Any) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(own.public_key(), as_dict=True)
    kid = read_keys(service.keys).keys[0].kid
    claims = {**service.claims(await service.token(PUSH, user="ann")), "access": EVERYTHING}
    for header in ({"kid": kid}, {"jwk": jwk}, {"kid": kid, "jwk": jwk}, {"kid": "x"}, {}):
        await refused(service, jwt.encode(claims, own, "ES256", headers=header))


async def test_a_token_that_has_expired(service: Any) -> None:
    key = read_keys(service.keys).keys[0]
    claims = service.claims(await service.token(PUSH, user="ann"))
    now = int(time.time())
    for times, good in (
        ({"exp": now + 10}, True),
        ({"exp": now - 61}, False),
        ({"nbf": now + 120}, False),
    ):
        token = jwt.encode({**claims, **times}, key.private, "ES256", headers={"kid": key.kid})
        if good:
            assert (await service.with_token(token, "/v2/")).status_code == 200
        else:
            await refused(service, token)


async def test_a_refresh_token_as_an_access_token(service: Any) -> None:
    await refused(service, await service.refresh_token("ann"))


async def test_an_access_token_as_a_refresh_token(service: Any) -> None:
    token = await service.token(PUSH, user="ann")
    answer = await service.post(grant_type="refresh_token", refresh_token=token, scope=PUSH)
    assert answer.status_code == 401


async def test_tokens_as_passwords(service: Any) -> None:
    for text in (await service.token(PUSH, user="ann"), await service.refresh_token("ann")):
        assert (await service.get(PUSH, user="ann", password=text)).status_code == 401
        answer = await service.post(grant_type="password", username="ann", password=text)
        assert answer.status_code == 401


async def test_a_token_does_not_get_another_token(service: Any) -> None:
    """Not one for longer, and not one for more."""
    token = await service.token("repository:ann/app:pull", user="ann")
    answer = await service.with_token(token, f"/auth/token?service=pyreg&scope={PUSH}")
    assert answer.status_code == 401


async def test_a_mount_from_what_the_token_does_not_grant(service: Any) -> None:
    data = b"secret of bob"
    service.http.headers["Authorization"] = (
        f"Bearer {await service.token('repository:bob/app:pull,push', user='bob')}"
    )
    assert (await post_blob(service.http, "bob/app", data)).status_code == 201
    token = await service.token("repository:ann/app:pull,push", user="ann")
    del service.http.headers["Authorization"]
    answer = await service.with_token(
        token, f"/v2/ann/app/blobs/uploads/?mount={sha256(data)}&from=bob/app", "POST"
    )
    assert answer.status_code == 202, "it is an upload like any other"
    answer = await service.with_token(token, f"/v2/ann/app/blobs/{sha256(data)}", "HEAD")
    assert answer.status_code == 404
    answer = await service.get("repository:ann/app:pull repository:bob/app:pull", user="ann")
    assert answer.json()["scope"] == "repository:ann/app:pull"


async def test_tokens_of_another_service_with_the_same_keys(service: Any) -> None:
    for options in ({"service": "other"}, {"issuer": "other"}):
        settings = {"keys": str(service.keys), **options}
        other = TokenServicePlugin(TokenServicePlugin.Options.model_validate(settings))
        async with serving(other) as client:
            answer = await client.get("/auth/token")
            assert answer.status_code == 200
            await refused(service, answer.json()["token"])


async def test_refresh_tokens_of_another_service_with_the_same_keys(service: Any) -> None:
    ring = read_keys(service.keys)
    ann = Credentials("ann", service.users.passwords["ann"])
    for names in (("other", "pyreg"), ("pyreg", "other")):
        text = RefreshTokens(*names, 1000).seal(ring, ann, time.time())
        answer = await service.post(grant_type="refresh_token", refresh_token=text, scope=PUSH)
        assert answer.status_code == 401


async def test_a_key_that_was_removed(service: Any, command: Any) -> None:
    token, refresh = await service.token(PUSH, user="ann"), await service.refresh_token("ann")
    [old] = [key.name for key in read_keys(service.keys).keys]
    assert (await service.with_token(token, "/v2/")).status_code == 200, "and is remembered"
    assert command("rotate", service.keys, "--delay", "0").exit_code == 0
    await service.plugin._keys.look()
    assert (await service.with_token(token, "/v2/")).status_code == 200
    assert command("remove", service.keys, old).exit_code == 0
    await service.plugin._keys.look()
    await refused(service, token)
    answer = await service.post(grant_type="refresh_token", refresh_token=refresh)
    assert answer.status_code == 401
    assert (await service.with_token(await service.token(user="ann"), "/v2/")).status_code == 200


@pytest.mark.parametrize(
    "scope",
    [
        'repository:ann/app",error="x:pull',
        "repository:ann/app:pull\r\nX-Evil: 1",
        'repository:ann/app:pull","access":[]',
        "repository:ann/app:pull\x00",
        "repository:{user}/app:pull",
        "repository:*/app:pull",
        "repository:**:pull",
    ],
)
async def test_scopes_that_would_end_what_they_stand_in(service: Any, scope: str) -> None:
    answer = await service.get(scope, user="ann")
    assert answer.status_code == 400
    assert "evil" not in str(answer.headers).lower()
    assert scope not in answer.text


async def test_no_secret_in_the_log(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    refresh = await service.refresh_token("ann")
    token = await service.token(PUSH, user="ann")
    await service.get(PUSH, user="ann", password="a wrong secret")
    await service.post(grant_type="password", username="ann", password="a wrong secret")
    await service.post(grant_type="refresh_token", refresh_token=f"{refresh}x")
    await service.with_token(f"{token}x", "/v2/")
    assert any("is refused" in line for line in caplog.messages)
    ours = [record for record in caplog.records if record.name.startswith("pyreg")]
    text = "\n".join(record.getMessage() for record in ours)
    for secret in ("secret of ann", "a wrong secret", refresh[20:60], token[-40:]):
        assert secret not in text


async def test_a_directory_of_keys_that_breaks_keeps_the_old_ones(service: Any, keys: Path) -> None:
    token = await service.token(PUSH, user="ann")
    (keys / "20200101T000000Z.pem").write_text("half a key")
    (keys / "20200101T000000Z.pem").chmod(0o600)
    await service.plugin._keys.look()
    assert (await service.with_token(token, "/v2/")).status_code == 200
    assert (await service.http.get("/debug/health")).status_code == 503
    (keys / "20200101T000000Z.pem").unlink()
    await service.plugin._keys.look()
    assert (await service.http.get("/debug/health")).status_code == 200
