"""The same verdicts as Debian's Docker registry, over one configuration and the same tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.auth_token.tests import tokens
from plugins.auth_token.tests.tokens import Certified, certify, claims, grant, signed
from pyreg_auth_token.keys import fingerprint
from tests.fixtures.wire import Wire
from tests.servers.registries import Registry

RSA, ELLIPTIC = "RS256", "ES256"
CATALOG = grant("catalog", "*", kind="registry")


def libtrust(algorithm: str, owner: str = "server") -> str:
    return fingerprint(tokens.key(algorithm, owner).public_key())


def server_token(algorithm: str = RSA, header: Any = None, **changes: Any) -> str:
    """As `tokens.token`, with the `kid` that version 2.8 knows."""
    return tokens.token(algorithm, {"kid": libtrust(algorithm), **(header or {})}, **changes)


def table(authority: Certified) -> dict[str, str | None]:
    """Values of the Authorization header; None for none."""
    now = int(time.time())
    past: dict[str, Any] = {"iat": now - 9000, "nbf": now - 9000}
    leaf = certify("leaf", tokens.key(RSA, "leaf"), authority)
    foreign = certify("authority", tokens.key(RSA, "attacker"), authority=True)
    stranger = certify("leaf", tokens.key(RSA, "leaf"), foreign)

    def chained(*chain: Certified) -> str:
        header = {"alg": RSA, "x5c": [item.x5c for item in chain]}
        return signed(header, claims(), RSA, chain[0].private)

    def embedded(owner: str) -> str:
        private = tokens.key(RSA, owner)
        header = {"alg": RSA, "jwk": tokens.jwk(private.public_key(), kid=libtrust(RSA, owner))}
        return signed(header, claims(), RSA, private)

    good = server_token()
    found = {
        "RSA": good,
        "elliptic curves": server_token(ELLIPTIC),
        "a chain": chained(leaf),
        "a trusted key in the header": embedded("server"),
        "push": server_token(access=[grant("team/app", "pull", "push")]),
        "everything": server_token(access=[grant("team/app", "*"), CATALOG]),
        "the catalog": server_token(access=[CATALOG]),
        "nothing": server_token(access=[]),
        "no access at all": server_token(access=None),
        "another repository": server_token(access=[grant("team/other", "*")]),
        "part of the name": server_token(access=[grant("team", "*")]),
        "a pattern": server_token(access=[grant("team/*", "*")]),
        "another kind": server_token(access=[grant("team/app", "*", kind="registry")]),
        "another action": server_token(access=[grant("team/app", "delete")]),
        "two entries": server_token(access=[grant("team/app", "push"), tokens.PULL]),
        "anonymous": server_token(sub=""),
        "just expired": server_token(exp=now - 20, **past),
        "expired": server_token(exp=now - 600, **past),
        "no end": server_token(exp=None),
        "soon": server_token(nbf=now + 20),
        "not yet": server_token(nbf=now + 600),
        "another issuer": server_token(iss="evil.example.com"),
        "no issuer": server_token(iss=None),
        "another audience": server_token(aud="other.example.com"),
        "no audience": server_token(aud=None),
        "no algorithm": f"{signed({'alg': 'none'}, claims()).rpartition('.')[0]}.",
        "no signature": f"{good.rpartition('.')[0]}.",
        "another signature": f"{good.rpartition('.')[0]}.{'A' * 342}",
        "another key": signed(
            {"alg": RSA, "kid": libtrust(RSA)}, claims(), RSA, tokens.key(RSA, "attacker")
        ),
        "an unknown key": server_token(header={"kid": libtrust(RSA, "attacker")}),
        "no key": server_token(header={"kid": None}),
        "the attacker's key in the header": embedded("attacker"),
        "a foreign chain": chained(stranger),
        "a foreign chain with its authority": chained(stranger, foreign),
        "malformed access": server_token(access="repository:team/app:pull"),
        "malformed actions": server_token(access=[{**tokens.PULL, "actions": "pull"}]),
        "malformed times": server_token(exp="tomorrow"),
        "no token": "opaque",
        "no JSON": "a.b.c",
    }
    schemes = {
        "nobody": None,
        "no value": "Bearer",
        "a password": "Basic YWRhOnNlY3JldA==",
        "another scheme": "Token x",
        "lower case": f"bearer {good}",
    }
    return {**{name: f"Bearer {token}" for name, token in found.items()}, **schemes}


REQUESTS = (
    ("GET", "/v2/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/team/app/tags/list"),
    ("HEAD", "/v2/team/app/manifests/v1"),
    ("POST", "/v2/team/app/blobs/uploads/"),
    ("DELETE", f"/v2/team/app/manifests/sha256:{'0' * 64}"),
)

Verdict = tuple[int, str]


def verdict(wire: Wire, method: str, path: str, value: str | None) -> Verdict:
    """The status, as far as access goes, and the challenge with its actions in order."""
    headers = {} if value is None else {"Authorization": value}
    answer = wire.http.request(method, path, headers=headers)
    challenge = answer.headers.get("www-authenticate", "")
    ordered = re.sub(
        r'(?<=:)([a-z,*]+)(?=["\s])',
        lambda match: ",".join(sorted(match[1].split(","))),
        challenge,
    )
    # What is not about access (404 for what is not there) is 0.
    return (answer.status_code if answer.status_code in (401, 403, 500) else 0), ordered


@pytest.fixture(scope="module")
def authority() -> Certified:
    return certify("authority", tokens.key(RSA, "authority"), authority=True)


@pytest.fixture
def configured(tmp_path: Path, authority: Certified) -> dict[str, Any]:
    bundle = tmp_path / "bundle.pem"
    members = [
        certify("rsa", tokens.key(RSA)),
        certify("elliptic", tokens.key(ELLIPTIC)),
        authority,
    ]
    bundle.write_bytes(b"".join(member.pem for member in members))
    return {
        "auth": {
            "token": {
                "realm": tokens.REALM,
                "service": tokens.SERVICE,
                "issuer": tokens.ISSUER,
                "rootcertbundle": str(bundle),
            }
        }
    }


def test_the_same_verdicts(
    start: Callable[..., Registry],
    configured: dict[str, Any],
    authority: Certified,
) -> None:
    ours, theirs = start(configured), start(configured, "docker-registry")
    different = []
    seen: set[Verdict] = set()
    with Wire(ours.url) as pyreg, Wire(theirs.url) as docker:
        for name, value in table(authority).items():
            for method, path in REQUESTS:
                expected = verdict(docker, method, path, value)
                found = verdict(pyreg, method, path, value)
                seen.add(expected)
                if found != expected:
                    different.append(f"{name}: {method} {path}: {found}, expected {expected}")
    assert not different, "\n".join(different)
    # The table would prove nothing if everything were refused.
    assert {status for status, _ in seen} == {0, 401}
    kinds = {re.sub(r".*error=", "", challenge) for _, challenge in seen}
    assert {'"invalid_token"', '"insufficient_scope"'} < kinds


def test_the_same_automatic_realm(
    start: Callable[..., Registry], configured: dict[str, Any]
) -> None:
    configured["auth"]["token"]["autoredirect"] = True
    registries = start(configured), start(configured, "docker-registry")
    for more in ({}, {"X-Forwarded-Proto": "https"}):
        challenges = []
        for registry in registries:
            with Wire(registry.url) as wire:
                headers = {"Host": "registry.example.com", **more}
                answer = wire.http.request("GET", "/v2/", headers=headers)
                challenges.append(answer.headers["www-authenticate"])
        assert challenges[0] == challenges[1]
