"""Hashes of passwords: which are understood, what they cost, how they are verified and made."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import argon2.low_level
import bcrypt
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from passlib.hash import sha256_crypt, sha512_crypt  # type: ignore[import-untyped]

BCRYPT_BYTES = 72
"""bcrypt looks at so many bytes of a password, and at none behind them."""

BCRYPT_COSTS = range(4, 18)
"""As in Apache's `htpasswd`. At 17 one login takes about ten seconds of a processor."""

SHA_ROUNDS = range(1000, 5_000_001)
ARGON2_PASSES = range(1, 101)
ARGON2_KIBIBYTES = range(8, 1024 * 1024 + 1)
ARGON2_LANES = range(1, 65)

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_SHA = re.compile(r"\$([56])\$(?:rounds=([1-9][0-9]{3,8})\$)?[./A-Za-z0-9]{1,16}\$([./A-Za-z0-9]+)")
_SHA_DIGITS = {"5": 43, "6": 86}
_ARGON2 = re.compile(r"\$argon2(?:id|i)\$[\x21-\x7e]{1,400}")

# What other programs write, and why it is not taken.
_REFUSED = (
    (re.compile(r"\$(?:apr1|1)\$"), "an MD5 hash, which takes no time to break"),
    (re.compile(r"\{SHA\}"), "a SHA-1 hash without salt, which takes no time to break"),
    (re.compile(r"\{"), "a hash of LDAP, which is not supported"),
    (re.compile(r"\$2x\$"), "a bcrypt hash of a broken version ($2x$)"),
    (re.compile(r"\$2[aby]\$"), "a damaged bcrypt hash"),
    (re.compile(r"\$[56]\$"), "a damaged SHA-2 hash"),
    (re.compile(r"\$argon2d\$"), "an argon2d hash, which others can spy out; take argon2id"),
    (re.compile(r"\$argon2"), "a damaged argon2 hash"),
    (re.compile(r"\$"), "a hash of an unknown kind"),
    (re.compile(r"$"), "no hash"),
    (re.compile(r"[./A-Za-z0-9]{13}$"), "a DES hash, which takes no time to break"),
)


@dataclass(frozen=True, slots=True)
class Hash:
    """The hash of a password that is understood.

    Attributes:
        text: As it stands in the file.
        work: What one verification costs; equal for hashes that take equally long.
    """

    text: str = field(repr=False)
    work: tuple[str | int, ...]

    def matches(self, password: str) -> bool:
        """Verify a password; blocks for as long as the hash was made to take.

        The password is tried as it was sent, as other servers do, and in Unicode's normal form C
        (RFC 8265, section 4.2), in which `pyreg htpasswd` hashes it.
        """
        forms = dict.fromkeys((password, unicodedata.normalize("NFC", password)))
        verify = _VERIFY[str(self.work[0])]
        return any(verify(self.text, form.encode()) for form in forms)


def _verify_bcrypt(text: str, password: bytes) -> bool:
    # Hashes of longer passwords were made by programs that look no further, either.
    return bcrypt.checkpw(password[:BCRYPT_BYTES], text.encode())


def _verify_argon2(text: str, password: bytes) -> bool:
    kind = argon2.low_level.Type.ID if text.startswith("$argon2id") else argon2.low_level.Type.I
    try:
        return argon2.low_level.verify_secret(text.encode(), password, kind)
    except VerifyMismatchError:
        return False


_VERIFY: dict[str, Callable[[str, bytes], bool]] = {
    "bcrypt": _verify_bcrypt,
    "argon2": _verify_argon2,
    "5": lambda text, password: bool(sha256_crypt.verify(password, text)),
    "6": lambda text, password: bool(sha512_crypt.verify(password, text)),
}


def parse_hash(text: str) -> Hash:
    """Recognise a hash.

    Raises:
        ValueError: it is none, or none that is taken; says why, without a character of it.
    """
    if found := _BCRYPT.fullmatch(text):
        _within("a bcrypt cost", int(found[1]), BCRYPT_COSTS)
        return Hash(text, ("bcrypt", int(found[1])))
    if (found := _SHA.fullmatch(text)) and len(found[3]) == _SHA_DIGITS[found[1]]:
        rounds = int(found[2] or 5000)
        _within("rounds of SHA-2", rounds, SHA_ROUNDS)
        return Hash(text, (found[1], rounds))
    if _ARGON2.fullmatch(text) and (parsed := _argon2(text)):
        return parsed
    for pattern, what in _REFUSED:
        if pattern.match(text):
            raise ValueError(what)
    raise ValueError("no hash; perhaps a password in plain text")


def _argon2(text: str) -> Hash | None:
    try:
        found = argon2.extract_parameters(text)
    except InvalidHashError:
        return None
    _within("passes of argon2", found.time_cost, ARGON2_PASSES)
    _within("KiB of memory for argon2", found.memory_cost, ARGON2_KIBIBYTES)
    _within("lanes of argon2", found.parallelism, ARGON2_LANES)
    return Hash(text, ("argon2", found.time_cost, found.memory_cost, found.parallelism))


def _within(what: str, value: int, allowed: range) -> None:
    if value not in allowed:
        raise ValueError(f"{what} from {allowed[0]} to {allowed[-1]} are taken, not {value}")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A way to make hashes.

    Attributes:
        default: The cost that is taken unless somebody says otherwise.
        costs: Those that may be asked for.
        meaning: What the cost counts.
        make: Hashes a password at a cost.
    """

    default: int
    costs: range
    meaning: str
    make: Callable[[bytes, int], str]


def _make_bcrypt(password: bytes, cost: int) -> str:
    # "2y" is Apache's word for what others call "2b"; Apache takes only its own.
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode().replace("$2b$", "$2y$", 1)


def _make_argon2(password: bytes, cost: int) -> str:
    # 19 MiB and one lane, so that many logins at once fit into the memory of a worker.
    hasher = argon2.PasswordHasher(time_cost=cost, memory_cost=19 * 1024, parallelism=1)
    return hasher.hash(password)


def _make_sha512(password: bytes, cost: int) -> str:
    return str(sha512_crypt.using(rounds=cost).hash(password))


ALGORITHMS = {
    "bcrypt": Algorithm(10, range(5, 18), "each step doubles the time", _make_bcrypt),
    "argon2": Algorithm(2, ARGON2_PASSES, "passes over 19 MiB of memory", _make_argon2),
    "sha512": Algorithm(100_000, range(5000, 5_000_001), "rounds", _make_sha512),
}
"""By the names that `pyreg htpasswd --algorithm` takes."""


def make_hash(password: str, algorithm: str, cost: int | None = None) -> str:
    """Hash a password, in normal form C; blocks.

    Args:
        password: Any that `password_mistake` has nothing against.
        algorithm: A key of `ALGORITHMS`.
        cost: One that it allows; its default unless told.

    Raises:
        ValueError: bcrypt would not look at all of the password.
    """
    secret = unicodedata.normalize("NFC", password).encode()
    if algorithm == "bcrypt" and len(secret) > BCRYPT_BYTES:
        raise ValueError(
            f"bcrypt looks at the first {BCRYPT_BYTES} bytes of a password, and this one has "
            f"{len(secret)}: take a shorter one, or another algorithm"
        )
    chosen = ALGORITHMS[algorithm]
    return chosen.make(secret, chosen.default if cost is None else cost)
