"""Private keys in a directory: which one signs, and which ones verify.

Each key is a PEM file (PKCS #8) that is named for the moment from which it signs, in UTC:

```
20261124T080000Z.pem
20270101T000000Z.pem
```

The newest one whose moment has come signs. All of them verify, a future one too, so that every
process and every other registry knows a key before the first token that it signed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pyreg_auth_token.keys import Keyring, TrustedKey, UnusableKey, fingerprint, keyring

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey | Ed448PrivateKey

MAX_KEYS = 32
"""Keys that a directory may have."""

_MAX_FILE = 64 * 1024
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_TIME = "%Y%m%dT%H%M%SZ"


class KeysError(Exception):
    """The directory cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, eq=False)
class SigningKey:
    """A private key.

    Attributes:
        name: The file's, without `.pem`.
        since: When it begins to sign, in seconds since the epoch.
        private: The key itself.
        trusted: Its public half.
    """

    name: str
    since: float
    private: PrivateKey
    trusted: TrustedKey

    @cached_property
    def kid(self) -> str:
        """What tokens call it: the libtrust fingerprint.

        The Docker registry 2.x knows the keys of its `rootcertbundle` by no other name; newer
        ones take any name that stands in their `jwks`.
        """
        return fingerprint(self.trusted.public)

    @property
    def algorithm(self) -> str:
        """How it signs: RSA keys by RS256, others in the one way that they can."""
        return "RS256" if isinstance(self.private, RSAPrivateKey) else min(self.trusted.algorithms)

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes that only who has this key can know, others for each purpose (RFC 5869)."""
        if isinstance(self.private, EllipticCurvePrivateKey):
            number = self.private.private_numbers().private_value
        elif isinstance(self.private, RSAPrivateKey):
            number = self.private.private_numbers().d
        else:
            number = int.from_bytes(self.private.private_bytes_raw(), "big")
        secret = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return HKDF(SHA256(), 32, salt=None, info=purpose).derive(secret)


@dataclass(frozen=True, eq=False)
class SigningKeys:
    """The keys of a directory at one moment.

    Attributes:
        keys: At least one; the one that signs last comes first.
    """

    keys: Sequence[SigningKey]

    def current(self, now: float) -> SigningKey:
        """The key that signs now; the oldest one where the moment of none has come."""
        return next((key for key in self.keys if key.since <= now), self.keys[-1])

    def named(self, name: str) -> SigningKey | None:
        """The key with a name."""
        return next((key for key in self.keys if key.name == name), None)

    @cached_property
    def public(self) -> Keyring:
        """What verifies."""
        return keyring(((key.kid, key.trusted.thumbprint), key.trusted) for key in self.keys)


def read_keys(directory: Path) -> SigningKeys:
    """Read all keys of a directory; it blocks.

    Raises:
        KeysError: there is none, or one cannot be used.
    """
    paths = key_files(directory)
    if not paths:
        raise KeysError(
            f"there are no keys for tokens in {directory}; make one: "
            f"pyreg token-keys init {directory}"
        )
    if len(paths) > MAX_KEYS:
        raise KeysError(f"{directory} has more than {MAX_KEYS} keys; remove old ones")
    return SigningKeys([_read(path) for path in reversed(paths)])


def key_files(directory: Path) -> list[Path]:
    """The files of a directory's keys, in the order in which they begin to sign.

    Raises:
        KeysError: the directory cannot be read; one that does not exist has none.
    """
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".pem")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeysError(f"{directory} cannot be read: {error.strerror}") from error


def _read(path: Path) -> SigningKey:
    since = moment(path.stem)
    if since is None:
        raise KeysError(
            f"{path}: a key is named for the moment from which it signs, such as "
            f"{name_of(datetime.now(UTC).timestamp())}.pem"
        )
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                raise KeysError(f"{path} is open to every user of this machine: chmod 600 {path}")
            data = file.read(_MAX_FILE)
        private = load_pem_private_key(data, None)
    except OSError as error:
        raise KeysError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause, whose text could quote the file.
        raise KeysError(f"{path} is not a private key in PEM without a passphrase") from None
    if not isinstance(private, PrivateKey):
        raise KeysError(f"{path}: tokens cannot be signed with a {type(private).__name__}")
    try:
        return SigningKey(path.stem, since, private, TrustedKey.of(private.public_key()))
    except UnusableKey as error:
        raise KeysError(f"{path} cannot be used: {error}") from error


def moment(name: str) -> float | None:
    """The moment that a key's name says, in seconds since the epoch; None if it is no name."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return datetime.strptime(name, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def name_of(since: float) -> str:
    """The name of a key that signs from a moment on, in seconds since the epoch."""
    return datetime.fromtimestamp(since, UTC).strftime(_TIME)
