"""Debian's Docker registry takes the tokens of pyreg's token service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.client import Client
from tests.fixtures.images import small_image
from tests.fixtures.programs import require
from tests.servers.registries import start_docker_registry, start_pyreg

PASSWORD = "secret of ann"
SERVICE = "the registry of docker"


@pytest.fixture
def issuer(keys: Path, short_dir: Path) -> Iterator[str]:
    """The address of a token service for another registry."""
    users = short_dir / "htpasswd"
    command = [require("htpasswd"), "-cbB", "-C", "5", str(users), "ann", PASSWORD]
    subprocess.run(command, check=True, capture_output=True)
    auth = {
        "htpasswd": {"realm": "users", "path": str(users)},
        "tokenservice": {"keys": str(keys), "service": SERVICE, "issuer": "pyreg here"},
    }
    registry = start_pyreg(short_dir / "issuer", config={"auth": auth})
    yield f"{registry.url}/auth/token"
    registry.stop()


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
    auth = {
        "token": {
            "realm": issuer,
            "service": SERVICE,
            "issuer": "pyreg here",
            "rootcertbundle": str(bundle),
        }
    }
    registry = start_docker_registry(docker_registry, short_dir / "go", config={"auth": auth})
    url = registry.url

    def verdict(*scope: str) -> int:
        answer = httpx.get(issuer, params={"scope": scope}, auth=("ann", PASSWORD), trust_env=False)
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        return httpx.get(f"{url}/v2/a/tags/list", headers=headers, trust_env=False).status_code

    assert verdict("repository:a:pull") == 404, "allowed, and not there"
    assert verdict("repository:b:pull") == 401
    assert verdict() == 401

    layout, image = small_image(short_dir / "image", "interop")
    name, creds = f"docker://{registry.address}/a:v1", f"ann:{PASSWORD}"
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", creds, layout.source("v1"), name)
    found = json.loads(skopeo("inspect", "--tls-verify=false", "--creds", creds, name))
    assert found["Digest"] == image["digest"]
    skopeo.refused("inspect", "--tls-verify=false", "--creds", "ann:guess", name)
    skopeo.refused("inspect", "--tls-verify=false", "--no-creds", name)
    skopeo("delete", "--tls-verify=false", "--creds", creds, name)
    registry.stop()
