"""Who takes part in a write: guards before it, observers and sinks after it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pyreg.hooks.auth import ANONYMOUS, Identity
from pyreg.hooks.events import Operation, RequestInfo


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf something is done, and by which request."""

    identity: Identity = ANONYMOUS
    request: RequestInfo = field(default_factory=RequestInfo)


NOBODY = Caller()


class Intent(Protocol):
    """A write that is under way."""

    async def recorded(self) -> None:
        """Return when it is on stable storage that the write is meant to be.

        Awaited before anything becomes visible; what is not visible yet can be written
        meanwhile, as this takes as long as one small write.

        Raises:
            StorageError: it cannot be recorded, so it must not happen.
        """
        ...


class Journal(Protocol):
    """Told of every operation.

    Attributes:
        guarded: Whether anybody may refuse a write, and has to know where tags point.
        wants_pulls: False if nobody would hear of a pull, so that the pull path need not tell.
        wants_references: Whether pulls of manifests are to tell what these refer to.
    """

    guarded: bool
    wants_pulls: bool
    wants_references: bool

    def writing(self, operation: Operation, caller: Caller) -> AbstractAsyncContextManager[Intent]:
        """Surround the commit of a write.

        Entering asks the guards; leaving without an exception makes the event known. After an
        exception, the store is asked how far the write has come.

        Raises:
            RegistryError: a guard refuses; raised on entering, before anything is committed.
            StorageError: the event cannot be kept.
        """
        ...

    def pulled(self, operation: Operation, caller: Caller) -> None:
        """A pull has begun; never waits."""
        ...
