"""The Docker registry's envelope of events, as its Go code writes it.

Two generations differ in little. Version 3 calls it `v2`, and describes content as the OCI image
specification does. 2.8 calls it `v1`, writes the size before the digest, leaves out what is empty,
and knows neither the platforms in an index nor types of artifacts.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pyreg.hooks import Descriptor, Event

Version = Literal["v2", "v1"]

MEDIA_TYPES: Mapping[Version, str] = {
    "v2": "application/vnd.docker.distribution.events.v2+json",
    "v1": "application/vnd.docker.distribution.events.v1+json",
}

# Go's encoder makes JSON that can stand in HTML and in JavaScript.
_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_SURROGATES = re.compile("[\ud800-\udfff]")


def encode(events: Sequence[Event], version: Version) -> bytes:
    """Events in an envelope."""
    envelope = {"events": [record(event, version) for event in events]}
    text = json.dumps(envelope, indent=3, ensure_ascii=False)
    return text.translate(_ESCAPED).encode()


def record(event: Event, version: Version) -> dict[str, Any]:
    """One event, with its fields in the Docker registry's order."""
    request = event.request
    return {
        **_filled({"id": text(event.id)}),
        "timestamp": timestamp(event.timestamp),
        "action": event.action,
        "target": _target(event, version),
        "request": {
            "id": text(request.id),
            **_filled({"addr": _address(request.client, request.port), "host": text(request.host)}),
            "method": text(request.method),
            "useragent": text(request.user_agent),
        },
        "actor": _filled({"name": text(event.actor)}),
        "source": _filled({"addr": text(event.source[0]), "instanceID": text(event.source[1])}),
    }


def _target(event: Event, version: Version) -> dict[str, Any]:
    """What happened to it; of what was deleted no more than its name.

    The Docker registry describes a target by type, digest and size alone, whatever else a
    manifest says of itself.
    """
    found = event.target
    repository = text(event.repository)
    if event.action == "delete":
        tag = event.kind == "tag"
        gone = Descriptor("", "" if tag else found.digest, 0)
        named = {"repository": repository, "tag": text(event.tag) if tag else ""}
        return {**_descriptor(gone, version), **_filled(named)}
    return {
        **_descriptor(Descriptor(found.media_type, found.digest, found.size), version),
        **_filled(
            {
                "length": found.size,
                "repository": repository,
                "fromRepository": text(event.from_repository),
                "url": _url(event),
                "tag": text(event.tag),
                "references": [_descriptor(each, version) for each in event.references],
            }
        ),
    }


def _descriptor(found: Descriptor, version: Version) -> dict[str, Any]:
    media_type, digest = text(found.media_type), text(found.digest)
    rest = {
        "urls": [text(url) for url in found.urls],
        "annotations": _annotations(found.annotations or {}),
    }
    if version == "v1":
        return _filled({"mediaType": media_type, "size": found.size, "digest": digest, **rest})
    return {
        "mediaType": media_type,
        "digest": digest,
        "size": found.size,
        **_filled(
            {
                **rest,
                "platform": _platform(found.platform) if found.platform is not None else {},
                "artifactType": text(found.artifact_type or ""),
            }
        ),
    }


def _annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """Sorted, as Go sorts the keys of its maps."""
    return {text(name): text(annotations[name]) for name in sorted(annotations)}


def _platform(platform: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the image specification knows, as far as they are what it says."""
    features = platform.get("os.features")
    return {
        "architecture": _word(platform.get("architecture")),
        "os": _word(platform.get("os")),
        **_filled(
            {
                "os.version": _word(platform.get("os.version")),
                "os.features": [_word(each) for each in _listed(features)],
                "variant": _word(platform.get("variant")),
            }
        ),
    }


def _url(event: Event) -> str:
    """Where the content can be had; "" if nobody asked over HTTP."""
    if not event.request.base:
        return ""
    place = "manifests" if event.kind == "manifest" else "blobs"
    name = f"{event.repository}/{place}/{event.target.digest}"
    return text(f"{event.request.base}/v2/{name}")


def _address(client: str, port: int) -> str:
    """Address and port, as a URL has them; the port only where it is known."""
    if not client or not port:
        return text(client)
    return text(f"[{client}]:{port}" if ":" in client else f"{client}:{port}")


def timestamp(seconds: float) -> str:
    """A moment (RFC 3339) in UTC, without zeros at the end of the fraction.

    Args:
        seconds: Since the epoch.
    """
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
    whole, _, fraction = moment.isoformat().partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def text(value: str) -> str:
    """A text that can be sent: halves of surrogate pairs are replaced."""
    return value if value.isascii() else _SURROGATES.sub("\ufffd", value)


def _word(value: object) -> str:
    return text(value) if isinstance(value, str) else ""


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that say something: Go's `omitempty`."""
    return {name: value for name, value in fields.items() if value}
