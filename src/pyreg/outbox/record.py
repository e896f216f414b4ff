"""The events of one write, and how they are stored: a line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pyreg.hooks.events import Descriptor, Event, RequestInfo

MAX_LINE = 4 * 1024 * 1024
"""Bytes of a record. A manifest that makes a larger one is told of without what it refers to, and
if that is not enough, without its annotations."""

_DESCRIPTOR = tuple(field.name for field in fields(Descriptor))
_EVENT = tuple(field.name for field in fields(Event))
_REQUEST = tuple(field.name for field in fields(RequestInfo))


@dataclass(frozen=True, slots=True)
class Record:
    """The events of one write: one, or for a manifest one for each tag.

    They differ in `id`, `tag` and `kind` only.

    Attributes:
        events: At least one.
        time: When the write was committed, in nanoseconds since the epoch; until then, when it
            began.
    """

    events: tuple[Event, ...]
    time: int

    @property
    def id(self) -> str:
        """Names the record: the id of its first event."""
        return self.events[0].id

    def encode(self) -> bytes:
        """The line, without its end."""
        first = self.events[0]
        document: dict[str, Any] = {
            name: value
            for name, value in _plain(first).items()
            if value or name in ("id", "timestamp", "target")
        }
        document["time"] = self.time
        if len(self.events) > 1:
            document["also"] = [[event.id, event.tag, event.kind] for event in self.events[1:]]
        line = _dump(document)
        if line is None or len(line) > MAX_LINE:
            document.pop("references", None)
            line = _dump(document)
        if line is None or len(line) > MAX_LINE:
            document["target"].pop("annotations", None)
            line = _dump(document)
        assert line is not None, "nothing else has a depth"
        return line


def decode(line: bytes) -> Record:
    """Read a line.

    Raises:
        ValueError: it is torn, or was written by a version that is not known.
    """
    document = json.loads(line)
    try:
        first = _event(document)
        others = [
            replace(first, id=id, tag=tag, kind=kind) for id, tag, kind in document.get("also", ())
        ]
        return Record((first, *others), int(document["time"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of events: {error}") from None


def encode_all(records: Iterable[Record]) -> bytes:
    """An object with several records."""
    return b"".join(record.encode() + b"\n" for record in records)


def decode_all(data: bytes) -> Iterator[Record]:
    """The records of an object.

    Raises:
        ValueError: as `decode`.
    """
    return (decode(line) for line in data.splitlines() if line)


def in_groups(
    records: Iterable[Record], *, limit: int, size: int
) -> Iterator[tuple[list[Record], bytes]]:
    """Records in groups that fit into an object each, with that object.

    Args:
        records: In their order.
        limit: Records in a group at the most.
        size: Bytes in a group, unless it has a single record.
    """
    group: list[Record] = []
    lines: list[bytes] = []
    held = 0
    for record in records:
        line = record.encode() + b"\n"
        if group and (len(group) >= limit or held + len(line) > size):
            yield group, b"".join(lines)
            group, lines, held = [], [], 0
        group.append(record)
        lines.append(line)
        held += len(line)
    if group:
        yield group, b"".join(lines)


def count(records: Sequence[Record]) -> int:
    """How many events there are in records."""
    return sum(len(record.events) for record in records)


def event_document(event: Event) -> dict[str, Any]:
    """An event in the form of JSON, whole; for listings."""
    return {name: value for name, value in _plain(event).items() if value}


def _dump(document: Mapping[str, Any]) -> bytes | None:
    """JSON in one line; None if it is nested too deeply."""
    try:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except RecursionError:
        return None
    return text.encode("utf-8", "surrogatepass")


def _plain(event: Event) -> dict[str, Any]:
    document = {name: getattr(event, name) for name in _EVENT}
    document["target"] = _descriptor(event.target)
    document["references"] = [_descriptor(item) for item in event.references]
    request = event.request
    document["request"] = {name: value for name in _REQUEST if (value := getattr(request, name))}
    document["source"] = list(event.source)
    return document


def _descriptor(found: Descriptor) -> dict[str, Any]:
    document = {name: value for name in _DESCRIPTOR if (value := getattr(found, name))}
    for name in ("annotations", "platform"):
        if name in document:
            document[name] = dict(document[name])
    return document


def _event(document: Mapping[str, Any]) -> Event:
    known = {name: document[name] for name in _EVENT if name in document}
    known["target"] = _read_descriptor(document["target"])
    known["references"] = tuple(map(_read_descriptor, document.get("references", ())))
    request = document.get("request", {})
    known["request"] = RequestInfo(**{name: request[name] for name in _REQUEST if name in request})
    address, instance = document.get("source", ("", ""))
    known["source"] = (address, instance)
    return Event(**known)


def _read_descriptor(document: Mapping[str, Any]) -> Descriptor:
    known = {name: document[name] for name in _DESCRIPTOR if name in document}
    known["urls"] = tuple(known.get("urls", ()))
    return Descriptor(**{"media_type": "", "digest": "", "size": 0, **known})
