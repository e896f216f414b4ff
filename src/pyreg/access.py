"""The one place that decides who may do what; plugins' own routes call it too."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from pyreg.errors import (
    DENIED,
    NAME_UNKNOWN,
    TOOMANYREQUESTS,
    UNAUTHORIZED,
    RegistryError,
)
from pyreg.hooks.auth import (
    ANONYMOUS,
    Access,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
    InvalidCredentials,
)

log = logging.getLogger("pyreg.access")

OPEN_TO_ALL = (
    "anyone who reaches this address can pull, push and delete: there is no authentication"
)
"""What an operator is told of a registry without authentication that other machines reach."""


class Gate:
    """Asks authenticators who calls, and authorizers whether the caller may.

    Without any of them everybody may do everything. A caller on whom no authorizer decides may
    do everything when somebody vouched for it, as in the Docker registry, and else nothing.
    Where an authorizer does decide on the caller, what none of them allows is denied.

    Args:
        authenticators: In the order of the configuration.
        authorizers: In the order of the configuration.
    """

    def __init__(
        self, authenticators: Sequence[Authenticator], authorizers: Sequence[Authorizer]
    ) -> None:
        self._authenticators = tuple(authenticators)
        # Those of one authenticator's callers first: what a token does not grant is denied,
        # whatever a policy says of its bearer.
        self._authorizers = tuple(sorted(authorizers, key=lambda item: not item.authenticator))
        self._deciding = {
            name: self._bound_to(name) for name in ["", *(item.name for item in authenticators)]
        }
        self.open = not (authenticators or authorizers)

    async def admit(self, request: AuthRequest, accesses: Sequence[Access]) -> Identity:
        """Let a request in that wants all of `accesses`.

        Returns:
            Who calls.

        Raises:
            RegistryError: UNAUTHORIZED with a challenge of every authenticator for wrong
                credentials, and for missing ones (without Basic where there is Bearer);
                TOOMANYREQUESTS after too many wrong ones;
                DENIED, or NAME_UNKNOWN where the caller may not even know of the repository.
        """
        if self.open:
            return ANONYMOUS
        try:
            identity = await self.identify(request)
        except InvalidCredentials as error:
            log.info("credentials from %s are refused: %s", request.client or "?", error.reason)
            if error.retry_after is not None:
                seconds = max(1, round(error.retry_after))
                raise RegistryError(
                    TOOMANYREQUESTS,
                    "too many failed logins",
                    headers=[("Retry-After", str(seconds))],
                ) from error
            raise self._challenge(request, accesses, error.error) from error
        for access in accesses:
            if not await self.allows(identity, access):
                raise self._refusal(request, identity, access, accesses)
        return identity

    async def identify(self, request: AuthRequest, *, without: Collection[str] = ()) -> Identity:
        """Who calls: the first authenticator that finds credentials of its kind says it.

        Args:
            request: What may have credentials.
            without: Names of authenticators that are not asked.

        Raises:
            InvalidCredentials: they are wrong, or nobody knows what to make of them. Whoever
                sends credentials wants to be somebody, and is never served as nobody.
        """
        for authenticator in self._authenticators:
            if authenticator.name not in without:
                identity = await authenticator.authenticate(request)
                if identity is not None:
                    return identity
        if self._authenticators and request.headers.get("authorization"):
            raise InvalidCredentials("no authenticator takes credentials of this kind")
        return ANONYMOUS

    async def allows(self, identity: Identity, access: Access) -> bool:
        """Whether a caller may do one thing; the first decisive authorizer wins."""
        for authorizer in self._deciding_on(identity):
            decision = await authorizer.authorize(identity, access)
            if decision is not Decision.ABSTAIN:
                return decision is Decision.ALLOW
        return self._may_everything(identity)

    async def shows(self, identity: Identity, repository: str) -> bool:
        """Whether the catalog shows a repository to a caller who may list it."""
        for authorizer in self._deciding_on(identity):
            decision = await authorizer.sees(identity, repository)
            if decision is not Decision.ABSTAIN:
                return decision is Decision.ALLOW
        return self._may_everything(identity)

    def sees_everything(self, identity: Identity) -> bool:
        """Whether `shows` need not be asked."""
        return self._may_everything(identity)

    def _may_everything(self, identity: Identity) -> bool:
        """Whether a caller on whom nobody decides may do what it likes."""
        if self.open:
            return True
        return not identity.anonymous and not self._deciding_on(identity)

    def _deciding_on(self, identity: Identity) -> tuple[Authorizer, ...]:
        found = self._deciding.get(identity.authenticator)
        return self._bound_to(identity.authenticator) if found is None else found

    def _bound_to(self, authenticator: str) -> tuple[Authorizer, ...]:
        return tuple(
            item for item in self._authorizers if item.authenticator in ("", authenticator)
        )

    def _refusal(
        self,
        request: AuthRequest,
        identity: Identity,
        access: Access,
        accesses: Sequence[Access],
    ) -> RegistryError:
        if identity.anonymous and self._authenticators:
            return self._challenge(request, accesses, "")
        for authenticator in self._authenticators:
            if authenticator.name == identity.authenticator and authenticator.challenges_denied:
                return self._challenge(request, accesses, "insufficient_scope")
        if access.kind == "repository" and access.actions == ("pull",):
            return RegistryError(NAME_UNKNOWN, detail={"name": access.name})
        return RegistryError(DENIED, detail={"access": str(access)})

    def _challenge(
        self, request: AuthRequest, accesses: Sequence[Access], error: str
    ) -> RegistryError:
        challenges = [item.challenge(request, accesses, error) for item in self._authenticators]
        detail = [
            {"Type": access.kind, "Name": access.name, "Action": action}
            for access in accesses
            for action in access.actions
        ]
        if any(challenge.startswith("Bearer ") for challenge in challenges):
            # Clients are poor at choosing. The Docker engine tries to satisfy both, and fails
            # at Basic when it has stored a token instead of a password; others read the two
            # headers as one. Who has a password shows it where the tokens come from.
            challenges = [item for item in challenges if not item.startswith("Basic ")]
        headers = [("WWW-Authenticate", challenge) for challenge in challenges if challenge]
        if not headers:  # a 401 must have one (RFC 9110, section 15.5.2)
            return RegistryError(
                DENIED, "a client certificate, or other credentials, are required", detail=detail
            )
        return RegistryError(UNAUTHORIZED, detail=detail, headers=headers)
