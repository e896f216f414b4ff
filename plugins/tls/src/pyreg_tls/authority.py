"""A certificate authority of one's own, for a registry that no public one knows."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pyreg_tls.certificates import CertificateError, read, read_certificates

YEARS = 10
"""How long the authority lasts: to change it, every client has to be told."""

SKEW = datetime.timedelta(hours=1)
"""Clocks of clients may be behind."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and where both are to lie.

    Attributes:
        path: Of the certificate.
        key_path: Of the key, which nobody else may read.
        certificate: The certificate.
        key: Its key.
    """

    path: Path
    key_path: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self) -> None:
        """Write both.

        Raises:
            FileExistsError: one of them is there.
        """
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(self.key_path, pem, 0o600)
        _write(self.path, self.certificate.public_bytes(Encoding.PEM), 0o644)


class Authority:
    """Signs certificates.

    Args:
        certificate: Its own.
        key: That certificate's key.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def new(cls, name: str, now: datetime.datetime) -> Authority:
        """A new one.

        Args:
            name: What people see.
            now: In UTC.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key, now, datetime.timedelta(days=365 * YEARS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(signs_certificates=True), True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, path: Path, key_path: Path) -> Authority:
        """One that was written before.

        Raises:
            CertificateError: the files are not what they should be.
        """
        certificate = read_certificates(path)[0]
        try:
            key = load_pem_private_key(read(key_path), None)
        except (ValueError, TypeError) as error:
            raise CertificateError(f"{key_path} has no private key that can be read") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError(f"{key_path} was not made by `pyreg tls self-signed`")
        if key.public_key() != certificate.public_key():
            raise CertificateError(f"{key_path} is not the key of {path}")
        return cls(certificate, key)

    def itself(self, path: Path, key_path: Path) -> Issued:
        """Its own certificate and key."""
        return Issued(path, key_path, self.certificate, self._key)

    def server(
        self, hosts: Sequence[str], days: int, now: datetime.datetime, path: Path, key_path: Path
    ) -> Issued:
        """A certificate for a server.

        Args:
            hosts: Names and addresses, at least one.
            days: How long it lasts.
            now: In UTC.
            path: Of the certificate.
            key_path: Of the key.

        Raises:
            ValueError: a host is neither a name nor an address.
        """
        names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return self._issue(hosts[0], [(names, False)], usage, days, now, path, key_path)

    def client(
        self, name: str, days: int, now: datetime.datetime, path: Path, key_path: Path
    ) -> Issued:
        """A certificate for a client; arguments as for `server`."""
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._issue(name, [], usage, days, now, path, key_path)

    def _issue(
        self,
        name: str,
        extensions: Iterable[tuple[x509.ExtensionType, bool]],
        usage: x509.ObjectIdentifier,
        days: int,
        now: datetime.datetime,
        path: Path,
        key_path: Path,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        # A common name has at most 64 characters (RFC 5280, appendix A.1).
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = _builder(
            subject, self.certificate.subject, key, now, datetime.timedelta(days=days)
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension, critical in (
            *extensions,
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([usage]), False),
            (identifier, False),
        ):
            builder = builder.add_extension(extension, critical)
        return Issued(path, key_path, builder.sign(self._key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
