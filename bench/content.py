"""What is pushed: blobs that nothing has seen before, and images of them."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from bench.wire import Wire

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

_BLOCK = 1 << 20
_NOISE = random.Random(1).randbytes(_BLOCK)


class Payload:
    """A blob of any size that takes 1 MiB of memory, and differs from every other.

    Args:
        size: Bytes.

    Attributes:
        size: As given.
        digest: Its digest.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._first = (secrets.token_bytes(32) + _NOISE[32:])[:size]
        hasher = hashlib.sha256()
        for piece in self.pieces():
            hasher.update(piece)
        self.digest = f"sha256:{hasher.hexdigest()}"

    def pieces(self) -> Iterator[memoryview]:
        """Its bytes."""
        yield memoryview(self._first)
        left, block = self.size - len(self._first), memoryview(_NOISE)
        while left > 0:
            yield block[:left]
            left -= _BLOCK

    def bytes(self) -> bytes:
        """Its bytes, at once."""
        return b"".join(self.pieces())


@dataclass(frozen=True)
class Image:
    """An image that was pushed.

    Attributes:
        name: Its repository.
        tag: Its tag.
        manifest: Bytes in its manifest.
        blobs: Digest and size of its configuration and of each layer.
    """

    name: str
    tag: str
    manifest: int
    blobs: list[tuple[str, int]]

    @property
    def size(self) -> int:
        """Bytes of a whole pull."""
        return self.manifest + sum(size for _, size in self.blobs)


def push_blob(wire: Wire, name: str, data: bytes, digest: str) -> None:
    """Push a small blob as clients do: POST and PUT."""
    begun = wire.request("POST", f"/v2/{name}/blobs/uploads/").require(202)
    wire.request(
        "PUT",
        closing(begun.location, digest),
        data,
        Content_Type="application/octet-stream",
    ).require(201)


def closing(location: str, digest: str) -> str:
    """The target of the PUT that ends an upload."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def push_image(wire: Wire, name: str, tag: str, layers: list[int]) -> Image:
    """Push an image with layers of these sizes."""
    payloads = [Payload(2048), *(Payload(size) for size in layers)]
    for payload in payloads:
        push_blob(wire, name, payload.bytes(), payload.digest)
    described = [
        {"mediaType": CONFIG if number == 0 else LAYER, "digest": each.digest, "size": each.size}
        for number, each in enumerate(payloads)
    ]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described[0],
            "layers": described[1:],
        }
    ).encode()
    wire.request("PUT", f"/v2/{name}/manifests/{tag}", manifest, Content_Type=MANIFEST).require(201)
    return Image(name, tag, len(manifest), [(each.digest, each.size) for each in payloads])
