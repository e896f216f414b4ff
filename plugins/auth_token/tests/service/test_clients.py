"""Real clients, and a real server of two workers with users, a policy and a token service.

ann may push and pull below `ann/`, everybody may pull below `public/`, where ann may push.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import noise, small_image, tarball
from tests.fixtures.programs import absent, require
from tests.servers.process import until
from tests.servers.registries import Registry, start_pyreg

PASSWORD = "correct horse: battery staple"
RULES = [
    {"repositories": ["{user}/**", "public/**"], "allow": ["pull", "push"], "to": ["user:ann"]},
    {"repositories": ["public/**"], "allow": ["pull"], "to": ["everybody"]},
]


@pytest.fixture
def registry(keys: Path, tmp_path: Path, short_dir: Path) -> Iterator[Registry]:
    """`pyreg serve` with htpasswd, policy and tokenservice."""
    users = tmp_path / "htpasswd"
    subprocess.run(
        [require("htpasswd"), "-cbB", "-C", "5", str(users), "ann", PASSWORD],
        check=True,
        capture_output=True,
    )
    auth = {
        "htpasswd": {"realm": "users", "path": str(users)},
        "policy": {"rules": RULES},
        "tokenservice": {"keys": str(keys)},
    }
    started = start_pyreg(short_dir, config={"auth": auth})
    yield started
    started.stop()


def log_of(registry: Registry) -> str:
    assert registry.process is not None
    return registry.process.log()


@pytest.fixture
def no_password_on_the_way(registry: Registry) -> Any:
    """No client may need to send its password to the registry: it gets tokens, and uses them."""
    yield
    text = log_of(registry)
    assert "/auth/token" in text
    assert PASSWORD not in text


def image(docker: Client, name: str) -> str:
    rootfs = tarball({"bin/noise": noise(100_000, name)})
    docker("import", "-", name, stdin=rootfs)
    return docker("image", "inspect", "--format", "{{.Id}}", name).strip()


@pytest.mark.usefixtures("no_password_on_the_way")
def test_docker(docker: Client, registry: Registry) -> None:
    ours, public = f"{registry.address}/ann/app:v1", f"{registry.address}/public/app:v1"
    image_id = image(docker, public)
    docker("tag", public, ours)
    docker.refused("push", public)

    complaint = docker.refused("login", "-u", "ann", "-p", "guess", registry.address)
    assert "unauthorized" in complaint, complaint
    docker("login", "-u", "ann", "-p", PASSWORD, registry.address)
    stored = json.loads((Path(docker.env["HOME"]) / "config.json").read_text())
    entry = stored["auths"][registry.address]
    assert entry["identitytoken"].startswith("pyreg-refresh."), "and no password"
    for name in (ours, public):
        docker("push", name)
        docker("rmi", "--force", name)
        docker("pull", name)
        assert docker("image", "inspect", "--format", "{{.Id}}", name).strip() == image_id
    docker.refused("push", f"{registry.address}/bob/app:v1")

    docker("logout", registry.address)
    docker("rmi", "--force", ours, public)
    docker("pull", public)  # without a login
    complaint = docker.refused("pull", ours)
    assert "denied" in complaint or "unauthorized" in complaint, complaint
    complaint = docker.refused("push", public)
    assert "denied" in complaint or "unauthorized" in complaint, complaint
    docker("rmi", "--force", public)


@pytest.mark.usefixtures("no_password_on_the_way")
def test_podman(podman: Client, registry: Registry) -> None:
    plain = "--tls-verify=false"
    ours, public = f"{registry.address}/ann/app:v1", f"{registry.address}/public/app:v1"
    podman("import", "--quiet", "-", ours, stdin=tarball({"a": noise(1000, "podman")}))
    podman("tag", ours, public)
    podman.refused("push", "--quiet", plain, public)
    complaint = podman.refused("login", plain, "-u", "ann", "-p", "guess", registry.address)
    assert "invalid username/password" in complaint, complaint
    podman("login", plain, "-u", "ann", "-p", PASSWORD, registry.address)
    for name in (ours, public):
        podman("push", "--quiet", plain, name)
        podman("rmi", "--force", name)
        podman("pull", "--quiet", plain, name)
    podman("logout", registry.address)
    podman("rmi", "--force", ours, public)
    podman("pull", "--quiet", plain, public)
    podman.refused("pull", "--quiet", plain, ours)
    podman("rmi", "--force", public)


@pytest.mark.usefixtures("no_password_on_the_way")
def test_skopeo(skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    layout, image = small_image(tmp_path / "src", "token service")
    into, plain, creds = "--dest-tls-verify=false", "--tls-verify=false", f"ann:{PASSWORD}"
    ours, public = (f"docker://{registry.address}/{name}:v1" for name in ("ann/app", "public/app"))
    skopeo.refused("copy", into, layout.source("v1"), public)
    skopeo.refused("copy", into, "--dest-creds", "ann:guess", layout.source("v1"), ours)
    for name in (ours, public):
        skopeo("copy", into, "--dest-creds", creds, layout.source("v1"), name)
    found = json.loads(skopeo("inspect", plain, "--creds", creds, ours))
    assert found["Digest"] == image["digest"]
    assert json.loads(skopeo("inspect", plain, "--no-creds", public))["Digest"] == image["digest"]
    skopeo.refused("inspect", plain, "--no-creds", ours)
    skopeo.refused("delete", plain, "--creds", creds, ours)  # which the policy does not give
    # From one repository into another, with blobs mounted.
    skopeo(
        "copy", into, "--src-tls-verify=false", "--src-creds", creds, "--dest-creds", creds,
        ours, f"docker://{registry.address}/ann/copy:v1",
    )  # fmt: skip


@pytest.mark.usefixtures("no_password_on_the_way")
def test_containerd(ctr: Client, registry: Registry, tmp_path: Path) -> None:
    layout, _ = small_image(tmp_path / "src", "ctr with tokens", "v1")
    archive = tarball(
        {
            str(path.relative_to(layout.directory)): path.read_bytes()
            for path in sorted(layout.directory.rglob("*"))
            if path.is_file()
        }
    )
    (tmp_path / "image.tar").write_bytes(archive)
    hosts = tmp_path / "hosts" / registry.address.replace(":", "_") / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text(
        f'server = "{registry.url}"\n[host."{registry.url}"]\n'
        'capabilities = ["pull", "resolve", "push"]\n'
    )
    for repository in ("ann/app", "public/app"):
        name = f"{registry.address}/{repository}:v1"
        ctr(
            "images", "import", "--no-unpack", "--all-platforms",
            "--base-name", name.rpartition(":")[0], tmp_path / "image.tar",
        )  # fmt: skip
        user = ("--user", f"ann:{PASSWORD}")
        ctr.refused("images", "push", "--plain-http", name)
        ctr.refused("images", "push", "--plain-http", "--user", "ann:guess", name)
        ctr("images", "push", "--plain-http", *user, name)
        ctr("images", "rm", "--sync", name)
        ctr("images", "pull", "--plain-http", "--snapshotter", "native", *user, name)
        ctr("images", "rm", "--sync", name)
        pull = ("images", "pull", "--hosts-dir", tmp_path / "hosts", "--snapshotter", "native")
        if repository == "public/app":
            ctr(*pull, name)
            ctr("images", "rm", "--sync", name)
        else:
            ctr.refused(*pull, name)
        ctr(*pull, *user, name)
        ctr("images", "rm", "--sync", name)


def test_oras(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It pulls with tokens. To push it has to send the password itself.

    Its token backend keeps the token of its first request, which is one to pull, and asks for no
    other when the registry says that the scope is insufficient.
    """
    if importlib.util.find_spec("oras") is None:
        absent("the ORAS client is not installed: pip install oras")
    kind = importlib.import_module("oras.client").OrasClient
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "notes.txt").write_text("made here\n")
    ours, public = (f"{registry.address}/{name}:v1" for name in ("ann/notes", "public/notes"))

    def client(backend: str, *credentials: str) -> Any:
        made = kind(insecure=True, tls_verify=False, auth_backend=backend)
        if credentials:
            made.auth.set_basic_auth(*credentials)
        return made

    for target in (ours, public):
        ann = client("basic", "ann", PASSWORD)
        assert (
            ann.push(target=target, files=["notes.txt:text/plain"], quiet=True).status_code == 201
        )
        ann = client("token", "ann", PASSWORD)
        assert ann.pull(target=target, outdir=str(tmp_path / "out"))
    assert client("token").pull(target=public, outdir=str(tmp_path / "again"))
    with pytest.raises(ValueError, match="manifests/v1"):
        client("token").pull(target=ours, outdir=str(tmp_path / "again"))


