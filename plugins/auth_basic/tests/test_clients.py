"""Real clients log in, push, pull and log out."""

from __future__ import annotations

import importlib
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from plugins.auth_basic.tests.conftest import lines, replace
from plugins.auth_basic.tests.guarded import guarded
from pyreg_auth_basic.hashes import make_hash
from tests.fixtures.client import Client
from tests.fixtures.images import noise, small_image, tarball
from tests.fixtures.programs import absent
from tests.servers.process import ServerDied, until
from tests.servers.registries import Registry

PASSWORD = 'grüße:☃ "quoted" $HOME'
PLAIN = "--tls-verify=false"


@pytest.fixture(scope="module")
def registry(workshop: Path) -> Iterator[Registry]:
    directory = workshop / "guarded"
    directory.mkdir()
    htpasswd = directory / "htpasswd"
    htpasswd.write_text(f"# tests\nann:{make_hash(PASSWORD, 'bcrypt')}\n")
    with guarded(directory, htpasswd) as registry:
        yield registry


def test_docker(docker: Client, registry: Registry) -> None:
    name = f"{registry.address}/docker/app:v1"
    docker("import", "-", name, stdin=tarball({"hello": b"hello"}))
    docker.refused("push", name)
    wrong = docker.run(
        "login", "--username", "ann", "--password-stdin", registry.address, stdin=b"wrong"
    )
    assert wrong.returncode != 0
    assert "unauthorized" in wrong.stderr.lower()
    docker(
        "login", "--username", "ann", "--password-stdin", registry.address,
        stdin=PASSWORD.encode(),
    )  # fmt: skip
    docker("push", name)
    docker("rmi", name)
    docker("pull", name)
    docker("rmi", name)
    docker("logout", registry.address)
    assert "basic auth" in docker.refused("pull", name).lower()


def test_podman(podman: Client, registry: Registry) -> None:
    name = f"{registry.address}/podman/app:v1"
    podman("import", "--quiet", "-", name, stdin=tarball({"noise": noise(50_000, "login")}))
    podman.refused("push", "--quiet", PLAIN, name)
    login = ("login", PLAIN, "--username", "ann", "--password-stdin", registry.address)
    wrong = podman.run(*login, stdin=b"wrong")
    assert "invalid username/password" in wrong.stderr
    podman(*login, stdin=PASSWORD.encode())
    podman("push", "--quiet", PLAIN, name)
    podman("rmi", "--force", name)
    podman("pull", "--quiet", PLAIN, name)
    podman("rmi", "--force", name)
    podman("logout", registry.address)
    podman.refused("pull", "--quiet", PLAIN, name)


def test_skopeo(skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    layout, image = small_image(tmp_path / "src", "skopeo login")
    name = f"docker://{registry.address}/skopeo/app:v1"
    copy = ("copy", "--dest-tls-verify=false", layout.source("v1"), name)
    assert "authentication required" in skopeo.refused(*copy)
    assert "authentication required" in skopeo.refused(*copy, "--dest-creds", "ann:wrong")
    skopeo(*copy, "--dest-creds", f"ann:{PASSWORD}")
    shown = skopeo("inspect", PLAIN, "--creds", f"ann:{PASSWORD}", name)
    assert json.loads(shown)["Digest"] == image["digest"]


def test_ctr(ctr: Client, skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    layout, _ = small_image(tmp_path / "src", "ctr login")
    name = f"{registry.address}/ctr/app:v1"
    skopeo(
        "copy", "--dest-tls-verify=false", "--dest-creds", f"ann:{PASSWORD}",
        layout.source("v1"), f"docker://{name}",
    )  # fmt: skip
    pull = ("images", "pull", "--plain-http", "--snapshotter", "native", "--user")
    ctr.refused(*pull, "ann:wrong", name)
    ctr(*pull, f"ann:{PASSWORD}", name)
    ctr("images", "push", "--plain-http", "--user", f"ann:{PASSWORD}", name)
    ctr("images", "rm", name)


def test_oras(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("oras") is None:
        absent("the ORAS client is not installed: pip install oras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "file").write_bytes(b"artifact")
    target = f"{registry.address}/oras/artifact:v1"

    # Its other way to authenticate asks for a token, whatever the challenge says.
    client = importlib.import_module("oras.client").OrasClient(
        insecure=True, tls_verify=False, auth_backend="basic"
    )
    client.auth.set_basic_auth("ann", PASSWORD)
    assert client.push(target=target, files=["file"], quiet=True).status_code == 201
    [pulled] = client.pull(target=target, outdir=str(tmp_path / "out"))
    assert Path(pulled).read_bytes() == b"artifact"


def test_a_file_that_changes_under_fire(workshop: Path) -> None:
    """In every worker: new users at once, old ones within a second, and all others all the time."""
    directory = workshop / "reload"
    directory.mkdir()
    htpasswd = directory / "htpasswd"
    kept = lines({"ann": "correct horse"})
    htpasswd.write_text(kept)
    failures: list[str] = []
    over = threading.Event()
    with guarded(directory, htpasswd) as registry:

        def status(user: str, password: str) -> int:
            # A new connection each time, so that both workers are asked.
            answer = httpx.get(
                f"{registry.url}/v2/", auth=httpx.BasicAuth(user, password), trust_env=False
            )
            return answer.status_code

        def fire() -> None:
            while not over.is_set() and not failures:
                if (found := status("ann", "correct horse")) != 200:
                    failures.append(f"ann: {found}")

        threads = [threading.Thread(target=fire) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(200):
                replace(htpasswd, kept + lines({f"user{number}": "x"}))
            assert [status("user199", "x") for _ in range(8)] == [200] * 8
            replace(htpasswd, kept)
            until(
                lambda: all(status("user199", "x") in (401, 429) for _ in range(8)),
                seconds=30,
                what="every worker to have seen the last change",
            )
            htpasswd.write_text("ann\n")
            told = f"{htpasswd}:1: no colon"
            assert registry.process is not None
            log: Callable[[], str] = registry.process.log
            until(lambda: log().count(told) == 2, seconds=30, what="both workers to complain")
            assert status("ann", "correct horse") == 200
            htpasswd.unlink()
            until(lambda: log().count("No such file") == 2, seconds=30, what="both to miss it")
            assert status("ann", "correct horse") == 200
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert not failures, failures[:5]
    for secret in ("correct horse", "$2b$", "Y29ycmVjdCBob3JzZQ"):
        assert secret not in log()


def test_too_many_failed_logins(workshop: Path) -> None:
    directory = workshop / "throttle"
    directory.mkdir()
    htpasswd = directory / "htpasswd"
    htpasswd.write_text(lines({"ann": "correct horse"}))
    with (
        guarded(directory, htpasswd, throttle={"failures": 5, "pause": "1h"}) as registry,
        httpx.Client(base_url=registry.url, trust_env=False) as client,
    ):
        answers = [client.get("/v2/", auth=("ann", f"guess {n}")) for n in range(12)]
        assert {each.status_code for each in answers[:5]} == {401}
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 3000


def test_without_a_file_the_server_says_what_to_do(workshop: Path) -> None:
    directory = workshop / "missing"
    with (
        pytest.raises(ServerDied, match=r"ended with 1(?s:.)*by: pyreg htpasswd"),
        guarded(directory, directory / "htpasswd"),
    ):
        pass
