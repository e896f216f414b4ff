"""Digests: the names of content.

OCI image specification, "Descriptors", section "Digests". sha256 and sha512 are equally first
class: content is stored, listed and served under the algorithm that it was pushed with.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from pyreg.errors import DIGEST_INVALID, RegistryError

if TYPE_CHECKING:
    from hashlib import _Hash

ALGORITHMS = {"sha256": 64, "sha512": 128}
"""Supported algorithms, with the number of hexadecimal digits of each."""

CANONICAL = "sha256"
"""The algorithm for content that is pushed without naming one."""

_PATTERN = re.compile(r"(sha256):([a-f0-9]{64})|(sha512):([a-f0-9]{128})")


class Digest(str):
    """A valid digest of a supported algorithm: `sha256:<hex>`. Made by `parse` or `of`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Check a digest that came from outside.

        Raises:
            RegistryError: DIGEST_INVALID, with a message that tells a malformed digest from one
                of an unsupported algorithm.
        """
        if _PATTERN.fullmatch(text):
            return cls(text)
        algorithm, colon, _ = text.partition(":")
        if colon and re.fullmatch(r"[a-z0-9]+([+._-][a-z0-9]+)*", algorithm):
            if algorithm not in ALGORITHMS:
                raise unsupported_algorithm(algorithm)
            message = (
                f"a {algorithm} digest has {ALGORITHMS[algorithm]} lower-case hexadecimal digits"
            )
        else:
            message = "a digest has the form <algorithm>:<hexadecimal digits>"
        raise RegistryError(DIGEST_INVALID, message, detail={"digest": text[:256]})

    @classmethod
    def of(cls, data: bytes, algorithm: str = CANONICAL) -> Digest:
        """The digest of some content."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The part before the colon."""
        return self[:6]

    @property
    def encoded(self) -> str:
        """The part behind the colon."""
        return self[7:]


def unsupported_algorithm(algorithm: str) -> RegistryError:
    """The error for an algorithm that this registry does not compute."""
    return RegistryError(
        DIGEST_INVALID,
        f"unsupported digest algorithm; supported are {' and '.join(ALGORITHMS)}",
        detail={"algorithm": algorithm[:64]},
    )


class Hasher:
    """A digest in the making, which can be kept and gone on with in this process."""

    __slots__ = ("_hash", "algorithm", "size")

    def __init__(self, algorithm: str) -> None:
        if algorithm not in ALGORITHMS:
            raise unsupported_algorithm(algorithm)
        self.algorithm = algorithm
        self.size = 0
        self._hash: _Hash = hashlib.new(algorithm)

    def update(self, data: bytes) -> None:
        """Take in more bytes; releases the GIL for all but tiny pieces."""
        self._hash.update(data)
        self.size += len(data)

    def copy(self) -> Hasher:
        """An independent hasher in the same state."""
        other = Hasher.__new__(Hasher)
        other.algorithm = self.algorithm
        other.size = self.size
        other._hash = self._hash.copy()
        return other

    def digest(self) -> Digest:
        """The digest of everything taken in so far."""
        return Digest(f"{self.algorithm}:{self._hash.hexdigest()}")


def same(one: str, other: str) -> bool:
    """Whether two digests are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
