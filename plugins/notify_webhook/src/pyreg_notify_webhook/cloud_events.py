"""Events as CloudEvents 1.0 over HTTP (CloudEvents specification, "HTTP protocol binding")."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from pyreg.hooks import Event
from pyreg_notify_webhook.envelope import Version, record, text, timestamp

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
DATA = "application/json"

# Section 3.1.3.2: printable ASCII stays as it is, except for space, double quote and percent.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

_format = JSONFormat()


def structured(events: Sequence[Event], version: Version) -> tuple[Mapping[str, str], bytes]:
    """The headers and the body of events whose attributes are in the body, too.

    Args:
        events: One is sent alone, more than one as a batch.
        version: Of the Docker registry's envelope; `data` is an event as it is there.
    """
    written = [_format.write(CloudEvent(_attributes(event), record(event, version)))
               for event in events]  # fmt: skip
    if len(written) == 1:
        return {"Content-Type": SINGLE}, written[0]
    return {"Content-Type": BATCH}, b"[" + b",".join(written) + b"]"


def binary(event: Event, version: Version) -> tuple[Mapping[str, str], bytes]:
    """The headers and the body of an event whose attributes are in the headers.

    The library would encode colons and slashes as well, and receivers that do not decode what
    needs no encoding would see them so.
    """
    attributes = CloudEvent(_attributes(event), None).get_attributes()
    headers = {"Content-Type": DATA}
    for name, value in attributes.items():
        if name != "datacontenttype":
            shown = timestamp(event.timestamp) if name == "time" else value
            headers[f"ce-{name}"] = quote(shown, safe=_PLAIN)
    return headers, json.dumps(record(event, version)).encode()


def _attributes(event: Event) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": text(event.id),
        "source": _source(event),
        "type": f"pyreg.{event.kind}.{event.action}",
        "subject": _subject(event),
        "time": datetime.datetime.fromtimestamp(event.timestamp, datetime.UTC),
        "datacontenttype": DATA,
        "partitionkey": text(event.repository),
    }


def _source(event: Event) -> str:
    """The registry: its address as the client knows it, else as it knows itself."""
    if event.request.base:
        return text(event.request.base)
    return text(f"//{event.source[0]}") if event.source[0] else "pyreg"


def _subject(event: Event) -> str:
    """What it is about, as an image's name: `team/app:v1`, `team/app@sha256:...`."""
    if event.tag:
        return text(f"{event.repository}:{event.tag}")
    return text(f"{event.repository}@{event.target.digest}")
