"""pyreg and the Docker registry take turns on one directory, at one address.

Each is stopped before the other starts, as in a migration, and in one that is called off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import noise, platforms_image, small_image, tarball
from tests.fixtures.wire import OCI_MANIFEST, Wire, sha256
from tests.servers.registries import Registry

Starter = Callable[..., Registry]
INTO = "--dest-tls-verify=false"
FROM = "--src-tls-verify=false"


class Turns:
    """One directory and one address, served by either registry.

    Args:
        root: The directory.
        pyreg: Starts pyreg.
        go: Starts the Docker registry.
    """

    def __init__(self, root: Path, pyreg: Starter, go: Starter) -> None:
        self.root = root
        self.starters = {"pyreg": pyreg, "go": go}
        self.now: Registry | None = None

    def serve(self, who: str, **options: Any) -> tuple[Registry, Wire]:
        """Stop whoever serves, start this one in its place; options as for `start_pyreg`."""
        address = None
        if self.now is not None:
            address = self.now.address
            assert self.now.process is not None
            if self.now.process.alive:
                self.now.stop()
        self.now = self.starters[who](root=self.root, address=address, **options)
        return self.now, Wire(self.now.url)


@pytest.fixture
def turns(short_dir: Path, start_registry: Starter, start_go_registry: Starter) -> Turns:
    return Turns(short_dir / "shared", start_registry, start_go_registry)


def test_go_writes_pyreg_goes_on(turns: Turns, skopeo: Client, tmp_path: Path) -> None:
    single, image = small_image(tmp_path / "single", "go single")
    multi, _ = platforms_image(tmp_path / "multi", "go multi")
    go, wire = turns.serve("go")
    for tag in ("v1", "v2", "same"):
        skopeo("copy", INTO, single.source("v1"), f"docker://{go.address}/team/single:{tag}")
    skopeo("copy", "--all", INTO, multi.source("multi"), f"docker://{go.address}/multi:multi")
    stored = {
        name: wire.manifest(name, tag) for name, tag in (("team/single", "v1"), ("multi", "multi"))
    }

    pyreg, wire = turns.serve("pyreg")
    assert wire.catalog() == ["multi", "team/single"]
    assert wire.tags("team/single") == ["same", "v1", "v2"]
    assert wire.tree("team/single", "v1") == single.blobs
    assert wire.tree("multi", "multi") == multi.blobs
    assert wire.manifest("team/single", "v1") == stored["team/single"]
    assert wire.manifest("multi", "multi") == stored["multi"]

    # Deletes of everything that the other one wrote: a tag, a manifest, a blob.
    assert wire.http.delete("/v2/team/single/manifests/v2").status_code == 202
    assert wire.tags("team/single") == ["same", "v1"]
    assert wire.tree("team/single", "v1") == single.blobs
    assert wire.http.delete(f"/v2/team/single/manifests/{image['digest']}").status_code == 202
    assert wire.tags("team/single") == []
    assert wire.status(f"team/single/manifests/{image['digest']}") == 404
    layer = json.loads(single.blobs[image["digest"]])["layers"][0]["digest"]
    assert wire.http.delete(f"/v2/team/single/blobs/{layer}").status_code == 202
    assert wire.status(f"team/single/blobs/{layer}") == 404

    # And goes on: a new image beside what is left, an old tag moved.
    more, _ = small_image(tmp_path / "more", "pyreg adds")
    for name in ("team/single:v3", "multi:multi", "new/one:v1"):
        skopeo("copy", INTO, more.source("v1"), f"docker://{pyreg.address}/{name}")
    assert wire.tree("team/single", "v3") == more.blobs
    assert wire.tree("multi", "multi") == more.blobs
    assert wire.catalog() == ["multi", "new/one", "team/single"]


def test_pyreg_writes_and_deletes_go_serves(turns: Turns, skopeo: Client, tmp_path: Path) -> None:
    single, image = small_image(tmp_path / "single", "pyreg single")
    gone, gone_image = small_image(tmp_path / "gone", "pyreg gone")
    multi, index = platforms_image(tmp_path / "multi", "pyreg multi")
    pyreg, wire = turns.serve("pyreg")
    at = f"docker://{pyreg.address}"
    for tag in ("v1", "v2", "untagged"):
        skopeo("copy", INTO, single.source("v1"), f"{at}/team/single:{tag}")
    skopeo("copy", INTO, gone.source("v1"), f"{at}/team/single:gone")
    skopeo("copy", "--all", INTO, multi.source("multi"), f"{at}/multi:multi")
    skopeo("copy", "--format", "v2s2", INTO, single.source("v1"), f"{at}/docker/format:v1")
    mounted = json.loads(single.blobs[image["digest"]])["layers"][0]["digest"]
    answer = wire.http.post(
        "/v2/mounted/here/blobs/uploads/", params={"mount": mounted, "from": "team/single"}
    )
    assert answer.status_code == 201
    assert wire.http.delete("/v2/team/single/manifests/untagged").status_code == 202
    assert wire.http.delete(f"/v2/team/single/manifests/{gone_image['digest']}").status_code == 202
    gone_layer = json.loads(gone.blobs[gone_image["digest"]])["layers"][0]["digest"]
    assert wire.http.delete(f"/v2/team/single/blobs/{gone_layer}").status_code == 202
    docker_tree = wire.tree("docker/format", "v1")

    go, wire = turns.serve("go")
    assert wire.tags("team/single") == ["v1", "v2"]
    assert wire.tree("team/single", "v1") == single.blobs
    assert wire.tree("team/single", image["digest"]) == single.blobs
    assert wire.tree("multi", index["digest"]) == multi.blobs
    assert wire.tree("docker/format", "v1") == docker_tree
    assert wire.blob("mounted/here", mounted) == single.blobs[mounted]
    assert {"docker/format", "multi", "team/single"} <= set(wire.catalog())
    assert wire.status("team/single/manifests/untagged") == 404
    assert wire.status("team/single/manifests/gone") == 404
    assert wire.status(f"team/single/manifests/{gone_image['digest']}") == 404
    assert wire.status(f"team/single/blobs/{gone_layer}") == 404

    # It writes to the repositories that pyreg made, and pyreg sees that again.
    more, _ = small_image(tmp_path / "more", "go adds")
    skopeo("copy", INTO, more.source("v1"), f"docker://{go.address}/team/single:v2")
    skopeo("copy", INTO, more.source("v1"), f"docker://{go.address}/team/single:new")
    assert wire.http.delete(f"/v2/multi/manifests/{index['digest']}").status_code == 202
    _, wire = turns.serve("pyreg")
    assert wire.tags("team/single") == ["new", "v1", "v2"]
    assert wire.tree("team/single", "v2") == more.blobs
    assert wire.tree("team/single", "v1") == single.blobs
    assert wire.tags("multi") == []
    assert wire.status(f"multi/manifests/{index['digest']}") == 404


def test_the_docker_engine_does_not_notice(turns: Turns, docker: Client) -> None:
    names: dict[str, str] = {}
    for who in ("go", "pyreg", "go"):
        registry, wire = turns.serve(who)
        for name, image_id in names.items():
            docker("pull", name)
            assert docker("image", "inspect", "--format", "{{.Id}}", name).strip() == image_id
            docker("rmi", "--force", name)
        name = f"{registry.address}/engine:{len(names)}"
        rootfs = tarball({"noise": noise(100_000, ("engine", len(names)))})
        docker("import", "-", name, stdin=rootfs)
        names[name] = docker("image", "inspect", "--format", "{{.Id}}", name).strip()
        docker("push", name)
        docker("rmi", "--force", name)
    assert wire.tags("engine") == ["0", "1", "2"]


def test_one_configuration_for_both(
    turns: Turns, skopeo: Client, short_dir: Path, tmp_path: Path
) -> None:
    """The file that Debian installs, and the environment over it; only the program changes."""
    settings = {
        "log": {"fields": {"service": "registry"}},
        "storage": {"cache": {"blobdescriptor": "inmemory"}},
        "http": {"headers": {"X-Content-Type-Options": ["nosniff"]}},
        "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
    }
    env = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(short_dir / "by environment"),
        "REGISTRY_HTTP_HEADERS_X-MADE-BY": "[environment]",
        "REGISTRY_STORAGE_DELETE_ENABLED": "false",
    }
    layout, image = small_image(tmp_path / "src", "one configuration")
    for number, who in enumerate(("go", "pyreg", "go", "pyreg")):
        registry, wire = turns.serve(who, config=settings, env=env)
        answer = wire.http.get("/v2/")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-made-by"] == "environment"
        skopeo("copy", INTO, layout.source("v1"), f"docker://{registry.address}/app:v{number}")
        for before in range(number + 1):
            assert wire.tree("app", f"v{before}") == layout.blobs
        refused = wire.http.delete(f"/v2/app/manifests/{image['digest']}")
        assert refused.status_code == 405
        assert refused.json()["errors"][0]["code"] == "UNSUPPORTED"
    assert list(turns.root.iterdir()) == [], "the environment goes before the file"


def test_the_trees_are_alike(
    start_registry: Starter, start_go_registry: Starter, skopeo: Client, tmp_path: Path
) -> None:
    single, _ = small_image(tmp_path / "single", "tree single")
    multi, _ = platforms_image(tmp_path / "multi", "tree multi")
    trees = []
    for start in (start_registry, start_go_registry):
        registry = start()
        at = f"docker://{registry.address}"
        skopeo("copy", INTO, single.source("v1"), f"{at}/team/single:v1")
        skopeo("copy", INTO, multi.source("multi"), f"{at}/team/single:v1")
        skopeo("copy", "--all", INTO, multi.source("multi"), f"{at}/multi:latest")
        assert registry.root is not None
        registry.stop()
        trees.append(files_below(registry.root))
    pyreg, go = trees
    additions = {path for path in set(pyreg) - set(go) if ignored_by_go(path)}
    assert {path: data for path, data in pyreg.items() if path not in additions} == go


def files_below(root: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def ignored_by_go(path: str) -> bool:
    """True for names that the Docker registry passes over; uploads must have left none."""
    known = {"_layers", "_manifests", "_uploads"}
    unknown = any(part.startswith("_") and part not in known for part in path.split("/"))
    return unknown or path.startswith("+pyreg/")


def test_sha512_blobs_of_the_docker_registry(turns: Turns) -> None:
    data = noise(70_000, "sha512")
    digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
    _, wire = turns.serve("go")
    wire.put_blob("alias/sha512", data, digest)
    [link] = (turns.root / "docker/registry/v2/repositories/alias/sha512/_layers/sha512").rglob(
        "link"
    )
    assert link.read_text() == sha256(data), "it no longer keeps an alias"

    _, wire = turns.serve("pyreg")
    assert wire.blob("alias/sha512", digest) == data
    assert wire.status(f"alias/sha512/blobs/{digest}") == 200
    assert wire.blob("alias/sha512", sha256(data)) == data
    config = wire.put_blob("alias/sha512", b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.example+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": digest, "size": len(data)}],
    }
    wire.put_manifest("alias/sha512", "v1", json.dumps(manifest).encode())
    assert wire.tree("alias/sha512", "v1")[digest] == data
