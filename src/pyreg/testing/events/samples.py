"""Events to deliver: plain ones by the number, and one of each kind at its limits."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from dataclasses import replace

from pyreg.hooks import Descriptor, Event, RequestInfo

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# Whoever pushes a manifest chooses its annotations, and an identity provider the actor's name:
# JSON can even carry half of a surrogate pair, which no encoding of Unicode can.
AWKWARD = (
    "Zoë 李雷 \N{OGHAM LETTER RUIS} \N{WHALE}",
    "quotes \" and ' and \\ and %s {0} ${HOME}",
    "a line\r\nand: another\x00\x1b[31m",
    "half a pair: \ud83d",
    "\u202eright to left\u202c",
    "x" * 4096,
)


_SURROGATES = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """A text with U+FFFD for every half of a surrogate pair, as sinks may send it."""
    return _SURROGATES.sub("\ufffd", text)


def digest(seed: str) -> str:
    """A digest; the same for the same seed."""
    return f"sha256:{hashlib.sha256(seed.encode('utf-8', 'surrogatepass')).hexdigest()}"


def pushes(count: int, repository: str = "team/app") -> list[Event]:
    """So many pushes of manifests, each with an id of its own."""
    return [_push(repository, f"v{number}") for number in range(count)]


def one_of_each(references: int) -> list[Event]:
    """Every kind of event, with what clients can make of it.

    Args:
        references: How many descriptors the largest manifest refers to.
    """
    push = _push("team/app", "v1")
    blob = Descriptor(LAYER, digest("layer"), 2**40)
    annotations = {f"key {number} {text}": text for number, text in enumerate(AWKWARD)}
    platform = {"os": "linux", "architecture": "arm64", "os.features": ["x"], "variant": "v8"}
    rich = Descriptor(
        MANIFEST,
        digest("rich"),
        2**63 - 1,
        artifact_type="application/vnd.example.sbom.v1",
        annotations=annotations,
        platform=platform,
        urls=("https://mirror.example.com/blob?a=b&c=d#é",),
    )
    many = tuple(Descriptor(LAYER, digest(f"{number}"), number) for number in range(references))
    gone = Descriptor("", digest("gone"), 0)
    return [
        push,
        _event(push, kind="blob", target=blob, tag=""),
        _event(push, action="pull"),
        _event(push, action="pull", kind="blob", target=blob, tag=""),
        _event(
            push, action="mount", kind="blob", target=blob, tag="", from_repository="team/other"
        ),
        _event(push, action="mount", kind="blob", target=blob, tag="", from_repository=""),
        _event(push, action="delete", target=gone, tag=""),
        _event(push, action="delete", kind="blob", target=gone, tag=""),
        _event(push, action="delete", kind="tag", target=Descriptor("", "", 0)),
        _event(push, tag="T" * 128, repository="/".join(["a" * 63] * 4)[:255]),
        _event(push, target=replace(rich, digest="sha512:" + "0123456789abcdef" * 8)),
        _event(push, target=rich, references=(rich, *many)),
        # A call of the Python API: there was no request, and nobody is named.
        _event(push, actor="", request=RequestInfo(), source=("", "")),
        _event(push, timestamp=0.0),
        *(_event(push, actor=text) for text in AWKWARD),
        *(
            _event(push, request=replace(push.request, user_agent=text, id=text))
            for text in AWKWARD
        ),
    ]


def _event(like: Event, **changes: object) -> Event:
    return replace(like, id=str(uuid.uuid4()), **changes)  # type: ignore[arg-type]


def _push(repository: str, tag: str) -> Event:
    return Event(
        id=str(uuid.uuid4()),
        timestamp=time.time(),
        action="push",
        kind="manifest",
        repository=repository,
        target=Descriptor(MANIFEST, digest(tag), 708),
        tag=tag,
        actor="ada",
        request=RequestInfo(
            id=str(uuid.uuid4()),
            client="192.0.2.7",
            port=41961,
            host="registry.test",
            base="https://registry.test",
            method="PUT",
            user_agent="docker/26.1",
        ),
        source=("registry-1.test:5000", "a53db899-3b4b-4a62-a067-8dd013beaca4"),
    )
