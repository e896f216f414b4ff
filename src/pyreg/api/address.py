"""Who the client is and how it addresses the registry, behind proxies or not.

`Forwarded` (RFC 7239) and `X-Forwarded-*` are believed only from addresses that the operator
trusts: anybody can send them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from pyreg.api.message import Request

_HOST = re.compile(r"[A-Za-z0-9._~\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_LONGEST_HOST = 262  # of a name of 255 bytes, a colon, and a port
_SCHEMES = ("http", "https")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


_FORWARDING = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})


class Origin(NamedTuple):
    """Who the client is, and by which address it reaches the registry.

    Attributes:
        client: Its address; "" if unknown.
        scheme: `http` or `https`.
        host: Host and port; "" if unknown.
        root: The path in front of `/v2/`.
    """

    client: str
    scheme: str
    host: str
    root: str


class Addresses:
    """Addresses of requests.

    Args:
        external: `http.host`: scheme, host and maybe a path, by which clients reach the
            registry; "" to take it from each request.
        prefix: `http.prefix`: a path that comes before `/v2/`; "" or "/" for none.
        relative: `http.relativeurls`: answer with paths instead of whole addresses.
        trusted: Networks whose forwarding headers are believed.

    Attributes:
        prefix: Without a slash at the end.
    """

    def __init__(
        self,
        *,
        external: str = "",
        prefix: str = "",
        relative: bool = False,
        trusted: Sequence[Network] = (),
    ) -> None:
        self._external = external.rstrip("/")
        self._parts = urlsplit(self._external)
        self.prefix = prefix.rstrip("/")
        self._relative = relative
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(4096)(self._lies_in_trusted)
        self._origin_of = lru_cache(4096)(self._origin)

    def origin(self, request: Request, headers: Mapping[str, str]) -> Origin:
        """All that is known of a request's origin; `http.host` has the last word on the host.

        Args:
            request: The request.
            headers: Its headers by lower-case name.
        """
        scope = request.scope
        root = scope.get("root_path") or ""
        host = headers.get("host", "")
        # What anybody can make different in each request is not remembered, nor what is long.
        if not _FORWARDING.isdisjoint(headers) or len(host) > _LONGEST_HOST:
            client, scheme = self.client(request), self.scheme(request)
            return self._origin(client, scheme, self.host(request), root)
        return self._origin_of(_peer(request), scope.get("scheme") or "http", host, root)

    def _origin(self, client: str, scheme: str, host: str, root: str) -> Origin:
        if self._external:
            external = self._parts
            return Origin(client, external.scheme, external.netloc, external.path + self.prefix)
        known = host if _HOST.fullmatch(host) else ""
        return Origin(client, scheme, known, root.rstrip("/") + self.prefix)

    def client(self, request: Request) -> str:
        """The client's address; "" if unknown (a unix socket)."""
        peer = _peer(request)
        if not self._is_trusted(peer):
            return peer
        elements = _elements(request)
        if any("for" in item for item in elements):
            chain = [_address(item.get("for", "")) for item in elements]
        else:
            values = ",".join(request.headers(b"x-forwarded-for"))
            chain = [_address(item) for item in values.split(",")]
        # From the nearest proxy outwards: the first that is not ours is the client. One that is
        # hidden ends the search, as anybody can have written what lies beyond it.
        for address in reversed(chain):
            if not address:
                return peer
            if not self._is_trusted(address):
                return address
        return chain[0]

    def scheme(self, request: Request) -> str:
        """`http` or `https`, as the client sees it."""
        if self._is_trusted(_peer(request)):
            elements = _elements(request)
            found = elements[-1].get("proto", "") if elements else ""
            found = found or _last(request, b"x-forwarded-proto")
            if found.lower() in _SCHEMES:
                return found.lower()
        return str(request.scope.get("scheme") or "http")

    def host(self, request: Request) -> str:
        """Host and port, as the client sees them; "" if the request does not say."""
        if self._is_trusted(_peer(request)):
            elements = _elements(request)
            found = elements[-1].get("host", "") if elements else ""
            found = found or _last(request, b"x-forwarded-host")
            if _HOST.fullmatch(found):
                return found
        found = request.header(b"host") or ""
        return found if _HOST.fullmatch(found) else ""

    def url(self, request: Request, path: str) -> str:
        """The address of a path that begins with `/v2/`."""
        if self._external and not self._relative:
            return self._external + self.prefix + path
        path = self.path(request, path)
        if self._relative:
            return path
        host = self.host(request)
        return f"{self.scheme(request)}://{host}{path}" if host else path

    def path(self, request: Request, path: str) -> str:
        """A path that begins with `/v2/`, below the prefixes that the client sees."""
        root: str = request.scope.get("root_path") or ""
        return root.rstrip("/") + self.prefix + path

    def inside(self, scope_path: str, root_path: str) -> str | None:
        """A request's path without the prefixes; None if it lies outside of them."""
        for prefix in (root_path.rstrip("/"), self.prefix):
            if prefix and scope_path.startswith(prefix + "/"):
                scope_path = scope_path[len(prefix) :]
            elif prefix and prefix == self.prefix:
                return None
        return scope_path

    def _lies_in_trusted(self, text: str) -> bool:
        if not text:
            return bool(self._trusted)  # a unix socket: whoever may open it is local
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def _peer(request: Request) -> str:
    client = request.scope.get("client")
    return client[0] if client else ""


def _last(request: Request, name: bytes) -> str:
    """The value that the nearest proxy wrote."""
    values = request.headers(name)
    return values[-1].rpartition(",")[2].strip() if values else ""


_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,\s"]*)\s*')


def _elements(request: Request) -> list[dict[str, str]]:
    """The elements of the Forwarded headers, the client's end first."""
    header = ",".join(request.headers(b"forwarded"))
    elements: list[dict[str, str]] = [{}] if header else []
    position = 0
    while position < len(header):
        match = _PAIR.match(header, position)
        if match is None:
            return []
        value = match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        elements[-1][match[1].lower()] = value
        position = match.end()
        if position < len(header):
            if header[position] not in ";,":
                return []
            if header[position] == ",":
                elements.append({})
            position += 1
    return elements


def _address(text: str) -> str:
    """An IP address out of `1.2.3.4:56` or `[::1]:56`; "" if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
