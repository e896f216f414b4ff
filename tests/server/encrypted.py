"""Registries that speak TLS: pyreg, and the Docker registry with the same `http.tls`."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.servers.process import Process, free_port
from tests.servers.registries import Registry, configuration, merged


def start(
    directory: Path,
    tls: Mapping[str, Any],
    *,
    program: str | None = None,
    config: Mapping[str, Any] | None = None,
    verify: ssl.SSLContext | None = None,
    env: Mapping[str, str] | None = None,
    workers: int = 2,
) -> Registry:
    """Start a registry with TLS on a free port of 127.0.0.1.

    Args:
        directory: For its log, its configuration and its data.
        tls: The section `http.tls`.
        program: The path of `docker-registry`; None starts pyreg.
        config: Merged into the usual configuration.
        verify: How to find out whether it answers; None takes a connection for an answer.
        env: Added to the environment.
        workers: How many processes of pyreg.
    """
    directory.mkdir(parents=True, exist_ok=True)
    root = directory / "data"
    root.mkdir(exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    name = "docker-registry" if program else "pyreg"
    path = directory / f"{name}.yml"
    whole = merged(configuration(root, address), {"http": {"tls": tls}})
    path.write_text(json.dumps(merged(whole, config or {}), indent=2))
    pyreg = [sys.executable, "-m", "pyreg.cli", "serve", "--workers", str(workers)]
    argv = [program, "serve"] if program else pyreg
    process = Process(
        name,
        [*argv, str(path)],
        directory,
        ready=lambda: speaks_tls(address, verify),
        # With this variable set the Docker registry's S3 client panics at its start.
        env={"AWS_CA_BUNDLE": "", **(env or {})} if program else env,
    )
    process.start()
    return Registry(address, root, process, pyreg=program is None)


def speaks_tls(address: str, verify: ssl.SSLContext | None = None) -> bool:
    """Whether somebody shakes hands there, whatever they then want of a client."""
    context = verify or unverified()
    try:
        httpx.get(f"https://{address}/v2/", verify=context, trust_env=False, timeout=2.0)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        return "certificate required" in str(error) or "bad certificate" in str(error)
    except httpx.TransportError:
        return True  # TLS 1.3 tells a client that it wants a certificate after the handshake
    return True


def unverified() -> ssl.SSLContext:
    """A client's context that takes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
