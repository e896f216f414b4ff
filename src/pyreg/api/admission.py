"""A request as authenticators see it, and the registry's decisions as plugins reach them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pyreg.access import Gate
from pyreg.api.address import Addresses
from pyreg.api.message import Request
from pyreg.errors import AMBIGUOUS_CREDENTIALS, RegistryError
from pyreg.hooks.auth import Access, AuthRequest, Identity

_NOBODY = ("Basic Og==", "basic Og==")
"""An empty user and an empty password: what Podman and skopeo answer to a Basic challenge when
they have no password. It says that nobody calls."""


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
    if headers.get("authorization") in _NOBODY:
        del headers["authorization"]
    origin = addresses.origin(request, headers)
    return AuthRequest(
        method=request.method,
        path=request.path,
        query=str(scope.get("query_string") or b"", "latin-1"),
        headers=headers,
        client=origin.client,
        scheme=origin.scheme,
        host=origin.host,
        root=origin.root,
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

    def request(self, scope: Mapping[str, Any]) -> AuthRequest:
        """See `AccessControl.request`."""
        # The routes of plugins lie below `http.prefix`, which the adapter counts as mounted.
        root = (scope.get("root_path") or "").removesuffix(self._addresses.prefix)
        request = Request({**scope, "root_path": root}, _nothing, scope["path"], None)
        return auth_request(request, self._addresses)

    async def identify(self, request: AuthRequest, *, without: Collection[str] = ()) -> Identity:
        """See `AccessControl.identify`."""
        return await self._gate.identify(request, without=without)

    async def allows(self, identity: Identity, access: Access) -> bool:
        """See `AccessControl.allows`."""
        return await self._gate.allows(identity, access)

    async def shows(self, identity: Identity, repository: str) -> bool:
        """See `AccessControl.shows`."""
        return await self._gate.shows(identity, repository)


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}
