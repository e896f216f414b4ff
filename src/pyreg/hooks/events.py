"""What happens in a registry, as operations (before) and events (after)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pyreg.hooks.metrics import Metric

Action = Literal["push", "pull", "mount", "delete"]
Kind = Literal["manifest", "blob", "tag"]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content (OCI image specification, "Descriptors")."""

    media_type: str
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: Mapping[str, str] | None = None
    platform: Mapping[str, Any] | None = None
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A write that is about to be committed; a guard may refuse it.

    Attributes:
        action: `push`, `mount` or `delete`.
        kind: `manifest`, `blob` or `tag`. Pushing a manifest by tag is one operation of kind
            `manifest` with `tags`.
        repository: The repository's name.
        target: What it is about; `digest` is "" for the deletion of a tag.
        tags: Tags that will point at the manifest; the tag to delete, or those that the deletion
            of a manifest takes with it.
        current: The digest that each of `tags` points at now, if it exists. A push is committed
            only if that is still so; otherwise the guards are asked again.
        from_repository: Where a mounted blob comes from; "" if unknown.
        manifest: The manifest's JSON, decoded; None for blobs and tags.
        references: The descriptors that the manifest names.
    """

    action: Action
    kind: Kind
    repository: str
    target: Descriptor
    tags: tuple[str, ...] = ()
    from_repository: str = ""
    manifest: Mapping[str, Any] | None = None
    references: tuple[Descriptor, ...] = ()
    current: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The request that led to an event; every field is empty for calls of the Python API.

    Attributes:
        id: Names the request in the logs, too.
        client: The caller's address, behind trusted proxies the original one.
        port: The caller's port; 0 where only a proxy knows it.
        host: Host and port of the registry, as the caller sees them.
        base: The registry's address as the caller sees it, `https://registry.example.com`.
        method: `GET`, `PUT`, ...
        user_agent: What the caller says it is.
    """

    id: str = ""
    client: str = ""
    host: str = ""
    method: str = ""
    user_agent: str = ""
    port: int = 0
    base: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and was committed.

    Attributes:
        id: Unique, and the same each time that the event is delivered; consumers de-duplicate
            by it.
        timestamp: Seconds since the epoch.
        action: `push`, `pull`, `mount` or `delete`; the other fields are as in `Operation`.
            A push is an event for each tag. The deletion of a manifest is one of kind
            `manifest`, and one of kind `tag` for each tag that goes with it.
        actor: The caller's name; "" for an anonymous one.
        request: The request that led to it.
        source: The instance that answered: address and an id that changes at every start.
        references: What a manifest refers to; for sinks only where `Subscription.references`
            asks for it.
    """

    id: str
    timestamp: float
    action: Action
    kind: Kind
    repository: str
    target: Descriptor
    tag: str = ""
    from_repository: str = ""
    references: tuple[Descriptor, ...] = ()
    actor: str = ""
    request: RequestInfo = field(default_factory=RequestInfo)
    source: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a sink hears of, and how patiently it is tried: `notifications.endpoints[]`.

    Attributes:
        actions: Only these; empty means all.
        repositories: Only those whose name matches one of these patterns, in which `*` stands
            for anything within a component, `**` for anything and `?` for one character; empty
            means all.
        ignored_actions: None of these.
        ignored_media_types: Nothing whose target has one of these.
        references: Whether events of manifests list what they refer to.
        timeout: Seconds that one delivery may take.
        threshold: Failures in a row after which the sink is given a rest.
        backoff: Seconds of the first rest; the next ones are longer.
        max_age: Seconds after which an event that did not arrive becomes a dead letter; 0 for
            never.
        max_attempts: Attempts after which it does; 0 for any number.
        batch: Events in one delivery at most; None for what the sink prefers.
        concurrency: Deliveries under way at once. Those of one repository follow each other.
    """

    actions: frozenset[str] = frozenset()
    repositories: tuple[str, ...] = ()
    ignored_actions: frozenset[str] = frozenset()
    ignored_media_types: frozenset[str] = frozenset()
    references: bool = False
    timeout: float = 1.0
    threshold: int = 10
    backoff: float = 1.0
    max_age: float = 7 * 86400.0
    max_attempts: int = 0
    batch: int | None = None
    concurrency: int = 4


class DeliveryFailed(Exception):
    """A sink could not deliver; the registry tries again.

    Args:
        reason: A sentence for the operator, without credentials.
        retry_after: Seconds that the other side asks to be left alone.
        permanent: True if these very events can never be delivered: they become dead letters.
    """

    def __init__(
        self, reason: str, *, retry_after: float | None = None, permanent: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.permanent = permanent


class EventSink(ABC):
    """Takes events to somewhere else.

    The registry keeps the events, chooses those that the sink hears of, tries again and keeps
    dead letters; a sink only delivers. It may be used by several processes at once, each with
    an object of its own.

    Attributes:
        name: Unique among the sinks of a registry, and the same after a restart: by it the
            registry knows what is still to be delivered.
        batch: Events that one call of `deliver` takes at most, unless the operator says other.
    """

    name: str
    batch: int = 100

    async def open(self) -> None:  # noqa: B027 - nothing to do is a fine default
        """Get ready; called once, in the event loop that will use the sink.

        Raise for what only an operator can mend. A service that does not answer yet is no
        reason: deliveries will be tried again.
        """

    async def close(self) -> None:  # noqa: B027
        """Let go of everything; idempotent. The sink may be opened again."""

    @abstractmethod
    async def deliver(self, events: Sequence[Event]) -> None:
        """Deliver in order; return when the other side has all of them.

        Called again with the same events after a failure, and maybe after a success that a
        crash made forgotten. May be cancelled at any moment.

        Args:
            events: At least one.

        Raises:
            DeliveryFailed: not delivered; any other exception means the same.
        """

    async def test(self, event: Event) -> str:
        """Deliver a sample for `pyreg events test`.

        Returns:
            What the other side answered, in lines for the operator.

        Raises:
            DeliveryFailed: as `deliver`.
        """
        await self.deliver([event])
        return "delivered"

    def metrics(self) -> Iterable[Metric]:
        """Figures of the sink's own; none unless a sink has some."""
        return ()
