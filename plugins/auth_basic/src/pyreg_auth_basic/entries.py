"""The lines of an htpasswd file: `USER:HASH`, comments, and what is wrong with them."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyreg_auth_basic.credentials import name_mistake
from pyreg_auth_basic.hashes import Hash, parse_hash

BOM = b"\xef\xbb\xbf"
"""What editors of Windows begin a file with."""

SHOWN = 20
"""Mistakes that are told of one file."""


@dataclass(frozen=True, slots=True)
class Users:
    """Everybody in a file.

    Attributes:
        hashes: By user name, in normal form C.
        decoy: A hash as most of the file are. It is verified for users who do not exist, so
            that the time of a failed login does not tell who does; None for an empty file.
    """

    hashes: Mapping[str, Hash] = field(default_factory=dict)
    decoy: Hash | None = None


class BrokenFile(Exception):
    """A file that nobody can log in by.

    Args:
        mistakes: Number of the line, from 1, and what is wrong with it; never its content.
    """

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"line {number}: {what}" for number, what in mistakes))
        self.mistakes = mistakes


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a file, with their ends."""
    return io.BytesIO(data).readlines()


def user_of(line: bytes) -> str | None:
    """The user that a line is of, in normal form C; None for comments, empty and broken lines."""
    text = line.decode("utf-8-sig", "replace").strip()
    user, colon, _ = text.partition(":")
    if not colon or text.startswith("#"):
        return None
    return unicodedata.normalize("NFC", user)


def parse_users(data: bytes) -> Users:
    """Read a file.

    As in the Docker registry, empty lines and those that begin with "#" say nothing, and space at
    the ends of a line does not count.

    Raises:
        BrokenFile: with the first mistakes of all.
    """
    hashes: dict[str, Hash] = {}
    lines: dict[str, int] = {}
    mistakes: list[tuple[int, str]] = []
    for number, line in enumerate(lines_of(data.removeprefix(BOM)), 1):
        try:
            user, hashed = _entry(line)
        except ValueError as error:
            mistakes.append((number, str(error)))
            continue
        if hashed is None:
            continue
        if user in hashes:
            # Some programs go by the first, others by the last: a password that was changed in
            # the one, or a user who was removed, would still be let in by the other.
            mistakes.append((number, f"the same user as in line {lines[user]}; remove one of them"))
            continue
        hashes[user], lines[user] = hashed, number
    if mistakes:
        raise BrokenFile(mistakes[:SHOWN])
    return Users(hashes, _most_common(hashes))


def _entry(line: bytes) -> tuple[str, Hash | None]:
    """User and hash of a line; ("", None) if it says nothing.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not text or text.startswith("#"):
        return "", None
    user, colon, hashed = text.partition(":")
    if not colon:
        raise ValueError("no colon; expected USER:HASH")
    mistake = name_mistake(user)
    if mistake:
        raise ValueError(mistake)
    try:
        return unicodedata.normalize("NFC", user), parse_hash(hashed)
    except ValueError as error:
        raise ValueError(f"{error}; set the password anew with `pyreg htpasswd`") from None


def _most_common(hashes: Mapping[str, Hash]) -> Hash | None:
    counted = Counter(each.work for each in hashes.values()).most_common(1)
    if not counted:
        return None
    return next(each for each in hashes.values() if each.work == counted[0][0])
