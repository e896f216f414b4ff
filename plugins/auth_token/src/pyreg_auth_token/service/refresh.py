"""Refresh tokens: a user's name and password, sealed so that this service alone can open them.

`docker login` keeps one in place of the password. A token that named only the user would go on
working when the user is gone or has a new password, as nobody can ask a password file about a
user without the password. So the login itself is inside, and every use logs in again: what the
authenticator does not accept any more ends the token as well.

```
pyreg-refresh.20261124T080000Z.<nonce, and the sealed JSON, in base64url>
```

The seal is AES-256-GCM (NIST SP 800-38D) under a key that is derived from the signing key of that
name. When that key is removed, its refresh tokens cannot be opened any more.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pyreg_auth_token.service.signing import SigningKey, SigningKeys

MAX_LENGTH = 16 * 1024
"""Characters of a refresh token."""

MAX_CREDENTIALS = 8 * 1024
"""Bytes of a user's name and password together; with more, no refresh token is issued."""

_PREFIX = "pyreg-refresh"
_PURPOSE = b"pyreg refresh tokens, version 1"
_NONCE = 12
_BLOCK = 128


class InvalidRefreshToken(Exception):
    """It is not one of ours, it is for another service, or it has expired."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody logged in with."""

    username: str
    password: str = field(repr=False)


class RefreshTokens:
    """Seals and opens refresh tokens of one service.

    Args:
        issuer: The service's name in access tokens; a token of another one does not open.
        service: The registry that access tokens are for; likewise.
        lifetime: Seconds; 0 for no refresh tokens at all.
    """

    def __init__(self, issuer: str, service: str, lifetime: float) -> None:
        self._bound_to = json.dumps([issuer, service]).encode()
        self._lifetime = lifetime

    def seal(self, keys: SigningKeys, credentials: Credentials, now: float) -> str | None:
        """A refresh token; None where there is to be none.

        Args:
            keys: The newest one that signs is used.
            credentials: They must have been accepted just now.
            now: Seconds since the epoch.
        """
        content = {
            "user": credentials.username,
            "password": credentials.password,
            "expires": int(now + self._lifetime),
        }
        data = json.dumps(content).encode()
        if not self._lifetime or len(data) > MAX_CREDENTIALS:
            return None
        # The length of what is sealed shows; that of the password should not.
        data = data.ljust(-(-len(data) // _BLOCK) * _BLOCK)
        key = keys.current(now)
        nonce = os.urandom(_NONCE)
        sealed = nonce + _cipher(key).encrypt(nonce, data, self._bound_to)
        return f"{_PREFIX}.{key.name}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def open(self, keys: SigningKeys, text: str, now: float) -> Credentials:
        """What is in a refresh token. Whether it is still accepted is for authenticators to say.

        Raises:
            InvalidRefreshToken: as it says.
        """
        prefix, _, rest = text.partition(".")
        name, _, body = rest.partition(".")
        key = keys.named(name)
        if prefix != _PREFIX or len(text) > MAX_LENGTH or key is None:
            raise InvalidRefreshToken("it is none of ours, or its key was removed")
        try:
            sealed = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
            data = _cipher(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound_to)
        except (binascii.Error, ValueError, InvalidTag):
            raise InvalidRefreshToken("it was changed, or is for another service") from None
        content = json.loads(data)
        if not self._lifetime or content["expires"] <= now:
            raise InvalidRefreshToken("it has expired")
        return Credentials(content["user"], content["password"])


def _cipher(key: SigningKey) -> AESGCM:
    return AESGCM(key.derive(_PURPOSE))
