"""What the tests of certificates from an authority share."""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pyreg_tls.acme import LetsEncrypt
from pyreg_tls.acme.answers import private_pem
from tests.fixtures.programs import require
from tests.servers.pebble import Pebble, pebble
from tests.servers.process import free_port

HOST = "registry.example.com"
FRONT = Path(__file__).with_name("front.py")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def front() -> ModuleType:
    """The module `front`, beside this one."""
    spec = importlib.util.spec_from_file_location("acme_front", FRONT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start_pebble(tmp_path: Path) -> Iterator[Callable[..., Pebble]]:
    """Starts an authority; arguments as for `tests.servers.pebble.pebble`."""
    program = require("pebble")
    started: list[Pebble] = []

    def start(**kwargs: Any) -> Pebble:
        kwargs.setdefault("proofs", free_port())
        made = pebble(program, tmp_path / f"pebble{len(started)}", **kwargs)
        started.append(made)
        made.start()
        return made

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., LetsEncrypt]:
    """Makes options for an authority: one host, a directory of the test's own."""

    def make(authority: Pebble, **kwargs: Any) -> LetsEncrypt:
        return LetsEncrypt(
            **{
                "cachefile": str(tmp_path / "certificates"),
                "hosts": (HOST,),
                "directoryurl": authority.url,
                "cacertificate": str(authority.root),
                **kwargs,
            }
        )

    return make


def signed(
    host: str = HOST,
    *,
    begins: float,
    ends: float,
    key: ec.EllipticCurvePrivateKey | None = None,
    issuer: bool = True,
) -> bytes:
    """A private key and a self-signed certificate, in one file as the Docker registry keeps them.

    Args:
        host: What it is for.
        begins: Seconds since the epoch.
        ends: Likewise.
        key: The certificate's; the file gets another one if this is given.
        issuer: Whether the certificate says by which key it was signed.
    """
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(x509.random_serial_number())
        .public_key((key or own).public_key())
        .not_valid_before(datetime.datetime.fromtimestamp(begins, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(ends, datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key((key or own).public_key())
        builder = builder.add_extension(identifier, critical=False)
    certificate = builder.sign(key or own, hashes.SHA256())
    return private_pem(own) + certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(name="signed")
def _signed() -> Callable[..., bytes]:
    return signed
