"""The entry point `certificate`: clients that are known by their certificates."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import NameOID

from pyreg.hooks import (
    Access,
    Authenticator,
    AuthRequest,
    Identity,
    InvalidCredentials,
    hookimpl,
)

NAME = "certificate"

_GROUPS = {"o": NameOID.ORGANIZATION_NAME, "ou": NameOID.ORGANIZATIONAL_UNIT_NAME}
_SANS: dict[str, type[x509.DNSName | x509.RFC822Name | x509.UniformResourceIdentifier]] = {
    "dns": x509.DNSName,
    "email": x509.RFC822Name,
    "uri": x509.UniformResourceIdentifier,
}


@dataclass(frozen=True)
class CertificateOptions:
    """The options below `auth.certificate`.

    Attributes:
        identity: What of the certificate is the user's name: the subject's common name (`cn`),
            the whole subject (`dn`, as RFC 4514 writes it), or the first of the alternative
            names of a kind (`dns`, `email`, `uri`).
        groups: What of the subject are the user's groups: organizations (`o`) and
            organizational units (`ou`).
    """

    identity: Literal["cn", "dn", "dns", "email", "uri"] = "cn"
    groups: tuple[Literal["o", "ou"], ...] = ("o", "ou")


@dataclass(frozen=True)
class _Known:
    """What a certificate says, or why it says nothing."""

    identity: Identity
    begins: datetime.datetime
    ends: datetime.datetime
    trouble: str


class CertificateAuthenticator(Authenticator):
    """Takes a client's certificate, which the server has verified, as its credentials.

    Args:
        options: What is taken from it.
    """

    name = NAME

    def __init__(self, options: CertificateOptions) -> None:
        self._options = options
        self._read = lru_cache(1024)(self._read_certificate)

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """Who the certificate of the connection is for; None if there is none.

        Raises:
            InvalidCredentials: it was not verified, is out of date, or names nobody.
        """
        tls = request.extensions.get("tls") or {}
        chain = tls.get("client_cert_chain")
        if not chain:
            return None
        if tls.get("client_cert_error") is not None:
            raise InvalidCredentials(f"the certificate is not good: {tls['client_cert_error']}")
        known = self._read(chain[0])
        if known.trouble:
            raise InvalidCredentials(known.trouble)
        # A connection may outlive the certificate that it began with.
        if not known.begins <= datetime.datetime.now(datetime.UTC) <= known.ends:
            raise InvalidCredentials("the certificate is out of date")
        return known.identity

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        """HTTP has no word for certificates."""
        return ""

    def _read_certificate(self, pem: str) -> _Known:
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
            names = tuple(self._names(certificate))
            groups = frozenset(self._groups(certificate))
        except ValueError as error:
            now = datetime.datetime.now(datetime.UTC)
            return _Known(Identity(), now, now, f"the certificate cannot be read: {error}")
        identity = Identity(
            names[0] if names else "",
            groups=groups,
            claims={
                "subject": certificate.subject.rfc4514_string(),
                "issuer": certificate.issuer.rfc4514_string(),
                "serial": f"{certificate.serial_number:x}",
                "fingerprint": f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}",
            },
            authenticator=NAME,
        )
        return _Known(
            identity,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            self._trouble(names),
        )

    def _trouble(self, names: tuple[str, ...]) -> str:
        if not names or not names[0]:
            return f"the certificate has no {self._options.identity}"
        if self._options.identity == "cn" and len(names) > 1:
            return "the certificate has more than one common name"
        if not names[0].isprintable():
            return f"the {self._options.identity} of the certificate has control characters"
        return ""

    def _names(self, certificate: x509.Certificate) -> Iterator[str]:
        kind = self._options.identity
        if kind == "cn":
            for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
                yield _text(attribute.value)
        elif kind == "dn":
            yield certificate.subject.rfc4514_string()
        else:
            try:
                found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            except x509.ExtensionNotFound:
                return
            yield from found.value.get_values_for_type(_SANS[kind])

    def _groups(self, certificate: x509.Certificate) -> Iterator[str]:
        for group in self._options.groups:
            for attribute in certificate.subject.get_attributes_for_oid(_GROUPS[group]):
                yield _text(attribute.value)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


_Options = CertificateOptions


class CertificatePlugin:
    """Hands out the authenticator `certificate`."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._authenticator = CertificateAuthenticator(options)

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        """The authenticator."""
        return self._authenticator
