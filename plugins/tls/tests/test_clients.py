"""Real clients behind TLS: with an authority of one's own, and with certificates of their own."""

from __future__ import annotations

import importlib
import importlib.util
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from plugins.tls.tests.conftest import hears
from tests.fixtures.client import Client
from tests.fixtures.images import noise, small_image, tarball
from tests.fixtures.programs import absent
from tests.server.authorities import Authority
from tests.server.encrypted import start
from tests.servers.registries import Registry

Trusting = Callable[..., ssl.SSLContext]


@pytest.fixture(scope="module", params=["certificate", "no certificate"])
def asks(request: pytest.FixtureRequest) -> bool:
    """Whether the registry asks for certificates."""
    return bool(request.param == "certificate")


@pytest.fixture(scope="module")
def registry(
    workshop: Path, material: Path, pair: dict[str, str], asks: bool
) -> Iterator[Registry]:
    """A registry that speaks TLS, and may ask for certificates and know clients by them."""
    tls = {**pair, "clientcas": [str(material / "ca.pem")]} if asks else pair
    auth: dict[str, object] = {"auth": {"certificate": {}}} if asks else {}
    found = start(workshop / f"tls-{asks}", tls, config=auth)
    hears(found, "serving on https")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def certs(workshop: Path, material: Path, authority: Authority, asks: bool) -> Path:
    """A directory as docker and podman know it: ca.crt, and maybe client.cert and client.key."""
    directory = workshop / f"certs-{asks}"
    directory.mkdir()
    (directory / "ca.crt").write_bytes((material / "ca.pem").read_bytes())
    if asks:
        client = authority.client("ci")
        (directory / "client.cert").write_bytes(client.pem)
        (directory / "client.key").write_bytes(client.key_pem())
    return directory


@pytest.fixture(scope="module")
def empty(workshop: Path, asks: bool) -> Path:
    """Such a directory with nothing in it."""
    directory = workshop / f"empty-{asks}"
    directory.mkdir()
    return directory


def test_podman(podman: Client, registry: Registry, certs: Path, empty: Path) -> None:
    name = f"{registry.address}/podman/app:v1"
    podman("import", "--quiet", "-", name, stdin=tarball({"noise": noise(50_000, "podman tls")}))
    told = podman.refused("push", "--quiet", "--cert-dir", empty, name)
    assert "certificate" in told
    podman("push", "--quiet", "--cert-dir", certs, name)
    podman("rmi", "--force", name)
    podman("pull", "--quiet", "--cert-dir", certs, name)
    podman("rmi", "--force", name)


def test_skopeo(
    skopeo: Client, registry: Registry, certs: Path, empty: Path, tmp_path: Path
) -> None:
    layout, image = small_image(tmp_path / "src", "skopeo tls")
    name = f"docker://{registry.address}/skopeo/app:v1"
    assert "certificate" in skopeo.refused(
        "copy", "--dest-cert-dir", empty, layout.source("v1"), name
    )
    skopeo("copy", "--dest-cert-dir", certs, layout.source("v1"), name)
    shown = skopeo("inspect", "--cert-dir", certs, name)
    assert json.loads(shown)["Digest"] == image["digest"]


def test_containerd(
    ctr: Client, registry: Registry, certs: Path, asks: bool, tmp_path: Path
) -> None:
    """With a directory of `hosts.toml` files, as `config_path` names one."""
    layout, _ = small_image(tmp_path / "src", "ctr tls", "v1")
    name = f"{registry.address}/ctr/app:v1"
    place = tmp_path / "hosts" / registry.address
    place.mkdir(parents=True)
    lines = [
        f'server = "https://{registry.address}"',
        f'[host."https://{registry.address}"]',
    ]
    hosts_toml = place / "hosts.toml"
    hosts_toml.write_text("\n".join(lines) + "\n")
    files = {
        str(path.relative_to(layout.directory)): path.read_bytes()
        for path in sorted(layout.directory.rglob("*"))
        if path.is_file()
    }
    (tmp_path / "image.tar").write_bytes(tarball(files))
    ctr(
        "images", "import", "--no-unpack", "--base-name", f"{registry.address}/ctr/app",
        tmp_path / "image.tar",
    )  # fmt: skip
    hosts = ("--hosts-dir", tmp_path / "hosts")
    assert "certificate" in ctr.refused("images", "push", *hosts, name)
    lines.append(f'  ca = "{certs}/ca.crt"')
    if asks:
        lines.append(f'  client = [["{certs}/client.cert", "{certs}/client.key"]]')
    hosts_toml.write_text("\n".join(lines) + "\n")
    ctr("images", "push", *hosts, name)
    ctr("images", "rm", "--sync", name)
    ctr("images", "pull", *hosts, "--snapshotter", "native", name)
    ctr("images", "rm", "--sync", name)


def test_oras(
    registry: Registry,
    material: Path,
    asks: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if importlib.util.find_spec("oras") is None:
        absent("the ORAS client is not installed: pip install oras")
    if asks:
        pytest.skip("the ORAS client for Python has no option for certificates of clients")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(material / "ca.pem"))
    (tmp_path / "file").write_bytes(b"artifact")
    target = f"{registry.address}/oras/artifact:v1"
    client = importlib.import_module("oras.client").OrasClient(insecure=False)
    assert client.push(target=target, files=["file"], quiet=True).status_code == 201
    [pulled] = client.pull(target=target, outdir=str(tmp_path / "out"))
    assert Path(pulled).read_bytes() == b"artifact"


def test_curl(registry: Registry, certs: Path, asks: bool) -> None:
    argv = ["curl", "-sS", "--cacert", str(certs / "ca.crt"), f"https://{registry.address}/v2/"]
    if asks:
        assert subprocess.run(argv, capture_output=True, check=False).returncode != 0
        argv += ["--cert", str(certs / "client.cert"), "--key", str(certs / "client.key")]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == b"{}"


def test_httpx(
    registry: Registry, asks: bool, authority: Authority, trusting: Trusting, tmp_path: Path
) -> None:
    client = authority.client("ci") if asks else None
    context = trusting(client, tmp_path)
    answer = httpx.get(f"https://{registry.address}/v2/_catalog", verify=context, trust_env=False)
    assert answer.status_code == 200
