"""Basic credentials, as a request carries them (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass, field

from pyreg.hooks import InvalidCredentials

LONGEST_NAME = 255
"""Bytes of a user name, as in Apache's `htpasswd`."""

LONGEST_PASSWORD = 1024
"""Bytes; a longer one is not worth the time that its hash would take."""

_LONGEST_VALUE = 4 * (LONGEST_NAME + 1 + LONGEST_PASSWORD) // 3 + 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """A user name and a password.

    Attributes:
        user: In Unicode's normal form C, so that it does not matter how "é" was typed.
        password: As it was sent.
    """

    user: str
    password: str = field(repr=False)


def is_basic(value: str) -> bool:
    """Whether an Authorization header is of the scheme Basic."""
    return value[:5].lower() == "basic" and value[5:6] in ("", " ")


def parse_basic(value: str) -> BasicCredentials | None:
    """Read an Authorization header of the scheme Basic.

    Returns:
        The credentials; None where the password is a JSON Web Token, with which a CI system
        says who it is: no user of a file has such a password.

    Raises:
        InvalidCredentials: they are malformed, or nobody can have such ones.
    """
    if len(value) > _LONGEST_VALUE:
        raise InvalidCredentials("Basic credentials that are too long")
    try:
        pair = base64.b64decode(value[5:].strip(" ").encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError):
        # No `from error`: its text, or what a debugger shows of it, has a part of the password.
        raise InvalidCredentials("Basic credentials that are not UTF-8 in base64") from None
    user, colon, password = pair.partition(":")
    if _JWT.fullmatch(password):
        return None
    if not colon:
        raise InvalidCredentials("Basic credentials without a colon")
    if _CONTROL.search(pair):
        raise InvalidCredentials("Basic credentials with control characters")
    return BasicCredentials(unicodedata.normalize("NFC", user), password)


def name_mistake(user: str) -> str:
    """What is wrong with a user name that is to be written to a file; "" for nothing."""
    if not user:
        return "a user needs a name"
    if ":" in user:
        return "a user name has no colon: what follows it would be the password"
    if user.startswith("#"):
        return "a user name does not begin with '#': the line would be a comment"
    if _CONTROL.search(user) or user != user.strip():
        return "a user name has no control characters, and no spaces at its ends"
    if len(user.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        return f"a user name has at most {LONGEST_NAME} bytes"
    return ""


def password_mistake(password: str) -> str:
    """What is wrong with a password that somebody chose; "" for nothing."""
    if not password:
        return "the password is empty"
    if _CONTROL.search(password):
        return "the password has control characters, which Basic authentication cannot carry"
    if len(password.encode("utf-8", "surrogatepass")) > LONGEST_PASSWORD:
        return f"the password has more than {LONGEST_PASSWORD} bytes"
    if _JWT.fullmatch(password):
        return "the password has the form of a JSON Web Token, which is not looked up in the file"
    return ""
