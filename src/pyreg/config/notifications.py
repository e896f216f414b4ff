"""`notifications`: where events go, which of them, and how patiently.

The core applies all of this but what is the event sink's own: see `pyreg.config.endpoints`.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, SecretStr

from pyreg.config.inherited import Headers
from pyreg.config.section import Section
from pyreg.config.shape import ANYTHING, Shape, option
from pyreg.config.values import Duration, Lower
from pyreg.content.names import is_name

TYPE = "webhook"
"""The event sink of an endpoint that does not say which: what the Docker registry has."""

_LONGEST_NAME = 128
_SECOND = 1.0
_FAILURES = 10

# Whoever must not send events must not read these either; what they are called tells nothing.
_SecretHeaders = Annotated[
    Headers,
    Shape("map", item=Shape("list", item=Shape("leaf", SecretStr, as_written=True, secret=True))),
]

_SINK = "the plugin of the endpoint's `type`"


def _name(value: str) -> str:
    if len(value) > _LONGEST_NAME or not value.isprintable():
        raise ValueError(f"expected a name of at most {_LONGEST_NAME} printable characters")
    return value


def _name_pattern(value: str) -> str:
    """A pattern that no repository's name can match would silence the endpoint for good."""
    if not is_name(re.sub(r"\*+|\?", "a", value)):
        raise ValueError("expected a pattern of repository names, such as team/* or team/**")
    return value


def _seconds(value: float) -> float:
    return value or _SECOND


def _failures(value: int) -> int:
    return value if value > 0 else _FAILURES


# As in the Docker registry, nothing and less stand for the default.
_Seconds = Annotated[Duration, AfterValidator(_seconds)]
_Failures = Annotated[int, AfterValidator(_failures)]


class EventFormat(Section):
    """`notifications.events`."""

    includereferences: bool = option(False, "List what a manifest refers to in its events.")


class Ignore(Section):
    """`notifications.endpoints[].ignore`."""

    mediatypes: tuple[str, ...] = option((), "Media types of which the endpoint hears nothing.")
    actions: tuple[Annotated[str, Lower], ...] = option(
        (), "Actions of which the endpoint hears nothing."
    )


class Endpoint(Section):
    """`notifications.endpoints[]`; a key that is not among these is an option of the sink."""

    other_keys: ClassVar[Shape] = ANYTHING

    name: Annotated[str, AfterValidator(_name)] = option(
        "",
        "Unique; events that wait for the endpoint are kept under it. `endpoint-<n>` if left out.",
    )
    disabled: bool = option(False, "Send nothing.")
    type: str = option(TYPE, "The event sink: the name of a plugin.")
    url: str = option("", "Where events go.", status="plugin", reason=_SINK)
    headers: _SecretHeaders = option(
        {}, "Headers of each request; each value is a list.", status="plugin", reason=_SINK
    )
    repositories: tuple[Annotated[str, AfterValidator(_name_pattern)], ...] = option(
        (),
        "Only events of repositories whose name matches one of these patterns: `*` is anything "
        "within a component, `?` is one character of it, `**` is anything.",
    )
    actions: tuple[Annotated[Literal["push", "pull", "mount", "delete"], Lower], ...] = option(
        (), "Only events of these actions; without any, of all."
    )
    ignoredmediatypes: tuple[str, ...] = option((), "As `ignore.mediatypes`; both count.")
    ignore: Ignore = option(Ignore(), "What the endpoint does not hear of.")
    timeout: _Seconds = option(_SECOND, "How long one delivery may take.")
    threshold: _Failures = option(
        _FAILURES, "Failures in a row before the endpoint is given a rest."
    )
    backoff: _Seconds = option(_SECOND, "How long its first rest is; each further one is longer.")
    maxage: Duration = option(
        7 * 24 * 3600.0,
        "How old an event may become before it is put aside as a dead letter; 0 for any age.",
    )
    maxattempts: int = option(
        0, "After how many attempts it is put aside; 0 for any number.", ge=0, le=1_000_000
    )
    batch: int | None = option(
        None, "Events in one delivery at most; what the sink prefers unless told.", ge=1, le=1000
    )
    concurrency: int = option(
        4,
        "Deliveries under way at once. Those of one repository follow each other.",
        ge=1,
        le=256,
    )


class Notifications(Section):
    """`notifications`."""

    events: EventFormat = option(EventFormat(), "What events contain.", variable="EVENTCONFIG")
    endpoints: tuple[Endpoint, ...] = option((), "Who hears of events.")
