"""Reading manifests: whatever comes, an answer or MANIFEST_INVALID, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyreg.content.manifest import Manifest, parse, sniff
from pyreg.content.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
)
from pyreg.errors import RegistryError

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*MANIFESTS, *SCHEMA1, f"sha256:{'0' * 64}", f"sha512:{'0' * 128}"])
)
keys = st.text(max_size=5) | st.sampled_from(
    [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "artifactType",
        "digest",
        "size",
        "urls",
        "platform",
        "os",
        "architecture",
    ]
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20
)

digests = st.builds("sha256:{:064x}".format, st.integers(0, 2**256 - 1)) | st.builds(
    "sha512:{:0128x}".format, st.integers(0, 2**512 - 1)
)
notes = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


descriptors: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "mediaType": st.text(min_size=1, max_size=10),
        "digest": digests,
        "size": st.integers(0, 2**63 - 1),
    },
    optional={
        "annotations": notes,
        "urls": st.lists(st.text(), max_size=2),
        "artifactType": st.text(min_size=1),
        "platform": st.fixed_dictionaries({}, optional={"os": st.text(), "variant": scalars}),
        "data": st.text(),
    },
)
optional: dict[str, st.SearchStrategy[Any]] = {
    "subject": descriptors,
    "annotations": notes,
    "artifactType": st.text(max_size=5),
    "extra": documents,
}
images: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "schemaVersion": st.just(2),
        "config": descriptors,
        "layers": st.lists(descriptors, max_size=4),
    },
    optional={"mediaType": st.sampled_from([OCI_MANIFEST, DOCKER_MANIFEST]), **optional},
)
indexes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"schemaVersion": st.just(2), "manifests": st.lists(descriptors, max_size=4)},
    optional={"mediaType": st.sampled_from([OCI_INDEX, DOCKER_LIST]), **optional},
)


def read(payload: bytes, content_type: str | None = None) -> Manifest | None:
    """The manifest; None if it was refused in the one way in which it may be."""
    try:
        manifest = parse(payload, content_type)
    except RegistryError as error:
        refusal = error
    else:
        assert manifest.payload is payload
        assert manifest.media_type in MANIFESTS
        return manifest
    assert (refusal.code.code, refusal.status) == ("MANIFEST_INVALID", 400)
    json.dumps(refusal.envelope())
    return None


@given(st.binary(), st.none() | st.text())
def test_any_bytes(payload: bytes, content_type: str | None) -> None:
    read(payload, content_type)


@given(documents, st.none() | st.sampled_from([*MANIFESTS, *SCHEMA1, "application/json"]))
@settings(max_examples=300)
def test_any_json(document: Any, content_type: str | None) -> None:
    read(json.dumps(document).encode(), content_type)


@given(images | indexes, keys, documents)
@settings(max_examples=300)
def test_one_thing_wrong(document: dict[str, Any], key: str, value: Any) -> None:
    """A valid manifest with one key replaced by anything."""
    read(json.dumps({**document, key: value}).encode())


@given(images | indexes, st.booleans(), st.sampled_from([None, "application/json; charset=utf-8"]))
def test_valid(document: dict[str, Any], ascii_only: bool, content_type: str | None) -> None:
    """Valid manifests are taken, with everything in its place."""
    text = json.dumps(document, ensure_ascii=ascii_only, allow_nan=True)
    if "NaN" in text or "Infinity" in text:
        return
    payload = text.encode("utf-8", "surrogatepass")
    manifest = read(payload, content_type)
    if not ascii_only and manifest is None:
        with pytest.raises(UnicodeDecodeError):
            payload.decode()
        return
    assert manifest is not None
    shape = OCI_INDEX if "manifests" in document else OCI_MANIFEST
    assert manifest.media_type == document.get("mediaType", shape) == sniff(payload)
    told = [item.digest for item in manifest.references]
    if manifest.media_type in INDEXES:
        assert told == [item["digest"] for item in document["manifests"]]
        assert manifest.artifact_type == (document.get("artifactType") or None)
    else:
        assert told == [item["digest"] for item in [document["config"], *document["layers"]]]
        kind = document.get("artifactType") or document["config"]["mediaType"]
        assert manifest.artifact_type == kind
    subject = document.get("subject")
    assert (manifest.subject and manifest.subject.digest) == (subject and subject["digest"])
    assert manifest.annotations == document.get("annotations")


@pytest.mark.parametrize("depth", [10, 500, 990, 1000, 1010, 5000, 100_000, 1_000_000])
@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth(depth: int, left: bytes, right: bytes) -> None:
    """Around the interpreter's own limit, and far beyond it."""
    read(b'{"schemaVersion": 2, "x": ' + left * depth + b"1" + right * depth + b"}")
    read(left * depth)


@pytest.mark.parametrize("digits", [4299, 4300, 4301, 1_000_000])
def test_digits(digits: int) -> None:
    """Around the interpreter's limit for numbers."""
    for key in ("schemaVersion", "x"):
        read(b'{"manifests": [], "' + key.encode() + b'": ' + b"9" * digits + b"}")


def test_two_readings_of_one_document() -> None:
    """A document must not be an image to one client and an index to another."""
    both = {"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}
    for content_type in (None, *MANIFESTS):
        assert read(json.dumps(both).encode(), content_type) is None
