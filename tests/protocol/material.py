"""Manifests and blobs to push: small, different for each seed, and valid."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures.wire import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.protocol.live import Live, digest_of

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
ALL_TYPES = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))

Document = dict[str, Any]


def descriptor(data: bytes, media_type: str, algorithm: str = "sha256", **more: Any) -> Document:
    """A descriptor of some bytes."""
    return {
        "mediaType": media_type,
        "digest": digest_of(data, algorithm),
        "size": len(data),
        **more,
    }


def encoded(document: Document) -> bytes:
    """A document as `Live.put_manifest` sends it."""
    return json.dumps(document).encode()


def image(
    server: Live, name: str, seed: object = "", *, algorithm: str = "sha256", **more: Any
) -> Document:
    """An image of one layer; its blobs are pushed, it is not."""
    config = json.dumps({"seed": str(seed), "rootfs": {"type": "layers"}}).encode()
    layer = f"layer of {seed}".encode()
    for data in (config, layer):
        server.blob(name, data, algorithm)
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, CONFIG, algorithm),
        "layers": [descriptor(layer, LAYER, algorithm)],
        **more,
    }


def docker_image(server: Live, name: str, seed: object = "") -> Document:
    """As `image`, in Docker's media types."""
    document = image(server, name, seed)
    document["mediaType"] = DOCKER_MANIFEST
    document["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    document["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    return document


def index(*children: Document, media_type: str = OCI_INDEX, **more: Any) -> Document:
    """An index of descriptors."""
    return {"schemaVersion": 2, "mediaType": media_type, "manifests": list(children), **more}


def child(document: Document, algorithm: str = "sha256", **more: Any) -> Document:
    """The descriptor of a manifest."""
    return descriptor(encoded(document), document["mediaType"], algorithm, **more)


def artifact(
    server: Live, name: str, subject: Document | None, seed: object = "", **more: Any
) -> Document:
    """An artifact that refers to a manifest; its only blob is the empty one."""
    server.blob(name, b"{}")
    document: Document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.sbom.v1",
        "config": descriptor(b"{}", EMPTY),
        "layers": [],
        "annotations": {"seed": str(seed)},
        **more,
    }
    if subject is not None:
        document["subject"] = subject
    return document
