"""containerd's `ctr`: an image imported, pushed, forgotten and pulled, whole and by platform."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import Layout, platforms_image, small_image, tarball
from tests.fixtures.wire import Wire, sha256
from tests.servers.registries import Registry

NATIVE = ("--snapshotter", "native")


def archived(layout: Layout) -> bytes:
    """A layout as the tar archive that `ctr images import` takes."""
    return tarball(
        {
            str(path.relative_to(layout.directory)): path.read_bytes()
            for path in sorted(layout.directory.rglob("*"))
            if path.is_file()
        }
    )


def contents(ctr: Client, digest: str) -> bytes:
    """The bytes that containerd's content store holds for a digest."""
    return subprocess.run(
        [*ctr.argv, "content", "get", digest], check=True, capture_output=True
    ).stdout


def forget(ctr: Client, name: str, layout: Layout) -> None:
    """Remove an image; afterwards the content store has none of its blobs."""
    ctr("images", "rm", "--sync", name)
    left = set(ctr("content", "ls", "--quiet").split())
    assert not left & set(layout.blobs)


@pytest.mark.parametrize("make", [small_image, platforms_image])
def test_push_and_pull(
    ctr: Client,
    registry: Registry,
    wire: Wire,
    tmp_path: Path,
    make: Callable[..., tuple[Layout, dict[str, str]]],
) -> None:
    layout, image = make(tmp_path / "src", ("ctr", make.__name__), "v1")
    repository = f"ctr/{make.__name__.replace('_', '-')}"
    name = f"{registry.address}/{repository}:v1"
    (tmp_path / "image.tar").write_bytes(archived(layout))
    ctr(
        "images", "import", "--no-unpack", "--all-platforms",
        "--base-name", f"{registry.address}/{repository}", tmp_path / "image.tar",
    )  # fmt: skip
    ctr("images", "push", "--plain-http", name)
    assert wire.tree(repository, "v1") == layout.blobs
    assert wire.tree(repository, image["digest"]) == layout.blobs

    forget(ctr, name, layout)
    ctr("images", "pull", "--plain-http", "--all-platforms", *NATIVE, name)
    for digest, data in layout.blobs.items():
        assert sha256(contents(ctr, digest)) == sha256(data) == digest
    tagged = f"{registry.address}/{repository}:second"
    ctr("images", "tag", name, tagged)
    ctr("images", "push", "--plain-http", tagged)
    assert wire.tree(repository, "second") == layout.blobs
    assert wire.tags(repository) == ["second", "v1"]
    ctr("images", "rm", "--sync", name, tagged)
