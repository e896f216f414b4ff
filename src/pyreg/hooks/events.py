"""What happens in a registry, as operations (before) and events (after)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["push", "pull", "mount", "delete"]


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
    kind: Literal["manifest", "blob", "tag"]
    repository: str
    target: Descriptor
    tags: tuple[str, ...] = ()
    from_repository: str = ""
    manifest: Mapping[str, Any] | None = None
    references: tuple[Descriptor, ...] = ()
    current: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The request that led to an event; every field is "" for calls of the Python API."""

    id: str = ""
    client: str = ""
    host: str = ""
    method: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and was committed.

    Attributes:
        id: Unique; consumers de-duplicate by it.
        timestamp: Seconds since the epoch.
        action: `push`, `pull`, `mount` or `delete`; the other fields are as in `Operation`.
        actor: The caller's name; "" for an anonymous one.
        request: The request that led to it.
        source: The instance that answered: address and an id that changes at every start.
    """

    id: str
    timestamp: float
    action: Action
    kind: Literal["manifest", "blob", "tag"]
    repository: str
    target: Descriptor
    tag: str = ""
    from_repository: str = ""
    references: tuple[Descriptor, ...] = ()
    actor: str = ""
    request: RequestInfo = field(default_factory=RequestInfo)
    source: tuple[str, str] = ("", "")


class EventSink(ABC):
    """Takes events to somewhere else.

    Attributes:
        name: Unique among the sinks of a registry.
    """

    name: str

    @abstractmethod
    async def deliver(self, events: Sequence[Event]) -> None:
        """Deliver in order. An exception means: not delivered, try again later."""
