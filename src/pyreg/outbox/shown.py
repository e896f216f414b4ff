"""Events as `pyreg events` prints them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from pyreg.hooks.events import Descriptor, Event, RequestInfo
from pyreg.outbox.inspection import Overview
from pyreg.outbox.patience import in_a_row
from pyreg.outbox.queue import DeadLetter
from pyreg.outbox.record import event_document

SAMPLE = Descriptor(
    media_type="application/vnd.oci.image.manifest.v1+json",
    digest=f"sha256:{'0' * 64}",
    size=0,
)


def row(event: Event, letter: DeadLetter | None) -> dict[str, Any]:
    """An event, and why it was given up, as JSON."""
    document = event_document(event)
    if letter is not None:
        document |= {"reason": letter.reason, "attempts": letter.attempts}
    return document


def what(event: Event) -> str:
    """What an event is about, in short."""
    if event.tag:
        return f"{event.repository}:{event.tag}"
    return f"{event.repository}@{event.target.digest[:19]}"


def state_of(overview: Overview) -> str:
    """How deliveries go, in a few words."""
    state = overview.state
    if not overview.configured:
        return "not in the configuration"
    if state.get("failures"):
        return f"{in_a_row(state['failures'])}: {state.get('error') or '?'}"
    return "delivering" if state.get("holder") else "nobody delivers now"


def moment(seconds: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counted(count: int) -> str:
    """How many events."""
    return f"{count} event{'' if count == 1 else 's'}"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns; the first is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        padded = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*padded, row[-1]]))


def sample() -> Event:
    """An event that tells of nothing that has happened."""
    return Event(
        id=str(uuid.uuid4()),
        timestamp=time.time(),
        action="push",
        kind="manifest",
        repository="pyreg/test",
        target=SAMPLE,
        tag="test",
        actor="pyreg events test",
        request=RequestInfo(method="PUT"),
    )
