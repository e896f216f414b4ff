"""A request as authenticators see it, and the registry's decisions as plugins reach them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyreg.access import Gate
from pyreg.api.address import Addresses
from pyreg.api.message import Request
from pyreg.errors import AMBIGUOUS_CREDENTIALS, RegistryError
from pyreg.hooks.auth import Access, AuthRequest, Identity
from pyreg.hooks.spec import Scope


def auth_request(request: Request, addresses: Addresses) -> AuthRequest:
    """The parts of a request that credentials can be in.

    Raises:
        RegistryError: there are two Authorization headers (400): a proxy in front may have
            looked at the one, and an authenticator would look at the other.
    """
    scope = request.scope
    headers: dict[str, str] = {}
    for key, value in scope["headers"]:
        name = str(key, "latin-1")
        if name == "authorization" and name in headers:
            raise RegistryError(AMBIGUOUS_CREDENTIALS)
        headers[name] = str(value, "latin-1")
    return AuthRequest(
        method=request.method,
        path=request.path,
        query=str(scope.get("query_string") or b"", "latin-1"),
        headers=headers,
        client=addresses.client(request),
        scheme=addresses.scheme(request),
        host=addresses.host(request),
        extensions=scope.get("extensions") or {},
    )


class RegistryAccess:
    """The `pyreg.hooks.AccessControl` of a registry.

    Args:
        gate: Who may do what.
        addresses: Who the client is, behind proxies.
    """

    def __init__(self, gate: Gate, addresses: Addresses) -> None:
        self._gate = gate
        self._addresses = addresses

    def request(self, scope: Scope) -> AuthRequest:
        """See `AccessControl.request`."""
        return auth_request(Request(scope, _nothing, scope["path"], None), self._addresses)

    async def identify(self, request: AuthRequest, *, without: Collection[str] = ()) -> Identity:
        """See `AccessControl.identify`."""
        return await self._gate.identify(request, without=without)

    async def allows(self, identity: Identity, access: Access) -> bool:
        """See `AccessControl.allows`."""
        return await self._gate.allows(identity, access)


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}
