"""Signatures of requests (Standard Webhooks 1.0.0, "Signature scheme")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

MAX_SECRETS = 10
"""Secrets in force at once; each adds a signature to every request."""

_PREFIX = "whsec_"
_LENGTHS = range(24, 65)  # bytes


def read_secret(text: str) -> bytes:
    """A secret as it is written in configurations.

    Raises:
        ValueError: it is not one; the message does not quote it.
    """
    try:
        secret = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) not in _LENGTHS:
        raise ValueError(
            f"a secret is base64 of {_LENGTHS.start} to {_LENGTHS.stop - 1} random bytes, as "
            f"`openssl rand -base64 32` writes it; {_PREFIX} may stand before it"
        )
    return secret


def read_secrets(data: bytes) -> tuple[bytes, ...]:
    """The secrets in a file: one on a line; empty lines and those with `#` say nothing.

    Raises:
        ValueError: a line is no secret, there is none, or there are too many.
    """
    found = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(read_secret(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    if not 0 < len(found) <= MAX_SECRETS:
        raise ValueError(f"it has {len(found)} secrets; expected 1 to {MAX_SECRETS}")
    return tuple(found)


def signature_headers(
    secrets: tuple[bytes, ...], message: str, body: bytes, clock: Callable[[], float]
) -> dict[str, str]:
    """The headers that prove who sent a message, and when.

    Args:
        secrets: Each makes a signature; the receiver is content with one that it knows.
        message: Identifies the message, the same each time that it is sent. Without full stops,
            which separate the parts of what is signed.
        body: All of it.
        clock: Seconds since the epoch.
    """
    moment = str(int(clock()))
    content = b".".join((message.encode(), moment.encode(), body))
    digests = (hmac.digest(secret, content, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": message,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(digest).decode('ascii')}" for digest in digests
        ),
    }
