"""`http.tls.letsencrypt`: what the configuration says about the authority."""

from __future__ import annotations

import base64
import ipaddress
from typing import Literal, Self

import idna
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pyreg.errors import PluginError

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

ChallengeType = Literal["tls-alpn-01", "http-01"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class ExternalAccount(_Part):
    """`eab`: the account that one already has with the authority (RFC 8555, section 7.3.4)."""

    kid: str = Field(default="", description="The key's identifier.")
    hmackey: SecretStr = Field(default=SecretStr(""), description="The key, as base64url.")
    hmackeyfile: str = Field(
        default="", description="Path of a file with the key, instead of `hmackey`."
    )

    @field_validator("hmackey")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        if key.get_secret_value():
            _check_key(key.get_secret_value())
        return key

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = bool(self.hmackey.get_secret_value()) + bool(self.hmackeyfile)
        if given > 1:
            raise ValueError("give hmackey or hmackeyfile, not both")
        if bool(self.kid) is not bool(given):
            raise ValueError("kid and one of hmackey and hmackeyfile belong together")
        return self


class LetsEncrypt(_Part):
    """`letsencrypt`, as in the Docker registry, and what that lacks.

    To give a `cachefile` is to agree to the authority's terms of service, as it is there.
    """

    cachefile: str = Field(
        default="", description="Directory in which the account and the certificates are kept."
    )
    email: str = Field(default="", description="Address that the authority may write to.")
    hosts: tuple[str, ...] = Field(
        default=(), description="Names to ask certificates for, one each."
    )
    directoryurl: str = Field(default=LETS_ENCRYPT, description="The authority's ACME directory.")
    cacertificate: str = Field(
        default="",
        description="Path of the root certificates that the authority itself is trusted by.",
    )
    challenges: tuple[ChallengeType, ...] = Field(
        default=("tls-alpn-01", "http-01"),
        min_length=1,
        description="How to prove that a name is ours. The next one is tried when one fails.",
    )
    eab: ExternalAccount = Field(
        default=ExternalAccount(),
        description="External account binding, where the authority wants it.",
    )

    @property
    def wanted(self) -> bool:
        """Whether certificates are to be asked for."""
        return bool(self.cachefile)

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(host_name(host) for host in hosts))

    @field_validator("directoryurl")
    @classmethod
    def _is_secure(cls, url: str) -> str:
        if not url:
            return LETS_ENCRYPT  # an empty value means the default in the Docker registry, too
        if not url.startswith("https://"):
            raise ValueError("expected an https:// address (RFC 8555, section 6.1)")
        return url

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.cachefile and not self.hosts:
            raise ValueError(
                "hosts is empty: name the hosts to ask certificates for; a registry that asked "
                "for every name that a client sends could be made to ask for any"
            )
        if self.hosts and not self.cachefile:
            raise ValueError("cachefile is missing: name the directory to keep certificates in")
        return self


def host_name(text: str) -> str:
    """A host's name as it stands in certificates: lower case, in ASCII, without a final dot.

    Raises:
        ValueError: it is none, or one that these challenges cannot prove.
    """
    name = text.strip().removesuffix(".")
    if name.startswith("*."):
        raise ValueError(f"{text!r}: a certificate for a wildcard needs DNS; name each host")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError(f"{text!r} is an address; certificates are for names")
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{text!r} is not the name of a host: {error}") from error


def binding_key(eab: ExternalAccount) -> str:
    """The key of an external account, from wherever it stands; may block.

    Returns:
        base64url; "" if there is none.

    Raises:
        PluginError: the file cannot be read, or holds no key.
    """
    if not eab.hmackeyfile:
        return eab.hmackey.get_secret_value()
    where = f"http.tls.letsencrypt.eab.hmackeyfile {eab.hmackeyfile}"
    try:
        with open(eab.hmackeyfile, encoding="ascii") as file:
            key = file.read(4096).strip()
        _check_key(key)
    except OSError as error:
        raise PluginError(f"{where} cannot be read: {error.strerror}") from error
    except ValueError:
        # The cause may quote the key, and is left out.
        raise PluginError(f"{where} holds no base64url of a key") from None
    return key


def _check_key(key: str) -> None:
    try:
        base64.b64decode(key + "=" * (-len(key) % 4), altchars="-_", validate=True)
    except ValueError:
        raise ValueError("expected base64url") from None  # the cause may quote the key
