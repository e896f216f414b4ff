"""What an endpoint is given: the registry, the request, who calls, and about what."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyreg.access import Gate
from pyreg.api.address import Addresses
from pyreg.api.message import Request
from pyreg.content.journal import Caller
from pyreg.content.repository import Repository
from pyreg.content.store import Store
from pyreg.content.uploads import Uploads
from pyreg.errors import LOOP_DETECTED, RegistryError
from pyreg.hooks.auth import ANONYMOUS, Access, Identity
from pyreg.hooks.events import RequestInfo

_DELIVERY = b"pyreg-delivery"  # in every request that delivers events


@dataclass(slots=True)
class Site:
    """What all calls of one registry share.

    Attributes:
        store: Content.
        uploads: Uploads of the store.
        gate: Who may do what.
        addresses: Who the client is, and how it addresses the registry.
        headers: Added to every response.
        idle: Seconds after which a client that moves no byte is dropped; None for never.
        redirect: Whether clients may be sent to the storage service for blobs.
    """

    store: Store
    uploads: Uploads
    gate: Gate
    addresses: Addresses
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    idle: float | None = 60.0
    redirect: bool = True


class Call:
    """One request to one endpoint.

    Attributes:
        site: What all calls share.
        request: The request.
        name: The repository's name, checked; "" for endpoints without one.
        reference: The last part of the path: tag, digest, or id of an upload; not checked.
        identity: Who calls; known once the gate has let the call in.
    """

    __slots__ = ("identity", "name", "reference", "request", "site")

    def __init__(self, site: Site, request: Request, name: str, reference: str) -> None:
        self.site = site
        self.request = request
        self.name = name
        self.reference = reference
        self.identity: Identity = ANONYMOUS

    @property
    def repository(self) -> Repository:
        """The repository that the call is about, on behalf of the caller."""
        return self.repository_of(self.name)

    def repository_of(self, name: str) -> Repository:
        """Another repository, on behalf of the caller."""
        site = self.site
        return Repository(site.store, site.uploads, name, self.caller)

    @property
    def caller(self) -> Caller:
        """For guards and events.

        Raises:
            RegistryError: 508 for a request that itself delivers an event.
        """
        request = self.request
        if request.method in ("GET", "HEAD") and not self.site.store.journal.wants_pulls:
            return Caller(self.identity)
        if request.header(_DELIVERY) is not None:
            # An endpoint that is a registry: each event would cause the next.
            raise RegistryError(LOOP_DETECTED)
        addresses = self.site.addresses
        client, peer = addresses.client(request), request.scope.get("client")
        return Caller(
            self.identity,
            RequestInfo(
                id=request.id,
                client=client,
                port=peer[1] if peer and peer[0] == client else 0,
                host=addresses.host(request),
                base=addresses.url(request, ""),
                method=request.method,
                user_agent=_text(request.header(b"user-agent") or ""),
            ),
        )

    async def may_pull(self, name: str) -> bool:
        """Whether the caller may read another repository, too."""
        return await self.site.gate.allows(self.identity, Access("repository", name, ("pull",)))

    def location(self, path: str) -> tuple[bytes, bytes]:
        """A Location header for a path that begins with `/v2/`."""
        return b"location", self.site.addresses.url(self.request, path).encode("latin-1")


def _text(value: str) -> str:
    """A header's value for people: many clients send UTF-8, which HTTP does not know."""
    return value.encode("latin-1").decode("utf-8", "replace")
