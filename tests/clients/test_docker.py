"""The Docker engine: images that it imports and builds itself, pushed and pulled."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import noise, tarball, unpacked, write_tarball
from tests.fixtures.wire import DOCKER_MANIFEST, Wire
from tests.servers.registries import Registry

SOAK_MIB = int(os.environ.get("PYREG_SOAK_MIB", "2048"))


@dataclass(frozen=True)
class Engine:
    """The Docker engine and the registry, as these tests use them together."""

    docker: Client
    wire: Wire
    address: str

    def name(self, repository: str, tag: str = "v1") -> str:
        """An image's name in the registry."""
        return f"{self.address}/{repository}:{tag}"

    def id(self, name: str) -> str:
        """The image's id, the digest of its configuration."""
        return self.docker("image", "inspect", "--format", "{{.Id}}", name).strip()

    def forget(self, *names: str) -> None:
        """Remove images; afterwards the engine has none of their layers left."""
        self.docker("rmi", "--force", *names)
        for name in names:
            self.docker.refused("image", "inspect", name)

    def check(self, repository: str, tag: str, image_id: str) -> dict[str, bytes]:
        """The registry must hold exactly the image with this id. Returns all its parts."""
        media_type, body = self.wire.manifest(repository, tag)
        assert media_type == DOCKER_MANIFEST
        document = json.loads(body)
        assert document["config"]["digest"] == image_id
        tree = self.wire.tree(repository, tag)
        config = json.loads(tree[image_id])
        layers = [unpacked(tree[layer["digest"]]) for layer in document["layers"]]
        assert layers == config["rootfs"]["diff_ids"]
        return tree


@pytest.fixture
def engine(docker: Client, wire: Wire, registry: Registry) -> Engine:
    return Engine(docker, wire, registry.address)


def imported(engine: Engine, name: str, seed: object) -> str:
    """Import an image of one layer under a name. Returns its id."""
    rootfs = tarball({"etc/issue": str(seed).encode(), "bin/noise": noise(200_000, seed)})
    engine.docker("import", "--change", 'CMD ["/bin/noise"]', "-", name, stdin=rootfs)
    return engine.id(name)


def test_import_push_pull(engine: Engine) -> None:
    name = engine.name("docker/imported")
    image_id = imported(engine, name, "imported")
    engine.docker("push", name)
    engine.check("docker/imported", "v1", image_id)

    engine.forget(name)
    engine.docker("pull", name)
    assert engine.id(name) == image_id
    engine.forget(name)


def test_build_push_pull(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY one /one\n"
        "COPY two /deep/er/two\n"
        "ENV GREETING=hello\n"
        "LABEL org.example.made=here\n"
        'ENTRYPOINT ["/one"]\n'
    )
    (tmp_path / "one").write_bytes(noise(300_000, "one"))
    (tmp_path / "two").write_bytes(b"")
    name = engine.name("docker/built")
    engine.docker("build", "--network", "none", "--tag", name, tmp_path)
    image_id = engine.id(name)
    engine.docker("push", name)
    tree = engine.check("docker/built", "v1", image_id)
    assert json.loads(tree[image_id])["config"]["Env"][-1] == "GREETING=hello"

    engine.forget(name)
    engine.docker("pull", name)
    assert engine.id(name) == image_id
    engine.forget(name)


def test_two_tags_and_a_second_repository(engine: Engine) -> None:
    first = engine.name("docker/first", "v1")
    image_id = imported(engine, first, "two tags")
    engine.docker("push", first)
    # The second tag sends a manifest only; the second repository has its layers mounted.
    others = [engine.name("docker/first", "stable"), engine.name("docker/second/copy", "v1")]
    for other in others:
        engine.docker("tag", first, other)
        engine.docker("push", other)
    assert engine.wire.tags("docker/first") == ["stable", "v1"]
    tree = engine.check("docker/first", "v1", image_id)
    assert engine.check("docker/first", "stable", image_id) == tree
    assert engine.check("docker/second/copy", "v1", image_id) == tree
    engine.forget(first, *others)


def test_all_tags_at_once(engine: Engine) -> None:
    tags = [f"t{number}" for number in range(5)]
    ids = {tag: imported(engine, engine.name("docker/all", tag), tag) for tag in tags}
    engine.docker("push", "--all-tags", f"{engine.address}/docker/all")
    assert engine.wire.tags("docker/all") == tags
    for tag in tags:
        engine.check("docker/all", tag, ids[tag])
        engine.forget(engine.name("docker/all", tag))
    engine.docker("pull", "--all-tags", f"{engine.address}/docker/all")
    for tag in tags:
        assert engine.id(engine.name("docker/all", tag)) == ids[tag]
        engine.forget(engine.name("docker/all", tag))


def test_pull_by_digest(engine: Engine) -> None:
    name = engine.name("docker/digest")
    image_id = imported(engine, name, "by digest")
    pushed = engine.docker("push", name)
    digest = pushed.rpartition("digest: ")[2].split()[0]
    engine.forget(name)
    engine.docker("pull", f"{engine.address}/docker/digest@{digest}")
    assert engine.id(f"{engine.address}/docker/digest@{digest}") == image_id
    engine.docker("rmi", "--force", image_id)


def test_an_unknown_image_is_told(engine: Engine) -> None:
    complaint = engine.docker.refused("pull", engine.name("docker/nobody"))
    assert "manifest unknown" in complaint or "not found" in complaint, complaint


@pytest.mark.parametrize(
    "mebibytes", [64, pytest.param(SOAK_MIB, marks=pytest.mark.soak, id=f"{SOAK_MIB}-soak")]
)
def test_a_large_layer(engine: Engine, short_dir: Path, mebibytes: int) -> None:
    name = engine.name(f"docker/large{mebibytes}")
    write_tarball(short_dir / "rootfs.tar", "noise", mebibytes)
    engine.docker("import", short_dir / "rootfs.tar", name, seconds=900)
    (short_dir / "rootfs.tar").unlink()
    image_id = engine.id(name)
    engine.docker("push", name, seconds=1800)

    document = json.loads(engine.wire.manifest(f"docker/large{mebibytes}", "v1")[1])
    assert document["config"]["digest"] == image_id
    [layer] = document["layers"]
    size = engine.wire.blob_size(f"docker/large{mebibytes}", layer["digest"])
    assert size == layer["size"] > mebibytes << 20

    engine.forget(name)
    engine.docker("pull", name, seconds=1800)
    assert engine.id(name) == image_id
    engine.forget(name)
