"""Credentials, as a request carries them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyreg.hooks import AuthRequest

SHORTEST_SECRET = 5
"""Characters; a shorter one shows up in innocent text by chance."""


@dataclass(frozen=True)
class Credentials:
    """What a request says about its caller, and who that is.

    Attributes:
        headers: By lower-case name.
        extensions: Of the ASGI scope, such as `tls`.
        name: Whom the authenticator must take the caller for; "" for bad credentials.
        secrets: What must never show in a log; what the Authorization header has of them is
            known without being told.
        client: The caller's address.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    secrets: Sequence[str] = ()
    client: str = "192.0.2.1"

    @classmethod
    def basic(cls, user: str, password: str, **more: Any) -> Credentials:
        """A user name and a password (RFC 7617), in UTF-8.

        Args:
            user: The name that is claimed.
            password: Not necessarily the right one.
            more: `name`, `extensions`, `client`.
        """
        pair = f"{user}:{password}".encode("utf-8", "surrogatepass")
        value = f"Basic {base64.b64encode(pair).decode()}"
        return cls({"authorization": value}, secrets=(password,), **more)

    @classmethod
    def bearer(cls, token: str, **more: Any) -> Credentials:
        """A token (RFC 6750); `more` as for `basic`."""
        return cls({"authorization": f"Bearer {token}"}, **more)

    @property
    def authorization(self) -> str:
        """The Authorization header; "" if there is none."""
        return self.headers.get("authorization", "")

    @property
    def scheme(self) -> str:
        """The scheme of the Authorization header, in lower case."""
        return self.authorization.partition(" ")[0].lower()

    @property
    def unspeakable(self) -> list[str]:
        """What must not show in a log: the secrets, the whole value, and a token's signature."""
        value = self.authorization.partition(" ")[2].strip()
        parts = [*self.secrets, value, value.rpartition(".")[2]]
        return [part for part in parts if len(part) >= SHORTEST_SECRET]

    def with_authorization(self, value: str) -> Credentials:
        """The same, with another Authorization header."""
        return replace(self, headers={**self.headers, "authorization": value})

    def request(self, path: str = "/v2/") -> AuthRequest:
        """A request with these credentials."""
        return AuthRequest(
            method="GET",
            path=path,
            query="",
            headers=self.headers,
            client=self.client,
            scheme="https",
            host="registry.test",
            extensions=self.extensions,
        )
