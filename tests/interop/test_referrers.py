"""Artifacts whose subject the Docker registry stored without looking at it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.wire import OCI_INDEX, OCI_MANIFEST, Wire, sha256
from tests.servers.registries import Registry, configuration

Starter = Callable[..., Registry]


def manifest(wire: Wire, repository: str, text: str, subject: bytes | None = None) -> bytes:
    """Push an artifact with one layer, about `subject` if there is one. Returns its manifest."""
    layer = text.encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": f"application/vnd.example.{text}",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": wire.put_blob(repository, b"{}"),
            "size": 2,
        },
        "layers": [
            {
                "mediaType": "text/plain",
                "digest": wire.put_blob(repository, layer),
                "size": len(layer),
            }
        ],
        "annotations": {"org.example.text": text},
    }
    if subject is not None:
        document["subject"] = {
            "mediaType": OCI_MANIFEST,
            "digest": sha256(subject),
            "size": len(subject),
        }
    body = json.dumps(document, indent=1).encode()
    wire.put_manifest(repository, sha256(body), body)
    return body


def descriptor(body: bytes) -> dict[str, object]:
    """What the referrers endpoint must say of an artifact made by `manifest`."""
    document = json.loads(body)
    return {
        "mediaType": OCI_MANIFEST,
        "digest": sha256(body),
        "size": len(body),
        "artifactType": document["artifactType"],
        "annotations": document["annotations"],
    }


def reindex(root: Path) -> None:
    """Run `pyreg reindex` on a directory that nobody serves."""
    config = root.parent / "reindex.yml"
    config.write_text(json.dumps(configuration(root, "127.0.0.1:0")))
    done = subprocess.run(
        [sys.executable, "-m", "pyreg.cli", "reindex", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("reindexed", [False, True])
def test_referrers_of_the_docker_registry(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter, reindexed: bool
) -> None:
    root = short_dir / "shared"
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        image = manifest(wire, "team/app", "image")
        artifacts = [manifest(wire, "team/app", text, image) for text in ("sbom", "signature")]
        nested = manifest(wire, "team/app", "nested", artifacts[1])
        elsewhere = manifest(wire, "team/app", "elsewhere", b"never pushed")
    go.stop()

    if reindexed:
        reindex(root)
    pyreg = start_registry(root=root)
    with Wire(pyreg.url) as wire:
        listed = wire.referrers("team/app", sha256(image))
        assert sorted(listed, key=str) == sorted(map(descriptor, artifacts), key=str)
        assert wire.referrers("team/app", sha256(artifacts[1])) == [descriptor(nested)]
        assert wire.referrers("team/app", sha256(b"never pushed")) == [descriptor(elsewhere)]
        assert wire.referrers("team/app", sha256(nested)) == []
        assert wire.referrers(
            "team/app", sha256(image), artifactType="application/vnd.example.sbom"
        ) == [descriptor(artifacts[0])]

        # pyreg's own join them.
        own = manifest(wire, "team/app", "own", image)
        assert descriptor(own) in wire.referrers("team/app", sha256(image))
    pyreg.stop()

    # Back to the Docker registry, which adds one behind pyreg's back: `pyreg reindex` finds it.
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        late = manifest(wire, "team/app", "late", image)
        assert wire.manifest("team/app", sha256(own))[1] == own
    go.stop()
    reindex(root)
    pyreg = start_registry(root=root)
    with Wire(pyreg.url) as wire:
        listed = wire.referrers("team/app", sha256(image))
        assert sorted(each["digest"] for each in listed) == sorted(
            sha256(body) for body in (*artifacts, own, late)
        )


def test_the_fallback_tag_is_read(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter
) -> None:
    """Clients of registries without the endpoint keep an index under a tag made of the digest.

    OCI distribution specification, "Referrers Tag Schema".
    """
    root = short_dir / "shared"
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        image = manifest(wire, "team/app", "image")
        artifact = manifest(wire, "team/app", "sbom", image)
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(artifact)]}
        tag = sha256(image).replace(":", "-")
        wire.put_manifest("team/app", tag, json.dumps(index).encode(), OCI_INDEX)
    go.stop()

    pyreg = start_registry(root=root)
    with Wire(pyreg.url) as wire:
        assert wire.referrers("team/app", sha256(image)) == [descriptor(artifact)]
        # And older clients, which ask for the tag, still find it.
        assert json.loads(wire.manifest("team/app", tag)[1]) == index
