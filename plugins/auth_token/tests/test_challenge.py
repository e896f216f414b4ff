"""The challenge: where clients go for a token, and what they ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyreg.hooks import Access
from pyreg.testing import Credentials
from pyreg_auth_token.challenge import BearerChallenge, scope

REQUEST = Credentials().request("/v2/team/app/tags/list")
PULL = Access("repository", "team/app", ("pull",))
PUSH = Access("repository", "team/app", ("pull", "push"))
FIXED = BearerChallenge("https://auth.example.com/token", "registry.example.com")
AUTOMATIC = BearerChallenge("https://fixed/", "r", path="/auth/token")


def test_scopes() -> None:
    other = Access("repository", "team/other", ("pull",))
    assert scope([PUSH]) == "repository:team/app:pull,push"
    assert scope([PULL, PUSH]) == "repository:team/app:pull,push"
    assert scope([PUSH, other]) == "repository:team/app:pull,push repository:team/other:pull"
    assert scope([Access("registry", "catalog", ("*",))]) == "registry:catalog:*"
    assert scope([Access("registry", "base", ("*",))]) == ""
    assert scope([]) == ""


def test_values_are_quoted() -> None:
    challenge = BearerChallenge('https://a/?x="y"\\', "a\r\nb")
    assert challenge(REQUEST, []) == r'Bearer realm="https://a/?x=\"y\"\\",service="ab"'


def test_the_error_is_named() -> None:
    for error in ("invalid_token", "insufficient_scope"):
        assert FIXED(REQUEST, [PULL], error).endswith(
            f',scope="repository:team/app:pull",error="{error}"'
        )


def test_a_token_that_nobody_took_is_invalid() -> None:
    request = Credentials.bearer("opaque").request()
    assert FIXED(request, []).endswith(',error="invalid_token"')
    assert "error" not in FIXED(Credentials.basic("ada", "x").request(), [])


@pytest.mark.parametrize(
    ("scheme", "host", "forwarded", "realm"),
    [
        ("https", "registry.example.com", None, "https://registry.example.com/auth/token"),
        # Behind a proxy that does not say that it took TLS away.
        ("http", "registry.example.com", None, "https://registry.example.com/auth/token"),
        ("http", "registry.example.com", "https", "https://registry.example.com/auth/token"),
        ("http", "registry.example.com", "http", "http://registry.example.com/auth/token"),
        ("http", "registry.example.com", "gopher", "https://registry.example.com/auth/token"),
        ("http", "127.0.0.1:5000", None, "http://127.0.0.1:5000/auth/token"),
        ("http", "localhost:5000", None, "http://localhost:5000/auth/token"),
        ("http", "[::1]:5000", None, "http://[::1]:5000/auth/token"),
        ("https", "localhost", None, "https://localhost/auth/token"),
        ("http", "localhost.example.com", None, "https://localhost.example.com/auth/token"),
        ("http", "", None, "https://fixed/"),
    ],
)
def test_the_realm_on_the_host_that_was_asked(
    scheme: str, host: str, forwarded: str | None, realm: str
) -> None:
    headers = {} if forwarded is None else {"x-forwarded-proto": forwarded}
    request = replace(REQUEST, scheme=scheme, host=host, headers=headers)
    assert AUTOMATIC(request, []) == f'Bearer realm="{realm}",service="r"'
