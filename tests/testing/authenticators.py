"""Small authenticators that are right, for the suite to pass and for tests to break."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from pyreg.hooks import Access, Authenticator, AuthRequest, Identity, InvalidCredentials


class Passwords(Authenticator):
    """Basic authentication with passwords in memory."""

    name = "passwords"

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = users

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = (
                base64.b64decode(value.strip(" "), validate=True).decode().partition(":")
            )
        except (binascii.Error, ValueError):
            raise InvalidCredentials("malformed") from None
        if not colon or not self.right(user, password):
            raise InvalidCredentials("wrong")
        return Identity(user, authenticator=self.name)

    def right(self, user: str, password: str) -> bool:
        return self.users.get(user) == password

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return 'Basic realm="x"'


class Tokens(Authenticator):
    """Bearer tokens in memory."""

    name = "tokens"

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = users

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = self.users.get(token.strip(" "))
        if user is None:
            raise InvalidCredentials("wrong", error="invalid_token")
        return Identity(user, authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        code = "invalid_token" if error == "invalid_token" else "invalid_request"
        return f'Bearer realm="https://login.test",error="{code}"'


class Keys(Authenticator):
    """Names out of the extensions of the ASGI scope."""

    name = "keys"

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        tls = request.extensions.get("tls")
        if tls is None:
            return None
        if not tls["name"]:
            raise InvalidCredentials("a key of nobody")
        return Identity(tls["name"], authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return ""
