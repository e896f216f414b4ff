"""Events as messages: what is posted, in the format that an endpoint wants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pyreg.hooks import Event
from pyreg_notify_webhook import cloud_events, envelope
from pyreg_notify_webhook.options import Options


@dataclass(frozen=True, slots=True)
class Message:
    """The body of one request, and what goes with it.

    Attributes:
        id: The same each time that the same events are sent.
        instance: The registry that the events are of, as `Event.source` names it.
        headers: Of its format.
        body: All of it.
    """

    id: str
    instance: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


Encode = Callable[[Sequence[Event]], list[Message]]
"""Makes messages of events, in their order."""


def encoder(options: Options) -> Encode:
    """How an endpoint wants its events."""
    version = options.envelope

    def enveloped(events: Sequence[Event]) -> list[Message]:
        headers = {"Content-Type": envelope.MEDIA_TYPES[version]}
        return [_message(events, headers, envelope.encode(events, version))]

    def structured(events: Sequence[Event]) -> list[Message]:
        return [_message(events, *cloud_events.structured(events, version))]

    def binary(events: Sequence[Event]) -> list[Message]:
        return [_message([event], *cloud_events.binary(event, version)) for event in events]

    if options.format == "docker":
        return enveloped
    return binary if options.mode == "binary" else structured


def _message(events: Sequence[Event], headers: Mapping[str, str], body: bytes) -> Message:
    return Message(_id(events), events[0].source[1], headers, body)


def _id(events: Sequence[Event]) -> str:
    """The event's own id. For several one that is made of all of theirs: were it that of the
    first, the receiver could take a longer batch for one that it has seen."""
    if len(events) == 1:
        return events[0].id
    ids = "\n".join(event.id for event in events)
    return hashlib.sha256(ids.encode("utf-8", "surrogatepass")).hexdigest()[:32]
