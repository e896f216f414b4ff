"""buildah: an image from scratch, pushed in both formats and pulled again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import noise, unpacked
from tests.fixtures.wire import DOCKER_MANIFEST, OCI_MANIFEST, Wire
from tests.servers.registries import Registry

PLAIN = "--tls-verify=false"


@pytest.mark.parametrize(
    ("format_", "media_type"), [("oci", OCI_MANIFEST), ("docker", DOCKER_MANIFEST)]
)
def test_from_scratch(
    buildah: Client,
    registry: Registry,
    wire: Wire,
    tmp_path: Path,
    format_: str,
    media_type: str,
) -> None:
    name = f"{registry.address}/buildah/{format_}:v1"
    data = tmp_path / "data"
    data.write_bytes(noise(250_000, ("buildah", format_)))
    container = buildah("from", "scratch").strip()
    buildah("add", container, data, "/srv/data")
    buildah("config", "--env", "A=b", "--label", "made=here", container)
    buildah("commit", "--quiet", "--format", format_, "--rm", container, name)
    image_id = buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", name).strip()
    buildah("push", "--quiet", PLAIN, "--format", format_, name, f"docker://{name}")

    stored_type, body = wire.manifest(f"buildah/{format_}", "v1")
    assert stored_type == media_type
    document = json.loads(body)
    assert document["config"]["digest"] == f"sha256:{image_id}"
    tree = wire.tree(f"buildah/{format_}", "v1")
    config = json.loads(tree[f"sha256:{image_id}"])
    assert config["config"]["Labels"]["made"] == "here"
    layers = [unpacked(tree[each["digest"]]) for each in document["layers"]]
    assert layers == config["rootfs"]["diff_ids"]

    buildah("rmi", "--force", name)
    buildah.refused("inspect", "--type", "image", name)
    assert buildah("pull", "--quiet", PLAIN, name).split()[-1] == image_id
    container = buildah("from", name).strip()
    mounted = Path(buildah("mount", container).strip())
    assert (mounted / "srv" / "data").read_bytes() == data.read_bytes()
    buildah("umount", container)
    buildah("rm", container)
    buildah("rmi", "--force", name)