def test_two_workers_share_the_keys(
    registry: Registry, keys: Path, command: Callable[..., Any]
) -> None:
    """Tokens of one are good at the other; a new key is known before it signs, at both."""

    def token() -> str:
        answer = httpx.get(f"{registry.url}/auth/token", auth=("ann", PASSWORD), trust_env=False)
        assert answer.status_code == 200
        return str(answer.json()["token"])

    def accepted(text: str) -> set[int]:
        # Each request has a connection of its own, so that both workers are asked.
        return {
            httpx.get(
                f"{registry.url}/v2/", headers={"Authorization": f"Bearer {text}"}, trust_env=False
            ).status_code
            for _ in range(12)
        }

    tokens = [token() for _ in range(6)]
    assert all(accepted(text) == {200} for text in tokens)
    assert command("rotate", keys, "--delay", "4").exit_code == 0

    def published() -> bool:
        found = httpx.get(f"{registry.url}/auth/keys", trust_env=False).json()["keys"]
        return len(found) == 2

    until(published, seconds=20, what="the new key to be published")
    newest = json.loads(command("list", keys, "--json").output)[0]["kid"]

    def signs() -> bool:
        return bool(jwt.get_unverified_header(token())["kid"] == newest)

    until(signs, seconds=30, what="the new key to sign")
    assert accepted(token()) == {200}
    assert accepted(tokens[0]) == {200}


def test_a_missing_directory_is_told_with_the_command_that_makes_it(
    tmp_path: Path, start_registry: Callable[..., Registry]
) -> None:
    missing = tmp_path / "none"
    with pytest.raises(AssertionError) as failure:
        start_registry(config={"auth": {"tokenservice": {"keys": str(missing)}}})
    assert f"pyreg token-keys init {missing}" in str(failure.value)
    assert "Traceback" not in str(failure.value)
