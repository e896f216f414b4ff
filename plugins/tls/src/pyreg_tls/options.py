"""`http.tls`: the Docker registry's options, and those that it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from pyreg.hooks import parse_duration
from pyreg_tls import ciphers
from pyreg_tls.acme import LetsEncrypt
from pyreg_tls.certificates import Pair

ClientAuth = Literal[
    "request-client-cert",
    "require-any-client-cert",
    "verify-client-cert-if-given",
    "require-and-verify-client-cert",
]

_DAY = 86400.0
_YEAR = 365 * _DAY

Seconds = Annotated[float, BeforeValidator(parse_duration)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class KeyPair(_Part):
    """One of `certificates`."""

    certificate: str = Field(min_length=1)
    key: str = Field(min_length=1)


class HSTS(_Part):
    """`hsts`: the header `Strict-Transport-Security` (RFC 6797)."""

    maxage: Annotated[Seconds, Field(ge=0)] = 0.0
    includesubdomains: bool = False
    preload: bool = False

    @model_validator(mode="after")
    def _may_be_preloaded(self) -> Self:
        if self.preload and not (self.includesubdomains and self.maxage >= _YEAR):
            raise ValueError("preload needs includesubdomains, and a maxage of at least 8760h")
        if 0 < self.maxage < 1:
            raise ValueError("maxage is less than a second; write 8760h for a year")
        if self.includesubdomains and not self.maxage:
            raise ValueError("maxage is missing; without it there is no header")
        return self


class Options(_Part):
    """The options below `http.tls`.

    Attributes:
        certificate: Path of the certificate, with its chain.
        key: Path of its private key.
        keypassword: Of all keys that are encrypted.
        certificates: Further ones, for clients that ask for one of their names.
        clientcas: Paths of the authorities that sign clients. None asks for no certificate.
        clientauth: What is asked of a client.
        clientcrls: Paths of revocation lists; each authority needs a current one then.
        clientocsp: Paths of OCSP responses; each client needs a current and good one then.
        minimumtls: The oldest version that is spoken.
        ciphersuites: Go's names, for TLS 1.2.
        handshaketimeout: Seconds that a client may take to begin.
        redirect: Where plain HTTP is sent to HTTPS; the server reads it.
        hsts: Tell browsers to come by HTTPS only.
        letsencrypt: Certificates from an ACME authority.
    """

    certificate: str = ""
    key: str = ""
    keypassword: SecretStr = SecretStr("")
    certificates: tuple[KeyPair, ...] = ()
    clientcas: tuple[str, ...] = ()
    clientauth: ClientAuth = "require-and-verify-client-cert"
    clientcrls: tuple[str, ...] = ()
    clientocsp: tuple[str, ...] = ()
    minimumtls: Literal["tls1.0", "tls1.1", "tls1.2", "tls1.3"] = "tls1.2"
    ciphersuites: tuple[str, ...] = ()
    handshaketimeout: Annotated[Seconds, Field(ge=0.1, le=3600)] = 10.0
    redirect: str = ""
    hsts: HSTS = HSTS()
    letsencrypt: LetsEncrypt = LetsEncrypt()

    @property
    def certified(self) -> bool:
        """Whether nobody comes in without a certificate that was verified."""
        return bool(self.clientcas) and self.clientauth == "require-and-verify-client-cert"

    @field_validator("clientauth", "minimumtls", mode="before")
    @classmethod
    def _empty_is_the_default(cls, value: object) -> object:
        if value == "":
            raise ValueError("leave the option out, or give it a value")
        return value

    @field_validator("ciphersuites")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        ciphers.choose(names)
        return names

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if bool(self.certificate) is not bool(self.key):
            raise ValueError("certificate and key belong together, and one of them is missing")
        if self.letsencrypt.wanted and (self.certificate or self.certificates):
            raise ValueError("certificate and letsencrypt exclude each other; keep one")
        if not (self.certificate or self.certificates or self.letsencrypt.wanted):
            raise ValueError(
                "there is no certificate: set certificate and key, or remove http.tls to serve "
                "without encryption"
            )
        revocation = self.clientcrls or self.clientocsp
        if revocation and not self.clientcas:
            raise ValueError("clientcrls and clientocsp need clientcas")
        if revocation and self.clientauth in ("request-client-cert", "require-any-client-cert"):
            raise ValueError(f"clientcrls and clientocsp have no effect with {self.clientauth}")
        return self

    @property
    def client_files(self) -> Iterator[Path]:
        """The files by which clients are verified."""
        return map(Path, (*self.clientcas, *self.clientcrls, *self.clientocsp))

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Where certificates and keys lie, without those of `letsencrypt`; the first is the
        one for clients that name no server, or an unknown one."""
        named = [(each.certificate, each.key) for each in self.certificates]
        if self.certificate:
            named.insert(0, (self.certificate, self.key))
        password = self.keypassword.get_secret_value().encode() or None
        return tuple(Pair(Path(certificate), Path(key), password) for certificate, key in named)
