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
    received = scope["headers"]
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in received}
    if len(headers) < len(received) and len(request.headers(b"authorization")) > 1:
        raise RegistryError(AMBIGUOUS_CREDENTIALS)
    if headers.get("authorization") in _NOBODY:
        del headers["authorization"]
    query = scope.get("query_string")
    return AuthRequest(
        request.method,
        request.path,
        query.decode("latin-1") if query else "",
        headers,
        *addresses.origin(request, headers),  # in the order of its fields
        scope.get("extensions") or {},
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
