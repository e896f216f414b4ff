"""Addresses in the configuration, taken apart: where to connect, and with which credentials."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from yarl import URL


@dataclass(frozen=True)
class Address:
    """An http or https address.

    Attributes:
        target: The address itself, without credentials and fragment.
        user: The user's name in front of the host; None without one.
        password: The password there; "" without one.
    """

    target: URL = field(repr=False)
    user: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, text: str) -> Address:
        """Read an address.

        Raises:
            ValueError: it is none, or one of another scheme.
        """
        expected = "expected an http:// or https:// address"
        if re.search(r"[\x00-\x20\x7f]", text):
            raise ValueError(f"{expected} without spaces and control characters")
        try:
            url = URL(text)
            host, port = url.host, url.port
        except ValueError:
            raise ValueError(expected) from None
        if url.scheme not in ("http", "https"):
            raise ValueError(expected)
        if not host or not port:
            raise ValueError(f"{expected} with the name of a host")
        if url.user and ":" in url.user:
            raise ValueError("the user in front of the host has a colon in its name")
        return cls(url.with_user(None).with_fragment(None), url.user, url.password or "")

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown of the address."""
        return str(self.target.origin())

    @property
    def label(self) -> str:
        """Host and port as a word of letters, digits, dots and dashes."""
        host = self.target.raw_host or ""
        place = host if self.target.is_default_port() else f"{host}-{self.target.port}"
        return re.sub(r"[^a-z0-9.]+", "-", place.lower()).strip("-")

    @property
    def authorization(self) -> str:
        """The credentials as the value of an `Authorization` header (RFC 7617); "" for none."""
        if self.user is None and not self.password:
            return ""
        pair = f"{self.user or ''}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of the address must not be shown."""
        query = [value for _, value in parse_qsl(self.target.raw_query_string)]
        return (self.password, self.authorization, self.target.raw_query_string, *query)
