"""The server's certificates: where they lie, and what is in them.

This is also how a source of certificates, such as `pyreg_tls.acme`, hands them over: it keeps
each of them in a file, names the files, and replaces them by renaming. Every worker looks at the
files again and again (`pyreg_tls.renewal`), so that nothing has to be announced.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LIMIT = 1024 * 1024
"""Bytes of a file that are read; the bundles of all public authorities are a quarter of that."""


class CertificateError(Exception):
    """A certificate cannot be used; the message is a sentence for people."""


@dataclass(frozen=True)
class Pair:
    """Where a certificate and its key lie.

    Attributes:
        certificate: A PEM file: the server's certificate, then those of the authorities that
            lead to a root.
        key: A PEM file with the private key; it may be the same file.
        password: Of the key, where it is encrypted.
        awaited: It is no mistake if the files are not there yet: somebody will write them.
    """

    certificate: Path
    key: Path
    password: bytes | None = None
    awaited: bool = False


@dataclass(frozen=True)
class Certificate:
    """A certificate that can be used.

    Attributes:
        pair: Where it came from.
        chain: The certificate, then its authorities.
        key: Its private key.
        names: What it is for, in lower case: `registry.example.com`, `*.example.com`,
            `192.0.2.7`.
    """

    pair: Pair
    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes
    names: frozenset[str]

    @property
    def expires(self) -> datetime.datetime:
        """When the first certificate of the chain expires."""
        return min(each.not_valid_after_utc for each in self.chain)

    @property
    def lifetime(self) -> datetime.timedelta:
        """For how long the certificate was issued."""
        return self.chain[0].not_valid_after_utc - self.chain[0].not_valid_before_utc

    def trouble(self, now: datetime.datetime) -> str:
        """What clients will say of it at this time; "" for nothing."""
        for each in self.chain:
            name = each.subject.rfc4514_string() or "a certificate without a subject"
            if each.not_valid_after_utc < now:
                return (
                    f"{self.pair.certificate}: {name} expired on {_day(each.not_valid_after_utc)}"
                )
            if each.not_valid_before_utc > now:
                return (
                    f"{self.pair.certificate}: {name} is not valid before "
                    f"{_day(each.not_valid_before_utc)}"
                )
        return ""


def load(pair: Pair) -> Certificate | None:
    """Read a certificate and its key. Blocks: call it in a thread.

    Returns:
        None for a pair that is awaited and not there yet.

    Raises:
        CertificateError: a file cannot be read, is not what it should be, or they do not belong
            together.
    """
    try:
        chain = read_certificates(pair.certificate)
        key = _read_key(pair)
    except CertificateError as error:
        if pair.awaited and isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    if chain[0].public_key() != key.public_key():
        if any(each.public_key() == key.public_key() for each in chain):
            raise CertificateError(
                f"{pair.certificate}: the server's own certificate must come first, and its "
                f"authorities after it"
            )
        raise CertificateError(f"{pair.key} is not the key of the certificate {pair.certificate}")
    return Certificate(pair, chain, key, frozenset(_names(chain[0])))


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file, in their order. Blocks.

    Raises:
        CertificateError: there is none, or the file cannot be read.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(read(path)))
    except ValueError as error:
        raise CertificateError(f"{path} has no certificate in PEM form: {error}") from error


def read(path: Path) -> bytes:
    """The bytes of a file. Blocks.

    Raises:
        CertificateError: it cannot be read, or is too large to be what it should be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CertificateError(f"cannot read {path}: {reason[:1].lower()}{reason[1:]}") from error
    if len(data) > LIMIT:
        raise CertificateError(f"{path} has more than {LIMIT} bytes; is it the right file?")
    return data


def _read_key(pair: Pair) -> PrivateKeyTypes:
    data = read(pair.key)
    encrypted = b"ENCRYPTED" in data
    try:
        return load_pem_private_key(data, pair.password if encrypted else None)
    except TypeError as error:
        raise CertificateError(
            f"{pair.key} is encrypted: set `keypassword`, or decrypt it with "
            f"`openssl pkey -in {pair.key} -out NEW`"
        ) from error
    except ValueError as error:
        if encrypted:
            raise CertificateError(f"{pair.key}: `keypassword` does not decrypt it") from error
        raise CertificateError(f"{pair.key} has no private key in PEM form") from error


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
            yield str(attribute.value).lower()
        return
    for name in found.get_values_for_type(x509.DNSName):
        yield name.lower()
    for address in found.get_values_for_type(x509.IPAddress):
        if isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            yield str(address)


def _day(when: datetime.datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M UTC")
