"""What an event looks like in the stream: a few fields to choose by, and all of it as JSON."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

from pyreg.hooks import Descriptor, Event, RequestInfo

# Half of a surrogate pair, which a manifest's JSON can smuggle into an annotation: no UTF-8 has
# it, and strict readers of JSON refuse it.
_SURROGATES = re.compile("[\ud800-\udfff]")


def entry_of(event: Event) -> dict[str, str]:
    """The fields of an event's entry, every one in every entry."""
    document = json.dumps(docker_event(event), ensure_ascii=False, separators=(",", ":"))
    return {
        "id": event.id,
        "action": event.action,
        "kind": event.kind,
        "repository": event.repository,
        "tag": event.tag,
        "digest": event.target.digest,
        "event": _SURROGATES.sub("\ufffd", document),
    }


def docker_event(event: Event) -> dict[str, Any]:
    """An event in the form that the notifications of the Docker registry (version 3) have."""
    request = event.request
    return {
        "id": event.id,
        "timestamp": _timestamp(event.timestamp),
        "action": event.action,
        "target": {
            **_descriptor(event.target),
            **_filled(
                length=event.target.size,  # what `size` was called before
                repository=event.repository,
                fromRepository=event.from_repository,
                url=_url(event),
                tag=event.tag,
                references=[_descriptor(each) for each in event.references],
            ),
        },
        "request": {
            "id": request.id,
            **_filled(addr=_address(request), host=request.host),
            "method": request.method,
            "useragent": request.user_agent,
        },
        "actor": _filled(name=event.actor),
        "source": _filled(addr=event.source[0], instanceID=event.source[1]),
    }


def _descriptor(of: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": of.media_type,
        "digest": of.digest,
        "size": of.size,
        **_filled(
            urls=list(of.urls),
            annotations=dict(of.annotations or {}),
            platform=dict(of.platform or {}),
            artifactType=of.artifact_type,
        ),
    }


def _address(request: RequestInfo) -> str:
    if not request.port:
        return request.client
    host = f"[{request.client}]" if ":" in request.client else request.client
    return f"{host}:{request.port}"


def _url(event: Event) -> str:
    digest = event.target.digest
    if event.action == "delete" or not (event.request.base and digest):
        return ""
    place = "blobs" if event.kind == "blob" else "manifests"
    return f"{event.request.base}/v2/{event.repository}/{place}/{digest}"


def _timestamp(seconds: float) -> str:
    """As RFC 3339 has it, to the microsecond."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _filled(**fields: Any) -> dict[str, Any]:
    """The fields that say something; the Docker registry leaves the others out."""
    return {name: value for name, value in fields.items() if value}
