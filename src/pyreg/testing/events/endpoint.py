"""What a sink delivers to, as its tests see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pyreg.hooks import EventSink


@dataclass(frozen=True)
class Received:
    """One event, as it arrived.

    Attributes:
        id: What consumers de-duplicate by.
        action: This and the others as in `pyreg.hooks.Event`; None if the sink does not pass it
            on. What is not None has to be what it was in the event.
        kind: See `action`.
        repository: See `action`.
        digest: Of the target; "" for the deletion of a tag.
        tag: See `action`.
        actor: See `action`; what no UTF-8 has in it may have become U+FFFD.
    """

    id: str
    action: str | None = None
    kind: str | None = None
    repository: str | None = None
    digest: str | None = None
    tag: str | None = None
    actor: str | None = None


class Endpoint(ABC):
    """What a sink delivers to: looked into, broken and mended by the suite.

    It works when the suite is given it.

    Attributes:
        secrets: What must show in no message: passwords, tokens, keys.
    """

    secrets: Sequence[str] = ()

    @abstractmethod
    def sink(self) -> EventSink:
        """A new sink that delivers here, not opened; all of them have one name.

        Called from any thread: a registry is put together before there is an event loop.
        """

    @abstractmethod
    async def received(self) -> Sequence[Received]:
        """Every event that has arrived so far, in order; repeated ones as often as they came.

        Called only while the endpoint works.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Be away, as after a crash: connections break, and there are no new ones.

        What has arrived stays.
        """

    @abstractmethod
    async def start(self) -> None:
        """Be back, at the same address."""
