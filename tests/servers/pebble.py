"""Pebble: Let's Encrypt's ACME authority for tests, which Debian packages."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers.process import Process, free_port

EAB_KEYS = {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
"""Keys of external accounts, by their identifiers; base64url."""


@dataclass
class Pebble:
    """An authority that answers, and the name server that it asks.

    It finds every host at 127.0.0.1. What it signed is forgotten when it ends; what stays is its
    address and its own certificate.

    Attributes:
        url: Its directory, for `directoryurl`.
        root: The certificate that it is itself trusted by, for `cacertificate`.
        proofs: The port of 127.0.0.1 where it looks for proofs of every kind.
    """

    url: str
    root: Path
    proofs: int
    management: str
    process: Process
    names: Process

    def start(self) -> None:
        """Start both."""
        if not self.names.alive:
            self.names.start()
        self.process.start()

    def stop(self) -> None:
        """Stop both."""
        for process in (self.process, self.names):
            if process.alive:
                process.kill()

    def issuers(self) -> str:
        """The root that it signs with, as PEM; a new one at each start."""
        context = ssl.create_default_context(cafile=self.root)
        return httpx.get(f"{self.management}/roots/0", verify=context, trust_env=False).text

    def log(self) -> str:
        """What it has written so far."""
        return self.process.log()

    @property
    def accounts(self) -> int:
        """How many accounts it knows."""
        return max(map(int, re.findall(r"There are now (\d+) accounts", self.log())), default=0)

    @property
    def issued(self) -> int:
        """How many certificates it has signed for orders."""
        return len(re.findall(r"Issued certificate serial", self.log()))


def pebble(
    program: str,
    directory: Path,
    *,
    proofs: int,
    binding: bool = False,
    lifetime: int = 90 * 86400,
    bad_nonces: int = 5,
    config: Mapping[str, Any] | None = None,
) -> Pebble:
    """An authority, not started yet.

    Args:
        program: The path of `pebble`; `pebble-challtestsrv` is beside it.
        directory: For its files and logs.
        proofs: The port of 127.0.0.1 where it looks for proofs.
        binding: Whether it wants accounts to be bound to one of `EAB_KEYS`.
        lifetime: Of its certificates, in seconds.
        bad_nonces: Of 100 good nonces it rejects so many, to see what clients make of it.
        config: Merged into its configuration.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port, management, dns, dns_management = (free_port() for _ in range(4))
    root = certify(directory)
    settings = directory / "pebble.json"
    settings.write_text(
        json.dumps(
            {
                "pebble": {
                    "listenAddress": f"127.0.0.1:{port}",
                    "managementListenAddress": f"127.0.0.1:{management}",
                    "certificate": str(root),
                    "privateKey": str(directory / "key.pem"),
                    "httpPort": proofs,
                    "tlsPort": proofs,
                    "ocspResponderURL": "",
                    "externalAccountBindingRequired": binding,
                    "externalAccountMACKeys": EAB_KEYS,
                    "certificateValidityPeriod": lifetime,
                    "retryAfter": {"authz": 1, "order": 1},
                    **(config or {}),
                }
            }
        )
    )
    names = Process(
        "pebble-challtestsrv",
        [
            f"{program}-challtestsrv",
            *("-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""),
            *("-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}"),
            *("-http01", "", "-https01", "", "-tlsalpn01", ""),
        ],
        directory,
        ready=lambda: _listens(dns_management),
    )
    url = f"https://127.0.0.1:{port}/dir"
    process = Process(
        "pebble",
        [program, "-config", str(settings), "-dnsserver", f"127.0.0.1:{dns}"],
        directory,
        ready=lambda: _answers(url, root),
        env={
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(bad_nonces),
            "PEBBLE_AUTHZREUSE": "0",
        },
    )
    return Pebble(url, root, proofs, f"https://127.0.0.1:{management}", process, names)


def certify(directory: Path) -> Path:
    """The certificate of an authority's own server at 127.0.0.1; `key.pem` is beside it."""
    path = directory / "root.pem"
    if path.exists():
        return path
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pebble")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _answers(url: str, root: Path) -> bool:
    try:
        context = ssl.create_default_context(cafile=root)
        return httpx.get(url, verify=context, timeout=2.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=2.0, trust_env=False)
    except httpx.TransportError:
        return False
    return True
