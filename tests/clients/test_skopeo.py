"""skopeo: copies that must arrive byte for byte, between all the places that it knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import platforms_image, small_image, unpacked
from tests.fixtures.wire import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Wire, sha256
from tests.servers.registries import Registry

INTO = "--dest-tls-verify=false"
FROM = "--src-tls-verify=false"


@pytest.fixture
def at(registry: Registry) -> str:
    """The beginning of the name of every image in the registry."""
    return f"docker://{registry.address}/skopeo"


def test_an_image_arrives_byte_for_byte(
    skopeo: Client, at: str, wire: Wire, tmp_path: Path
) -> None:
    layout, image = small_image(tmp_path / "src", "copy")
    skopeo("copy", INTO, layout.source("v1"), f"{at}/copy:v1")
    assert wire.tree("skopeo/copy", "v1") == layout.blobs
    assert wire.tree("skopeo/copy", image["digest"]) == layout.blobs

    skopeo("copy", FROM, f"{at}/copy:v1", f"dir:{tmp_path}/back")
    back = {sha256(path.read_bytes()) for path in (tmp_path / "back").iterdir()}
    assert set(layout.blobs) <= back


@pytest.mark.parametrize(
    ("format_", "media_type"), [("oci", OCI_MANIFEST), ("v2s2", DOCKER_MANIFEST)]
)
def test_each_format_keeps_the_layers(
    skopeo: Client, at: str, wire: Wire, tmp_path: Path, format_: str, media_type: str
) -> None:
    layout, _ = small_image(tmp_path / "src", format_)
    skopeo("copy", "--format", format_, INTO, layout.source("v1"), f"{at}/format:{format_}")

    stored_type, body = wire.manifest("skopeo/format", format_)
    assert stored_type == media_type
    document = json.loads(body)
    assert document["mediaType"] == media_type
    tree = wire.tree("skopeo/format", format_)
    config = json.loads(tree[document["config"]["digest"]])
    layers = [tree[layer["digest"]] for layer in document["layers"]]
    assert [unpacked(layer) for layer in layers] == config["rootfs"]["diff_ids"]
    assert {sha256(layer) for layer in layers} <= set(layout.blobs)


def test_schema_1_is_refused_with_a_clear_message(
    skopeo: Client, registry: Registry, at: str, wire: Wire, tmp_path: Path
) -> None:
    layout, _ = small_image(tmp_path / "src", "v2s1")
    complaint = skopeo.refused(
        "copy", "--format", "v2s1", INTO, layout.source("v1"), f"{at}/old:v2s1"
    )
    assert "uploading manifest" in complaint
    if registry.pyreg:  # the Docker registry answers with a bare 500
        assert "schema 1" in complaint.lower(), complaint
    assert wire.tags("skopeo/old") == []


def test_an_index_and_all_its_platforms(
    skopeo: Client, at: str, wire: Wire, tmp_path: Path
) -> None:
    layout, index = platforms_image(tmp_path / "src", "index")
    skopeo("copy", "--all", INTO, layout.source("multi"), f"{at}/index:multi")
    assert wire.manifest("skopeo/index", "multi") == (OCI_INDEX, layout.blobs[index["digest"]])
    assert wire.tree("skopeo/index", "multi") == layout.blobs

    # One platform out of the index, as an engine on that platform would choose it.
    told = skopeo("inspect", "--override-arch", "arm64", "--tls-verify=false", f"{at}/index:multi")
    assert json.loads(told)["Architecture"] == "arm64"


def test_registry_to_registry(skopeo: Client, at: str, wire: Wire, tmp_path: Path) -> None:
    layout, _ = platforms_image(tmp_path / "src", "between")
    skopeo("copy", "--all", INTO, layout.source("multi"), f"{at}/from:multi")
    skopeo("copy", "--all", FROM, INTO, f"{at}/from:multi", f"{at}/to/deep/er:multi")
    assert wire.tree("skopeo/to/deep/er", "multi") == layout.blobs


def test_sync_out_and_in_again(
    skopeo: Client, registry: Registry, at: str, wire: Wire, tmp_path: Path
) -> None:
    trees = {}
    for tag in ("one", "two", "three"):
        layout, _ = small_image(tmp_path / tag, ("sync", tag), tag)
        skopeo("copy", INTO, layout.source(tag), f"{at}/sync:{tag}")
        trees[tag] = layout.blobs
    source = f"{registry.address}/skopeo/sync"
    out = tmp_path / "out"
    skopeo("sync", "--src", "docker", "--dest", "dir", FROM, source, out)
    assert {path.name for path in out.iterdir()} == {"sync:one", "sync:two", "sync:three"}

    skopeo("sync", "--src", "dir", "--dest", "docker", INTO, out, f"{registry.address}/synced")
    assert wire.tags("synced/sync") == ["one", "three", "two"]
    for tag, blobs in trees.items():
        assert wire.tree("synced/sync", tag) == blobs


def test_list_tags_and_inspect(skopeo: Client, at: str, tmp_path: Path) -> None:
    layout, image = small_image(tmp_path / "src", "look")
    for tag in ("b", "a", "latest"):
        skopeo("copy", INTO, layout.source("v1"), f"{at}/look:{tag}")
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"{at}/look"))
    assert sorted(listed["Tags"]) == ["a", "b", "latest"]

    told = json.loads(skopeo("inspect", "--tls-verify=false", f"{at}/look:a"))
    assert told["Digest"] == image["digest"]
    assert told["Env"] == ["PLATFORM=linux/amd64"]
    assert sorted(told["RepoTags"]) == ["a", "b", "latest"]

    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{at}/look:a")
    assert raw.encode() == layout.blobs[image["digest"]]
    config = skopeo("inspect", "--config", "--raw", "--tls-verify=false", f"{at}/look:a")
    assert sha256(config.encode()) in layout.blobs


def test_delete(skopeo: Client, at: str, wire: Wire, tmp_path: Path) -> None:
    kept, _ = small_image(tmp_path / "kept", "kept")
    gone, image = small_image(tmp_path / "gone", "gone")
    skopeo("copy", INTO, kept.source("v1"), f"{at}/delete:kept")
    for tag in ("gone", "gone-too"):
        skopeo("copy", INTO, gone.source("v1"), f"{at}/delete:{tag}")

    # It asks for the digest of the tag, and deletes that manifest with all its tags.
    skopeo("delete", "--tls-verify=false", f"{at}/delete:gone")
    assert wire.tags("skopeo/delete") == ["kept"]
    assert wire.status(f"skopeo/delete/manifests/{image['digest']}") == 404
    assert wire.tree("skopeo/delete", "kept") == kept.blobs
    complaint = skopeo.refused("inspect", "--tls-verify=false", f"{at}/delete:gone")
    assert "manifest unknown" in complaint


def test_unknown_things_are_told_apart(skopeo: Client, at: str) -> None:
    assert "manifest unknown" in skopeo.refused("inspect", "--tls-verify=false", f"{at}/no:such")
    assert "404" in skopeo.refused("list-tags", "--tls-verify=false", f"{at}/no")


def test_a_pushed_tag_moves(skopeo: Client, at: str, wire: Wire, tmp_path: Path) -> None:
    for number in range(3):
        layout, _ = small_image(tmp_path / f"{number}", ("move", number))
        skopeo("copy", INTO, layout.source("v1"), f"{at}/move:latest")
        assert wire.tree("skopeo/move", "latest") == layout.blobs
    assert wire.tags("skopeo/move") == ["latest"]


def test_a_blob_that_is_there_is_not_sent_again(
    skopeo: Client, at: str, wire: Wire, tmp_path: Path
) -> None:
    layout, image = small_image(tmp_path / "src", "again")
    skopeo("copy", INTO, layout.source("v1"), f"{at}/again:v1")
    skopeo("copy", INTO, layout.source("v1"), f"{at}/again:v2")
    assert wire.tree("skopeo/again", "v2") == layout.blobs
    # By digest: the way in which lock files name images.
    skopeo("copy", FROM, f"{at}/again@{image['digest']}", f"dir:{tmp_path}/back")
    assert (tmp_path / "back" / "manifest.json").read_bytes() == layout.blobs[image["digest"]]


def test_docker_archive(skopeo: Client, at: str, wire: Wire, tmp_path: Path) -> None:
    layout, _ = small_image(tmp_path / "src", "archive")
    archive = f"docker-archive:{tmp_path}/image.tar"
    skopeo("copy", layout.source("v1"), f"{archive}:name:v1")
    skopeo("copy", INTO, archive, f"{at}/archive:v1")
    tree = wire.tree("skopeo/archive", "v1")
    document = json.loads(wire.manifest("skopeo/archive", "v1")[1])
    config = json.loads(tree[document["config"]["digest"]])
    layers = [unpacked(tree[layer["digest"]]) for layer in document["layers"]]
    assert layers == config["rootfs"]["diff_ids"]
