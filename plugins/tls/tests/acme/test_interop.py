"""The Docker registry goes on with what pyreg has left."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pyreg_tls.acme import Acme, LetsEncrypt
from tests.fixtures.programs import require
from tests.servers.pebble import Pebble
from tests.servers.process import Process, free_port

pytestmark = pytest.mark.anyio

HOST = "registry.example.com"


async def test_the_docker_registry_serves_the_certificate(
    start_pebble: Callable[..., Pebble],
    options: Callable[..., LetsEncrypt],
    front: ModuleType,
    tmp_path: Path,
) -> None:
    """It reads the file itself: the network that it could ask for another one is not there."""
    program = require("docker-registry")
    authority = start_pebble()
    acme = Acme(options(authority))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        async with asyncio.timeout(60):
            while not acme.files[0].exists():
                await asyncio.sleep(0.02)
        await acme.stop()
    port = free_port()
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "tls": {
                "letsencrypt": {
                    "cachefile": str(acme.files[0].parent),
                    "email": "ada@example.com",
                    "hosts": [HOST],
                }
            },
        },
    }
    path = tmp_path / "config.yml"
    path.write_text(json.dumps(config))
    context = ssl.create_default_context(cadata=authority.issuers())

    def trusted() -> bool:
        try:
            sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            return False
        with sock, context.wrap_socket(sock, server_hostname=HOST) as tls:
            return tls.version() is not None

    process = Process(
        "docker-registry",
        [program, "serve", str(path)],
        tmp_path,
        ready=trusted,
        env={"HTTPS_PROXY": "http://127.0.0.1:9", "AWS_CA_BUNDLE": ""},
    )
    process.start()
    process.stop()
