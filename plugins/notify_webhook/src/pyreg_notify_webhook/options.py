"""The options of one endpoint: the Docker registry's, and those that it lacks."""

from __future__ import annotations

import re
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

from pyreg_notify_webhook.address import Address
from pyreg_notify_webhook.signing import MAX_SECRETS, read_secret

# What belongs to the request itself, to the connection, or to the plugin.
_TAKEN = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "keep-alive", "proxy-authorization", "proxy-connection", "pyreg-delivery", "te",
        "trailer", "transfer-encoding", "upgrade", "webhook-id", "webhook-signature",
        "webhook-timestamp",
    }
)  # fmt: skip

# An empty line of the configuration is as good as none.
_Words = BeforeValidator(lambda value: () if value is None else value)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Signature(_Part):
    """`signature`: with what requests are signed (Standard Webhooks 1.0.0).

    Attributes:
        secrets: Secrets in base64, maybe after `whsec_`; every request is signed with each.
        secretfile: Path of a file with further ones, one on a line.
    """

    secrets: Annotated[tuple[SecretStr, ...], _Words, Field(max_length=MAX_SECRETS)] = ()
    secretfile: str = ""

    # Of the section, since of a secret itself no more is told than that it is wrong.
    @model_validator(mode="after")
    def _are_secrets(self) -> Self:
        for secret in self.secrets:
            read_secret(secret.get_secret_value())
        return self


class TLS(_Part):
    """`tls`: how an https endpoint is spoken to.

    Attributes:
        certificate: Path of a certificate to show to the endpoint, with its chain.
        key: Path of its private key.
        cas: Paths of the authorities that may sign the endpoint; the machine's own if empty.
        servername: The name in the endpoint's certificate, where it is not that of the url.
    """

    certificate: str = ""
    key: str = ""
    cas: Annotated[tuple[str, ...], _Words] = ()
    servername: str = ""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if bool(self.certificate) is not bool(self.key):
            raise ValueError("certificate and key belong together, and one of them is missing")
        return self

    @property
    def says_something(self) -> bool:
        """Whether anything is set."""
        return bool(self.certificate or self.cas or self.servername)


class Options(_Part):
    """The options of an endpoint that are the plugin's; the registry itself has further ones.

    Attributes:
        name: What the endpoint is called; made of the url's host and port if empty.
        url: Where events are posted, by http or https. Credentials in it become a header.
        headers: Sent with every request: names, each with a list of values.
        format: The Docker registry's envelope, or CloudEvents.
        envelope: That of version 3 of the Docker registry (`v2`), or of 2.8 (`v1`).
        mode: Of CloudEvents: the whole event in the body, or its attributes in headers.
        signature: With what requests are signed.
        tls: How an https endpoint is spoken to.
        proxy: Address of a proxy.
    """

    name: Annotated[str, Field(max_length=200)] = ""
    url: Annotated[str, Field(min_length=1, repr=False)]
    headers: dict[str, tuple[SecretStr, ...]] = {}
    format: Literal["docker", "cloudevents"] = "docker"
    envelope: Literal["v2", "v1"] = "v2"
    mode: Literal["structured", "binary"] = "structured"
    signature: Signature = Signature()
    tls: TLS = TLS()
    proxy: Annotated[str, Field(repr=False)] = ""

    @property
    def address(self) -> Address:
        """The url, taken apart."""
        return Address.of(self.url)

    @property
    def label(self) -> str:
        """The name, or the one made of the url: `hooks.example.com`, `127.0.0.1-8080`."""
        return self.name or self.address.label

    @field_validator("name")
    @classmethod
    def _on_one_line(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError("expected a name without control characters or spaces around it")
        return name

    @field_validator("url", "proxy")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        if text:
            Address.of(text)
        return text

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, tuple[SecretStr, ...]]) -> object:
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("two headers differ in capitals alone; put their values in one list")
        for name, values in headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError("expected names of headers: letters, digits and dashes")
            if name.lower() in _TAKEN or name.lower().startswith("ce-"):
                raise ValueError(f"the header {name} is not to be configured; leave it out")
            for value in values:
                # A line break would begin another header (RFC 9110, section 5.5).
                if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value.get_secret_value()):
                    raise ValueError(f"a value of the header {name} has a control character")
        return headers

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        address = Address.of(self.url)
        if address.target.scheme == "http" and self.tls.says_something:
            raise ValueError("tls needs a url that begins with https://")
        if address.authorization and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError(
                "the url has credentials, and headers has Authorization; keep one of them"
            )
        if self.format == "docker" and self.mode == "binary":
            raise ValueError("mode: binary needs format: cloudevents")
        return self
