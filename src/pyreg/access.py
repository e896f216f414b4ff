"""The one place that decides who may do what; plugins' own routes call it too."""

from __future__ import annotations

from collections.abc import Sequence

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


class Gate:
    """Asks authenticators who calls, and authorizers whether the caller may.

    Without any of them everybody may do everything. With authenticators and no authorizer,
    whoever is known may do everything, as in the Docker registry. With an authorizer, what none
    of them allows is denied.

    Args:
        authenticators: In the order of the configuration.
        authorizers: In the order of the configuration.
    """

    def __init__(
        self, authenticators: Sequence[Authenticator], authorizers: Sequence[Authorizer]
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._authorizers = tuple(authorizers)
        self.open = not (authenticators or authorizers)

    async def admit(self, request: AuthRequest, accesses: Sequence[Access]) -> Identity:
        """Let a request in that wants all of `accesses`.

        Returns:
            Who calls.

        Raises:
            RegistryError: UNAUTHORIZED with a challenge of every authenticator for wrong
                credentials, and for missing ones; TOOMANYREQUESTS after too many wrong ones;
                DENIED, or NAME_UNKNOWN where the caller may not even know of the repository.
        """
        if self.open:
            return ANONYMOUS
        identity = await self._identify(request, accesses)
        for access in accesses:
            if not await self.allows(identity, access):
                raise self._refusal(request, identity, access, accesses)
        return identity

    async def allows(self, identity: Identity, access: Access) -> bool:
        """Whether a caller may do one thing; the first decisive authorizer wins."""
        if self.open:
            return True
        for authorizer in self._authorizers:
            decision = await authorizer.authorize(identity, access)
            if decision is not Decision.ABSTAIN:
                return decision is Decision.ALLOW
        return not self._authorizers and not identity.anonymous

    async def _identify(self, request: AuthRequest, accesses: Sequence[Access]) -> Identity:
        for authenticator in self._authenticators:
            try:
                identity = await authenticator.authenticate(request)
            except InvalidCredentials as error:
                if error.retry_after is not None:
                    seconds = max(1, round(error.retry_after))
                    raise RegistryError(
                        TOOMANYREQUESTS,
                        "too many failed logins",
                        headers=[("Retry-After", str(seconds))],
                    ) from error
                raise self._challenge(request, accesses, error.error) from error
            if identity is not None:
                return identity
        return ANONYMOUS

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
        return RegistryError(
            UNAUTHORIZED,
            detail=[
                {"Type": access.kind, "Name": access.name, "Action": action}
                for access in accesses
                for action in access.actions
            ],
            headers=[
                ("WWW-Authenticate", item.challenge(request, accesses, error))
                for item in self._authenticators
            ],
        )
