"""The contract of authentication and authorization plugins.

An `Authenticator` says who calls, an `Authorizer` says whether the caller may. Both are asked
by `pyreg.access`, and by nobody else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls.

    Attributes:
        name: The user; "" for an anonymous caller.
        groups: For policies.
        claims: Whatever the authenticator knows besides (the claims of a token, a certificate).
        authenticator: The name of the authenticator that vouches for it.
    """

    name: str = ""
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    authenticator: str = ""

    @property
    def anonymous(self) -> bool:
        """True when nobody vouched for the caller."""
        return not self.authenticator


ANONYMOUS = Identity()


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller wants to do with one resource.

    Attributes:
        kind: `repository` or `registry`.
        name: The repository's name; `catalog` for the list of repositories.
        actions: Of `pull`, `push`, `delete`; `*` for the catalog.
    """

    kind: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        """In the form of a token's scope: `repository:library/ubuntu:pull,push`."""
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


class Decision(Enum):
    """An authorizer's answer; the first that is not ABSTAIN wins."""

    ALLOW = "allow"
    DENY = "deny"
    ABSTAIN = "abstain"


@dataclass(slots=True)  # one for each request, and a frozen one takes three times as long to make
class AuthRequest:
    """The parts of a request that credentials can be in; to be read, not written to.

    Attributes:
        method: `GET`, `PUT`, ...
        path: Decoded, without the query.
        query: The raw query string.
        headers: By lower-case name; the last value where a name came twice. Two `authorization`
            headers are refused before any authenticator is asked, and one with an empty user
            and an empty password is left out.
        client: The caller's address, behind trusted proxies the original one; "" if unknown.
        scheme: `http` or `https`, as the caller sees it.
        host: Host and port, as the caller sees them.
        root: The path in front of `/v2/`, as the caller sees it; "" for none.
        extensions: The ASGI scope's extensions; `tls` has the client's certificate (see the
            ASGI TLS extension, version 0.2).
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    client: str
    scheme: str
    host: str
    root: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)


class InvalidCredentials(Exception):
    """The credentials are of this authenticator's kind, but wrong.

    Args:
        reason: For the log; the client hears only that they are wrong.
        error: An RFC 6750 error code for the challenge (`invalid_token`).
        retry_after: Seconds to wait before another try; makes the answer a 429.
    """

    def __init__(self, reason: str, *, error: str = "", retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.retry_after = retry_after


class Authenticator(ABC):
    """Says who calls.

    Attributes:
        name: Its word in the configuration.
        challenges_denied: True if a caller that it vouched for, and that was then denied, is to
            be answered 401 with a new challenge (as token authentication does) and not 403.
    """

    name: str
    challenges_denied: bool = False

    @abstractmethod
    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """Look for credentials of its kind.

        Returns:
            The caller, or None if the request has no credentials of this kind.

        Raises:
            InvalidCredentials: there are some, and they are wrong. The request is refused; it
                never goes on as an anonymous one.
        """

    @abstractmethod
    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        """The value of a `WWW-Authenticate` header (RFC 9110, section 11.6.1).

        "" for credentials that HTTP has no word for, such as a client's certificate.

        Args:
            request: What is being refused.
            accesses: What it wanted.
            error: `invalid_token`, `insufficient_scope` or "".
        """


class Authorizer(ABC):
    """Says whether a caller may.

    Attributes:
        name: Its word in the configuration.
        authenticator: The name of the authenticator whose callers alone it decides on, as the
            scope of a token does; "" for every caller. Whoever no authorizer decides on is
            treated as if there were none.
    """

    name: str
    authenticator: str = ""

    @abstractmethod
    async def authorize(self, identity: Identity, access: Access) -> Decision:
        """Decide on one access: ALLOW, DENY, or ABSTAIN to leave it to the next."""

    async def sees(self, identity: Identity, repository: str) -> Decision:
        """Decide whether the catalog shows a repository to a caller who may list it.

        As a rule, who may pull a repository sees it.
        """
        return await self.authorize(identity, Access("repository", repository, ("pull",)))


class AccessControl(Protocol):
    """The registry's own decisions, for the routes of plugins; see `pyreg_access`."""

    def request(self, scope: Mapping[str, Any]) -> AuthRequest:
        """An ASGI request as authenticators see it, with trusted proxies taken into account."""
        ...

    async def identify(self, request: AuthRequest, *, without: Collection[str] = ()) -> Identity:
        """Ask every authenticator who calls.

        Args:
            request: What may have credentials.
            without: Names of authenticators that are not asked.

        Raises:
            InvalidCredentials: by the first that finds wrong ones.
        """
        ...

    async def allows(self, identity: Identity, access: Access) -> bool:
        """Whether a caller may do one thing; the first decisive authorizer wins."""
        ...

    async def shows(self, identity: Identity, repository: str) -> bool:
        """Whether the catalog shows a repository to a caller who may list it."""
        ...
