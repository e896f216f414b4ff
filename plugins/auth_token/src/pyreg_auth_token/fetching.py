"""Documents of issuers, fetched over HTTP within bounds."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

MAX_DOCUMENT = 256 * 1024
"""Bytes in a document."""
STEP_TIMEOUT = 5.0
"""Seconds to connect, and between two pieces of an answer."""

# Compressed, a small answer could become a large document.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:[,\s]|$)")


class FetchFailed(Exception):
    """A document could not be had; says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """What an issuer answered.

    Attributes:
        data: The body.
        max_age: Seconds that its `Cache-Control` allows to keep it; None if it does not say.
    """

    data: bytes
    max_age: int | None


def check_address(address: str) -> str:
    """Refuse an address that keys must not come from.

    Raises:
        ValueError: it is not https, nor http to this machine, or it has credentials in it.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an https:// address")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            "keys that anybody on the way could replace prove nothing: expected https://, "
            "or http:// to this machine"
        )
    if parts.username is not None or parts.fragment:
        raise ValueError("expected an address without credentials and without a fragment")
    return address


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Fetcher:
    """Gets documents. Certificates are checked against the machine's own authorities.

    Proxies and authorities can be set by the usual variables: `HTTPS_PROXY`, `NO_PROXY`,
    `SSL_CERT_FILE`.
    """

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None

    async def get(self, address: str) -> Document:
        """Get one document; redirects are not followed.

        Raises:
            FetchFailed: no answer, another one than 200, or one beyond the bounds.
        """
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        try:
            check_address(address)
            async with (
                httpx.AsyncClient(
                    verify=self._tls,
                    timeout=STEP_TIMEOUT,
                    trust_env=not is_loopback(urlsplit(address).hostname or ""),
                ) as client,
                client.stream("GET", address, headers=_HEADERS) as answer,
            ):
                return await _read(answer)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            raise FetchFailed(f"{address}: {error or type(error).__name__}") from error


async def _read(answer: httpx.Response) -> Document:
    if answer.is_redirect:
        raise ValueError(f"it redirects to {answer.headers.get('location', '?')[:200]!r}")
    if answer.status_code != 200:
        raise ValueError(f"it answers with status {answer.status_code}")
    data = bytearray()
    async for piece in answer.aiter_raw():
        data += piece
        if len(data) > MAX_DOCUMENT:
            raise ValueError(f"it has more than {MAX_DOCUMENT} bytes")
    match = _MAX_AGE.search(answer.headers.get("cache-control", ""))
    return Document(bytes(data), int(match[1]) if match else None)
