"""The ORAS Python client: artifacts of any kind, and artifacts attached to others."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.images import noise
from tests.fixtures.programs import absent
from tests.fixtures.wire import OCI_MANIFEST, Wire, sha256
from tests.servers.registries import Registry


@pytest.fixture
def client() -> Any:
    if importlib.util.find_spec("oras") is None:
        absent("the ORAS client is not installed: pip install oras")
    return importlib.import_module("oras.client").OrasClient(insecure=True, tls_verify=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; the client pushes files of nowhere else."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def push(client: Any, target: str, *files: str, **more: Any) -> str:
    """Push files as an artifact. Returns its digest."""
    answer = client.push(target=target, files=list(files), quiet=True, **more)
    assert answer.status_code == 201
    digest: str = answer.headers["docker-content-digest"]
    return digest


def test_push_and_pull(client: Any, registry: Registry, wire: Wire, here: Path) -> None:
    files = {"model.bin": noise(3_000_000, "oras"), "notes.txt": b"made here\n", "empty": b""}
    for name, data in files.items():
        (here / name).write_bytes(data)
    target = f"{registry.address}/oras/artifact:v1"
    digest = push(
        client, target, *(f"{name}:application/vnd.example.{name[:5]}" for name in files),
        manifest_annotations={"org.example.key": "value \u2713"},
    )  # fmt: skip
    media_type, body = wire.manifest("oras/artifact", "v1")
    assert (media_type, sha256(body)) == (OCI_MANIFEST, digest)
    document = json.loads(body)
    assert document["annotations"] == {"org.example.key": "value \u2713"}
    tree = wire.tree("oras/artifact", "v1")
    assert [tree[layer["digest"]] for layer in document["layers"]] == list(files.values())

    pulled = client.pull(target=target, outdir=str(here / "out"))
    assert {Path(path).name: Path(path).read_bytes() for path in pulled} == files
    assert client.get_tags(f"{registry.address}/oras/artifact") == ["v1"]


def test_chunked_push(client: Any, registry: Registry, wire: Wire, here: Path) -> None:
    (here / "large").write_bytes(noise(10_000_000, "chunked"))
    push(
        client, f"{registry.address}/oras/chunked:v1", "large",
        do_chunked=True, chunk_size=3_000_000,
    )  # fmt: skip
    [layer] = json.loads(wire.manifest("oras/chunked", "v1")[1])["layers"]
    assert wire.blob("oras/chunked", layer["digest"]) == noise(10_000_000, "chunked")


def test_tags_come_and_go(client: Any, registry: Registry, wire: Wire, here: Path) -> None:
    for tag in ("a", "b", "c"):
        (here / "file").write_text(f"for {tag}")
        push(client, f"{registry.address}/oras/tags:{tag}", "file")
    assert sorted(client.get_tags(f"{registry.address}/oras/tags")) == ["a", "b", "c"]
    # It asks for the digest, and deletes the manifest.
    client.delete_tag(f"{registry.address}/oras/tags", "b")
    assert wire.tags("oras/tags") == ["a", "c"]


def test_attached_artifacts_are_listed(
    client: Any, registry: Registry, wire: Wire, here: Path
) -> None:
    (here / "image").write_bytes(b"the image")
    target = f"{registry.address}/oras/subject"
    subject_digest = push(client, f"{target}:v1", "image")
    body = wire.manifest("oras/subject", "v1")[1]
    subject = importlib.import_module("oras.oci").Subject(
        mediaType=OCI_MANIFEST, digest=subject_digest, size=len(body)
    )
    attached = {}
    for kind in ("sbom", "signature"):
        (here / kind).write_bytes(f"the {kind}".encode())
        (here / f"{kind}.json").write_text("{}")
        media_type = f"application/vnd.example.{kind}"
        attached[media_type] = push(
            client, f"{target}:{kind}", f"{kind}:{media_type}",
            subject=subject,
            manifest_config=f"{here / kind}.json:{media_type}",
            manifest_annotations={"org.example.kind": kind},
        )  # fmt: skip
        assert json.loads(wire.manifest("oras/subject", kind)[1])["subject"] == {
            "mediaType": OCI_MANIFEST,
            "digest": subject_digest,
            "size": len(body),
        }
    if not registry.pyreg:
        return  # the Docker registry stores artifacts, and cannot list them

    # A manifest without `artifactType` goes by the media type of its configuration.
    listed = wire.referrers("oras/subject", subject_digest)
    assert {each["artifactType"]: each["digest"] for each in listed} == attached
    assert {each["annotations"]["org.example.kind"] for each in listed} == {"sbom", "signature"}
    chosen = wire.referrers(
        "oras/subject", subject_digest, artifactType="application/vnd.example.sbom"
    )
    assert [each["digest"] for each in chosen] == [attached["application/vnd.example.sbom"]]

    deleted = attached.pop("application/vnd.example.sbom")
    answer = wire.http.delete(f"/v2/oras/subject/manifests/{deleted}")
    assert answer.status_code == 202
    left = wire.referrers("oras/subject", subject_digest)
    assert {each["artifactType"]: each["digest"] for each in left} == attached
