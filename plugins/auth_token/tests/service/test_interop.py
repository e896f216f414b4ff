"""Debian's Docker registry takes the tokens of pyreg's token service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import small_image
from tests.fixtures.programs import require
from tests.servers.process import Process, answers, free_port
from tests.servers.registries import configuration

PASSWORD = "secret of ann"
SERVICE = "the registry of docker"


def serve(argv: list[str], directory: Path, name: str, port: int, auth: dict[str, Any]) -> Process:
    directory.mkdir()
    settings = directory / "config.yml"
    document = {**configuration(directory / "data", f"127.0.0.1:{port}"), "auth": auth}
    settings.write_text(json.dumps(document))
    process = Process(
        name,
        [*argv, str(settings)],
        directory,
        ready=lambda: answers(f"http://127.0.0.1:{port}/"),
        env={"AWS_CA_BUNDLE": ""},
    )
    process.start()
    return process


@pytest.fixture
def issuer(keys: Path, short_dir: Path) -> Iterator[str]:
    """The address of a token service for another registry."""
    users = short_dir / "htpasswd"
    command = [require("htpasswd"), "-cbB", "-C", "5", str(users), "ann", PASSWORD]
    subprocess.run(command, check=True, capture_output=True)
    port = free_port()
    auth = {
        "htpasswd": {"realm": "users", "path": str(users)},
        "tokenservice": {"keys": str(keys), "service": SERVICE, "issuer": "pyreg here"},
    }
    argv = [sys.executable, "-m", "pyreg.cli", "serve", "--workers", "2"]
    process = serve(argv, short_dir / "issuer", "pyreg", port, auth)
    yield f"http://127.0.0.1:{port}/auth/token"
    assert process.stop() == 0


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_the_docker_registry_takes_the_tokens(
    issuer: str,
    keys: Path,
    short_dir: Path,
    skopeo: Client,
    command: Callable[..., Any],
    algorithm: str,
) -> None:
    docker_registry = require("docker-registry")
    if algorithm != "ES256":
        assert command("rotate", keys, "--delay", "0", "--algorithm", algorithm).exit_code == 0
    bundle = short_dir / "bundle.pem"
    assert command("export", keys, "--format", "pem", "--output", bundle).exit_code == 0
    port = free_port()
    auth = {
        "token": {
            "realm": issuer,
            "service": SERVICE,
            "issuer": "pyreg here",
            "rootcertbundle": str(bundle),
        }
    }
    process = serve([docker_registry, "serve"], short_dir / "go", "docker-registry", port, auth)
    url = f"http://127.0.0.1:{port}"

    def verdict(*scope: str) -> int:
        answer = httpx.get(issuer, params={"scope": scope}, auth=("ann", PASSWORD), trust_env=False)
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        return httpx.get(f"{url}/v2/a/tags/list", headers=headers, trust_env=False).status_code

    assert verdict("repository:a:pull") == 404, "allowed, and not there"
    assert verdict("repository:b:pull") == 401
    assert verdict() == 401

    layout, image = small_image(short_dir / "image", "interop")
    name, creds = f"docker://127.0.0.1:{port}/a:v1", f"ann:{PASSWORD}"
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", creds, layout.source("v1"), name)
    found = json.loads(skopeo("inspect", "--tls-verify=false", "--creds", creds, name))
    assert found["Digest"] == image["digest"]
    skopeo.refused("inspect", "--tls-verify=false", "--creds", "ann:guess", name)
    skopeo.refused("inspect", "--tls-verify=false", "--no-creds", name)
    skopeo("delete", "--tls-verify=false", "--creds", creds, name)
    process.stop()
