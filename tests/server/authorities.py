"""Certificate authorities that exist for one test run, and certificates of every kind."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY = datetime.timedelta(days=1)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def now() -> datetime.datetime:
    """The time, as certificates tell it."""
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the authorities that it is sent with."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate and its chain."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))

    def key_pem(self, password: str = "") -> bytes:
        """The key, encrypted if there is a password."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    def save(self, directory: Path, name: str) -> dict[str, str]:
        """Write NAME.pem and NAME.key, each by renaming; as fields of `http.tls`."""
        paths = {
            "certificate": directory / f"{name}.pem",
            "key": directory / f"{name}.key",
        }
        put(paths["certificate"], self.pem)
        put(paths["key"], self.key_pem())
        return {field: str(path) for field, path in paths.items()}


def put(path: Path, data: bytes) -> Path:
    """Put a file in the place of another, as well-behaved programs do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    return new.replace(path)


class Authority:
    """Signs certificates.

    Args:
        name: Its common name.
        parent: Who signs its own certificate; None for a root.
    """

    def __init__(self, name: str = "root", parent: Authority | None = None) -> None:
        self.parent = parent
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        builder = _begun(self.name, signer.name, self.key, -DAY, 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        subject: str | x509.Name = "localhost",
        names: Sequence[str] = (),
        *,
        begins: datetime.timedelta = -DAY,
        ends: datetime.timedelta = 30 * DAY,
        usage: Sequence[x509.ObjectIdentifier] = SERVER,
        key: Key | None = None,
        more: Sequence[x509.GeneralName] = (),
    ) -> Issued:
        """A certificate.

        Args:
            subject: The common name, or the whole subject.
            names: Alternative names: hosts and addresses.
            begins: From when it is valid, counted from now.
            ends: Until when.
            usage: What for; nothing for anything.
            key: P-256 unless told.
            more: Further alternative names.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        if isinstance(subject, str):
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        builder = _begun(subject, self.name, key, begins, ends)
        alternatives = [*map(_alternative, names), *more]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False)
        chain = (self.certificate,) if self.parent is not None else ()
        return Issued(builder.sign(self.key, hashes.SHA256()), key, chain)

    def client(self, subject: str | x509.Name = "ann", **more: object) -> Issued:
        """A certificate for a client; arguments as for `issue`."""
        return self.issue(subject, usage=CLIENT, **more)  # type: ignore[arg-type]

    def revoked(
        self, *certificates: x509.Certificate, ends: datetime.timedelta = DAY
    ) -> x509.CertificateRevocationList:
        """A list of revoked certificates, current until `ends`."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(now() - 10 * DAY).next_update(now() + ends)
        for each in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.serial_number)
                .revocation_date(now() - DAY)
                .build()
            )
        return builder.sign(self.key, hashes.SHA256())

    def ocsp(
        self,
        certificate: x509.Certificate,
        *,
        good: bool = True,
        begins: datetime.timedelta = -DAY,
        ends: datetime.timedelta | None = DAY,
        signer: Issued | None = None,
        issuer: x509.Certificate | None = None,
    ) -> bytes:
        """What a responder would answer, in DER.

        Args:
            certificate: Which one it is about.
            good: Or revoked.
            begins: From when it holds, counted from now.
            ends: Until when; None leaves it open.
            signer: Who signs it; this authority unless told.
            issuer: Who is said to have issued the certificate.
        """
        status = ocsp.OCSPCertStatus.GOOD if good else ocsp.OCSPCertStatus.REVOKED
        by = signer or Issued(self.certificate, self.key)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate,
            issuer=issuer or self.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=now() + begins,
            next_update=None if ends is None else now() + ends,
            revocation_time=None if good else now() - DAY,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
        if signer is not None:
            builder = builder.certificates([signer.certificate])
        return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    begins: datetime.timedelta,
    ends: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + begins)
        .not_valid_after(now() + ends)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
