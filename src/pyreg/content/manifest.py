"""Manifests: read and checked, never altered.

OCI image specification, "Image Manifest" and "Image Index"; Docker image manifest version 2,
schema 2. The bytes are kept as they came; what is decoded here only decides about them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyreg.content.digest import Digest
from pyreg.content.media_types import (
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
)
from pyreg.errors import MANIFEST_INVALID, RegistryError
from pyreg.hooks.events import Descriptor

MAX_DESCRIPTORS = 20_000
"""Descriptors in one manifest: far more than any image has, few enough to look each up."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, decoded.

    Attributes:
        media_type: What it is.
        payload: Its bytes, exactly as pushed.
        config: The image's configuration; None for an index.
        layers: The image's layers, in order.
        manifests: The index's manifests, in order.
        subject: The manifest that this one is about.
        artifact_type: As the referrers list shows it: its own, else that of the configuration.
        annotations: Its own.
        document: The JSON document.
    """

    media_type: str
    payload: bytes
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: Mapping[str, str] | None
    document: Mapping[str, Any]

    @property
    def references(self) -> tuple[Descriptor, ...]:
        """Everything that it is made of; not the subject."""
        head = (self.config,) if self.config else ()
        return (*head, *self.layers, *self.manifests)


def parse(payload: bytes, content_type: str | None = None) -> Manifest:
    """Decode and check a manifest.

    Args:
        payload: Its bytes.
        content_type: What the client called it, parameters included; None for stored ones.

    Raises:
        RegistryError: MANIFEST_INVALID, saying what is wrong and where.
    """
    declared = (content_type or "").partition(";")[0].strip().lower() or None
    if declared in SCHEMA1:
        raise _schema1()
    document = _decode(payload)
    if not isinstance(document, dict):
        raise _invalid("a manifest is a JSON object")
    if document.get("schemaVersion") == 1:
        raise _schema1()
    media_type = _media_type(document, declared)
    version = document.get("schemaVersion")
    if version != 2 or not isinstance(version, int):  # 2.0 is no integer to most clients
        raise _invalid("schemaVersion: expected 2")
    index = media_type in INDEXES
    # One document must not be an image to one client and an index to another.
    for key in ("config", "layers") if index else ("manifests",):
        if key in document:
            raise _invalid(f"{key}: has no place in a manifest of type {media_type}")
    config = None if index else _descriptor(_need(document, "config"), "config")
    artifact_type = _optional_text(document, "artifactType")
    if artifact_type is None and config is not None:
        artifact_type = config.media_type
    subject = document.get("subject")
    manifest = Manifest(
        media_type=media_type,
        payload=payload,
        config=config,
        layers=() if index else _descriptors(document, "layers"),
        manifests=_descriptors(document, "manifests") if index else (),
        subject=None if subject is None else _descriptor(subject, "subject"),
        artifact_type=artifact_type,
        annotations=_annotations(document, ""),
        document=document,
    )
    if len(manifest.references) > MAX_DESCRIPTORS:
        raise _invalid(f"more than {MAX_DESCRIPTORS} descriptors")
    return manifest


def sniff(payload: bytes) -> str:
    """The media type of a stored manifest, which the layout does not record elsewhere.

    Raises:
        RegistryError: MANIFEST_INVALID; the bytes are no manifest.
    """
    document = _decode(payload)
    if not isinstance(document, dict):
        raise _invalid("a manifest is a JSON object")
    if document.get("schemaVersion") == 1:
        raise _schema1()
    return _media_type(document, None)


def _decode(payload: bytes) -> Any:
    try:
        text = payload.decode("utf-8")
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction
        )
    except RecursionError:
        raise _invalid("nested too deeply") from None
    except ValueError as error:
        raise _invalid(f"not a JSON document: {error}"[:300]) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:64]!r} stands twice in one object")
            seen.add(key)
    return document


def _fraction(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:32]} is too large a number")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _media_type(document: Mapping[str, Any], declared: str | None) -> str:
    own = _optional_text(document, "mediaType")
    if own in SCHEMA1:
        raise _schema1()
    if own and declared and own != declared and declared not in _VAGUE:
        raise _invalid(f"mediaType is {own[:128]!r}, but the Content-Type is {declared[:128]!r}")
    found = own or (declared if declared not in _VAGUE else None) or _by_shape(document)
    if found not in MANIFESTS:
        raise _invalid(
            f"unsupported manifest type {found[:128]!r}",
            detail={"supported": sorted(MANIFESTS)},
        )
    return found


# What clients send when they do not know better.
_VAGUE = frozenset({None, "application/json", "application/octet-stream", "text/plain"})


def _by_shape(document: Mapping[str, Any]) -> str:
    # Only OCI allows to leave mediaType out (Docker's schema 2 requires it).
    if "manifests" in document:
        return OCI_INDEX
    if "config" in document or "layers" in document:
        return OCI_MANIFEST
    raise _invalid("neither mediaType, config, layers nor manifests: not a manifest")


def _need(document: Mapping[str, Any], key: str) -> Any:
    if key not in document:
        raise _invalid(f"{key}: missing")
    return document[key]


def _descriptors(document: Mapping[str, Any], key: str) -> tuple[Descriptor, ...]:
    items = _need(document, key)
    if not isinstance(items, list):
        raise _invalid(f"{key}: expected a list")
    return tuple(_descriptor(item, f"{key}[{number}]") for number, item in enumerate(items))


def _descriptor(item: Any, path: str) -> Descriptor:
    if not isinstance(item, dict):
        raise _invalid(f"{path}: expected a descriptor")
    media_type, size = item.get("mediaType"), item.get("size")
    if not isinstance(media_type, str) or not media_type:
        raise _invalid(f"{path}.mediaType: expected a media type")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 63:
        raise _invalid(f"{path}.size: expected a number of bytes")
    digest = item.get("digest")
    if not isinstance(digest, str):
        raise _invalid(f"{path}.digest: expected a digest")
    try:
        digest = Digest.parse(digest)
    except RegistryError as error:
        raise _invalid(f"{path}.digest: {error.message}", detail=error.detail) from None
    urls = item.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise _invalid(f"{path}.urls: expected a list of addresses")
    platform = item.get("platform")
    if platform is not None:
        if not isinstance(platform, dict):
            raise _invalid(f"{path}.platform: expected an object")
        for key in ("os", "architecture"):
            _optional_text(platform, key, f"{path}.platform")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        artifact_type=_optional_text(item, "artifactType", path),
        annotations=_annotations(item, path),
        platform=platform,
        urls=tuple(urls),
    )


def _optional_text(document: Mapping[str, Any], key: str, path: str = "") -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{path}.{key}: expected a string".lstrip("."))
    return value or None


def _annotations(document: Mapping[str, Any], path: str) -> Mapping[str, str] | None:
    value = document.get("annotations")
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _invalid(f"{path}.annotations: expected an object of strings".lstrip("."))
    return value


def _invalid(message: str, detail: Any = None) -> RegistryError:
    return RegistryError(MANIFEST_INVALID, message, detail=detail)


def _schema1() -> RegistryError:
    return _invalid(
        "Docker image manifest version 2, schema 1 is not supported: push the image again with "
        "a client of this decade (Docker 1.10 or later), which sends schema 2 or OCI",
        detail={"supported": sorted(MANIFESTS)},
    )
