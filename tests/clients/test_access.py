"""Pull without a login and push with one, by passwords alone: what each client makes of it.

Clients learn from the ping (`GET /v2/`) whether to log in, and they ping alike before a pull and
before a push. These tests show what they do then, and so why a policy asks for a login at the
ping unless it is told otherwise.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import noise, small_image, tarball
from tests.fixtures.programs import absent, require
from tests.fixtures.wire import OCI_MANIFEST, Wire, sha256
from tests.servers.registries import Registry, start_pyreg

PASSWORD = "it is ann"
CREDENTIALS = f"ann:{PASSWORD}"
PLAIN = "--tls-verify=false"
RULES = [
    {"repositories": "public/**", "allow": "pull", "to": "anonymous"},
    {"repositories": ["public/**", "{user}/**"], "allow": "push", "to": "user:ann"},
]


@contextmanager
def guarded(directory: Path, **policy: Any) -> Iterator[Registry]:
    """A registry of two workers with one user, and a policy."""
    directory.mkdir()
    users = directory / "htpasswd"
    make = [require("htpasswd"), "-cbB", "-C", "5", str(users), "ann", PASSWORD]
    subprocess.run(make, check=True, capture_output=True)
    auth = {
        "htpasswd": {"realm": "users", "path": str(users)},
        "policy": {"rules": RULES, **policy},
    }
    registry = start_pyreg(directory, config={"auth": auth})
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def registry(workshop: Path) -> Iterator[Registry]:
    """As a policy is without further ado: the ping asks for a login."""
    with guarded(workshop / "access") as registry:
        yield registry


@pytest.fixture(scope="module")
def pinged(workshop: Path) -> Iterator[Registry]:
    """With `anonymousping`."""
    with guarded(workshop / "pinged", anonymousping=True) as registry:
        yield registry


@pytest.fixture(params=["asks", "lets pass"])
def either(request: pytest.FixtureRequest) -> Registry:
    """Each of the two, by what its ping does."""
    name = "registry" if request.param == "asks" else "pinged"
    found: Registry = request.getfixturevalue(name)
    return found


def pushed(registry: Registry, repository: str, directory: Path) -> dict[str, bytes]:
    """Push an image by plain HTTP, as ann. Returns its blobs, by digest."""
    layout, image = small_image(directory, repository)
    manifest = layout.blobs[image["digest"]]
    with Wire(registry.url) as wire:
        wire.http.auth = httpx.BasicAuth("ann", PASSWORD)
        for data in layout.blobs.values():
            if data != manifest:
                wire.put_blob(repository, data)
        wire.put_manifest(repository, "v1", manifest, OCI_MANIFEST)
    return layout.blobs


def stored(registry: Registry, repository: str) -> dict[str, bytes]:
    """The image in the registry, as a stranger sees it."""
    with Wire(registry.url) as wire:
        return wire.tree(repository, "v1")


def loaded(docker: Client, name: str) -> None:
    docker("import", "-", name, stdin=tarball({"noise": noise(50_000, name)}))


def test_docker_where_the_ping_asks(docker: Client, registry: Registry) -> None:
    """It pushes after a login, and does not pull without one."""
    name = f"{registry.address}/public/docker:v1"
    loaded(docker, name)
    assert "no basic auth credentials" in docker.refused("push", name)
    docker.refused("login", "-u", "ann", "-p", "wrong", registry.address)
    docker("login", "-u", "ann", "-p", PASSWORD, registry.address)
    docker("push", name)
    assert stored(registry, "public/docker")
    docker("rmi", "--force", name)
    docker("pull", name)
    docker("logout", registry.address)
    assert "no basic auth credentials" in docker.refused("pull", name)
    docker("rmi", "--force", name)


def test_docker_where_the_ping_lets_pass(docker: Client, pinged: Registry, tmp_path: Path) -> None:
    """It pulls without a login, and believes that none is needed to push."""
    name = f"{pinged.address}/public/docker:v1"
    pushed(pinged, "public/docker", tmp_path)
    docker("pull", name)
    docker("login", "-u", "ann", "-p", PASSWORD, pinged.address)
    assert "unauthorized" in docker.refused("push", name)
    docker("logout", pinged.address)
    docker("rmi", "--force", name)


def test_podman_pushes_where_the_ping_asks(podman: Client, registry: Registry) -> None:
    name = f"{registry.address}/public/podman:v1"
    podman("import", "--quiet", "-", name, stdin=tarball({"noise": noise(50_000, "podman")}))
    podman.refused("push", "--quiet", PLAIN, name)
    login = ("login", PLAIN, "--username", "ann", "--password-stdin", registry.address)
    assert podman.run(*login, stdin=b"wrong").returncode != 0
    podman(*login, stdin=PASSWORD.encode())
    podman("push", "--quiet", PLAIN, name)
    podman("logout", registry.address)
    podman("rmi", "--force", name)
    assert stored(registry, "public/podman")


def pulled_by_podman(podman: Client, registry: Registry, directory: Path) -> None:
    pushed(registry, "public/pulled", directory)
    name = f"{registry.address}/public/pulled:v1"
    podman("pull", "--quiet", PLAIN, name)
    podman("rmi", "--force", name)


def test_podman_pulls_where_the_ping_lets_pass(
    podman: Client, pinged: Registry, tmp_path: Path
) -> None:
    pulled_by_podman(podman, pinged, tmp_path)


def test_podman_pulls_where_the_ping_asks(
    podman: Client, registry: Registry, tmp_path: Path
) -> None:
    pulled_by_podman(podman, registry, tmp_path)


def copied_by_skopeo(skopeo: Client, registry: Registry, directory: Path) -> None:
    blobs = pushed(registry, "public/skopeo", directory / "src")
    name = f"docker://{registry.address}/public/skopeo:v1"
    skopeo("copy", "--src-tls-verify=false", name, f"dir:{directory}/back")
    back = {sha256(path.read_bytes()) for path in (directory / "back").iterdir()}
    assert set(blobs) <= back


def test_skopeo_pulls_where_the_ping_lets_pass(
    skopeo: Client, pinged: Registry, tmp_path: Path
) -> None:
    copied_by_skopeo(skopeo, pinged, tmp_path)
    name = f"docker://{pinged.address}/ann/skopeo:v1"
    assert "unauthorized" in skopeo.refused("inspect", PLAIN, name)


def test_skopeo_pulls_where_the_ping_asks(
    skopeo: Client, registry: Registry, tmp_path: Path
) -> None:
    copied_by_skopeo(skopeo, registry, tmp_path)


def test_skopeo_pushes_where_the_ping_asks(
    skopeo: Client, registry: Registry, tmp_path: Path
) -> None:
    layout, _ = small_image(tmp_path / "src", "pushed by skopeo")
    name = f"docker://{registry.address}/ann/skopeo:v1"
    copy = ("copy", "--dest-tls-verify=false", layout.source("v1"), name)
    skopeo.refused(*copy)
    skopeo(*copy, "--dest-creds", CREDENTIALS)
    skopeo("inspect", PLAIN, "--creds", CREDENTIALS, name)
    complaint = skopeo.refused(
        *copy[:-1], name.replace("ann/", "bob/"), "--dest-creds", CREDENTIALS
    )
    assert "denied" in complaint, complaint


def test_containerd_needs_no_ping(ctr: Client, either: Registry, tmp_path: Path) -> None:
    layout, _ = small_image(tmp_path / "src", ("access", either.address))
    (tmp_path / "image.tar").write_bytes(
        tarball(
            {
                str(path.relative_to(layout.directory)): path.read_bytes()
                for path in sorted(layout.directory.rglob("*"))
                if path.is_file()
            }
        )
    )
    base = f"{either.address}/public/ctr"
    ctr("images", "import", "--no-unpack", "--base-name", base, tmp_path / "image.tar")
    push = ("images", "push", "--plain-http")
    assert "401" in ctr.refused(*push, f"{base}:v1")
    ctr(*push, "--user", CREDENTIALS, f"{base}:v1")
    assert stored(either, "public/ctr") == layout.blobs
    ctr("images", "rm", "--sync", f"{base}:v1")
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{base}:v1")
    ctr("images", "rm", "--sync", f"{base}:v1")


def test_oras_needs_no_ping(
    either: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("oras") is None:
        absent("the ORAS client is not installed: pip install oras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "file").write_bytes(b"artifact")
    target = f"{either.address}/public/oras:v1"
    oras = importlib.import_module("oras.client").OrasClient
    ann = oras(insecure=True, tls_verify=False, auth_backend="basic")
    ann.auth.set_basic_auth("ann", PASSWORD)
    assert ann.push(target=target, files=["file"], quiet=True).status_code == 201
    stranger = oras(insecure=True, tls_verify=False, auth_backend="basic")
    [pulled] = stranger.pull(target=target, outdir=str(tmp_path / "out"))
    assert Path(pulled).read_bytes() == b"artifact"
