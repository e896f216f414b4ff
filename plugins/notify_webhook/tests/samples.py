"""Events as a registry has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyreg.hooks import Descriptor, Event, RequestInfo

DIGEST = f"sha256:{'a' * 64}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

REQUEST = RequestInfo(
    id="7c1d",
    client="192.0.2.7",
    port=40000,
    host="registry.example.com",
    base="https://registry.example.com",
    method="PUT",
    user_agent="containers/5.29 <&>",
)
PUSH = Event(
    id="7f9a0b9e-54f4-4a8c-9f6a-0a4a4d1c2f3e",
    timestamp=1790000000.125,
    action="push",
    kind="manifest",
    repository="team/app",
    target=Descriptor(MANIFEST, DIGEST, 528),
    tag="v1",
    actor="ada",
    request=REQUEST,
    source=("registry-1:5000", "0f5c6d1e-0000-4000-8000-000000000001"),
)


def event(**changes: Any) -> Event:
    """A push of a manifest, with some fields changed."""
    return replace(PUSH, **changes)


def several(count: int) -> list[Event]:
    """Different events of one kind."""
    return [event(id=f"00000000-0000-4000-8000-{number:012}") for number in range(count)]
