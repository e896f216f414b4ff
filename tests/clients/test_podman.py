"""podman: both manifest formats, compressions, and manifest lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import PLATFORMS, noise, platforms_image, tarball, unpacked
from tests.fixtures.wire import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Wire
from tests.servers.registries import Registry

PLAIN = "--tls-verify=false"
ZSTD = b"\x28\xb5\x2f\xfd"


def imported(podman: Client, name: str, seed: object) -> str:
    """Import an image of one layer under a name. Returns its id."""
    rootfs = tarball({"etc/issue": str(seed).encode(), "bin/noise": noise(200_000, seed)})
    podman("import", "--quiet", "-", name, stdin=rootfs)
    return podman("image", "inspect", "--format", "{{.Id}}", name).strip()


def pulled_again(podman: Client, name: str) -> str:
    """Remove an image and pull it. Returns its id, and removes it."""
    podman("rmi", "--force", name)
    podman.refused("image", "inspect", name)
    podman("pull", "--quiet", PLAIN, name)
    image_id = podman("image", "inspect", "--format", "{{.Id}}", name).strip()
    podman("rmi", "--force", name)
    return image_id


@pytest.mark.parametrize(
    ("format_", "media_type"), [("oci", OCI_MANIFEST), ("v2s2", DOCKER_MANIFEST)]
)
def test_push_and_pull(
    podman: Client, registry: Registry, wire: Wire, format_: str, media_type: str
) -> None:
    name = f"{registry.address}/podman/{format_}:v1"
    image_id = imported(podman, name, format_)
    podman("push", "--quiet", PLAIN, "--format", format_, name)

    stored_type, body = wire.manifest(f"podman/{format_}", "v1")
    assert stored_type == media_type
    document = json.loads(body)
    tree = wire.tree(f"podman/{format_}", "v1")
    config = json.loads(tree[document["config"]["digest"]])
    assert [unpacked(tree[each["digest"]]) for each in document["layers"]] == config["rootfs"][
        "diff_ids"
    ]
    assert pulled_again(podman, name) == document["config"]["digest"].partition(":")[2]
    if format_ == "oci":
        assert document["config"]["digest"] == f"sha256:{image_id}"


def test_layers_compressed_with_zstd(podman: Client, registry: Registry, wire: Wire) -> None:
    name = f"{registry.address}/podman/zstd:v1"
    image_id = imported(podman, name, "zstd")
    podman("push", "--quiet", PLAIN, "--compression-format", "zstd", name)
    document = json.loads(wire.manifest("podman/zstd", "v1")[1])
    tree = wire.tree("podman/zstd", "v1")
    assert [each["mediaType"].rpartition("+")[2] for each in document["layers"]] == ["zstd"]
    assert all(tree[each["digest"]].startswith(ZSTD) for each in document["layers"])
    assert pulled_again(podman, name) == image_id


@pytest.mark.parametrize(
    ("format_", "list_type", "media_type"),
    [("oci", OCI_INDEX, OCI_MANIFEST), ("v2s2", DOCKER_LIST, DOCKER_MANIFEST)],
)
def test_manifest_list(
    podman: Client,
    registry: Registry,
    wire: Wire,
    tmp_path: Path,
    format_: str,
    list_type: str,
    media_type: str,
) -> None:
    layout, index = platforms_image(tmp_path / "src", ("podman", format_))
    tags = {}
    for child in json.loads(layout.blobs[index["digest"]])["manifests"]:
        tags[child["platform"]["architecture"]] = child
    layout.save(**tags)
    listed = f"localhost/list-{format_}"
    podman("manifest", "create", listed)
    for architecture in tags:
        podman("manifest", "add", "--arch", architecture, listed, layout.source(architecture))
    name = f"{registry.address}/podman/list-{format_}:v1"
    podman(
        "manifest", "push", "--all", "--quiet", PLAIN, "--format", format_,
        listed, f"docker://{name}",
    )  # fmt: skip
    podman("manifest", "rm", listed)

    stored_type, body = wire.manifest(f"podman/list-{format_}", "v1")
    assert stored_type == list_type
    children = json.loads(body)["manifests"]
    assert {child["mediaType"] for child in children} == {media_type}
    assert {
        f"{child['platform']['os']}/{child['platform']['architecture']}" for child in children
    } == set(PLATFORMS)
    tree = wire.tree(f"podman/list-{format_}", "v1")
    if format_ == "oci":
        assert set(layout.blobs) - {index["digest"]} <= set(tree)

    # The platform of this machine, or another when asked.
    podman("pull", "--quiet", PLAIN, "--arch", "s390x", name)
    shown = json.loads(podman("image", "inspect", name))[0]
    assert shown["Architecture"] == "s390x"
    podman("rmi", "--force", name)


def test_build_and_push(podman: Client, registry: Registry, wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY data /data\nENV A=b\n")
    (tmp_path / "data").write_bytes(noise(150_000, "podman build"))
    name = f"{registry.address}/podman/built:v1"
    podman("build", "--quiet", "--isolation", "chroot", "--network", "host", "-t", name, tmp_path)
    image_id = podman("image", "inspect", "--format", "{{.Id}}", name).strip()
    podman("push", "--quiet", PLAIN, name)
    assert f"sha256:{image_id}" in wire.tree("podman/built", "v1")
    assert pulled_again(podman, name) == image_id
