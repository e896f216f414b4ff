"""Certificates that change while the registry runs."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from plugins.tls.tests.conftest import Start, hears
from tests.server.authorities import Authority, put
from tests.servers.process import until
from tests.servers.registries import Registry

CLIENTS = 64
MIB = 1 << 20

Trusting = Callable[..., ssl.SSLContext]


def shown(registry: Registry, trusting: Trusting) -> int:
    """The serial number of the certificate that a new client sees."""
    host, _, port = registry.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        trusting().wrap_socket(plain, server_hostname=host) as sock,
    ):
        der = sock.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def all_see(registry: Registry, trusting: Trusting, serial: int) -> None:
    """Wait until every worker shows a certificate: twenty new clients in a row see it."""
    until(
        lambda: {shown(registry, trusting) for _ in range(20)} == {serial},
        seconds=30,
        what="the new certificate",
    )


def push(registry: Registry, context: ssl.SSLContext, data: bytes) -> str:
    """Push a blob. Returns its path."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with httpx.Client(verify=context, trust_env=False, timeout=60) as client:
        url = f"https://{registry.address}/v2/renewal/blobs"
        answer = client.post(f"{url}/uploads/", params={"digest": digest}, content=data)
        assert answer.status_code == 201, answer.text
    return f"/v2/renewal/blobs/{digest}"


def test_a_renewal_under_running_pulls(
    serve: Start, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    def issue() -> tuple[dict[str, str], int]:
        issued = authority.issue(names=["127.0.0.1"])
        return issued.save(tmp_path, "server"), issued.certificate.serial_number

    tls, serial = issue()
    registry = serve(tls)
    data = os.urandom(8 * MIB)
    path = push(registry, trusting(), data)
    assert shown(registry, trusting) == serial
    begun = threading.Barrier(CLIENTS + 1)
    renewed = threading.Event()
    failures: list[BaseException] = []

    def pull() -> None:
        try:
            with (
                httpx.Client(verify=trusting(), trust_env=False, timeout=60) as client,
                client.stream("GET", f"https://{registry.address}{path}") as answer,
            ):
                pieces = answer.iter_raw(MIB)
                received = next(pieces)
                begun.wait(60)
                assert renewed.wait(60)
                assert received + b"".join(pieces) == data
        except BaseException as error:
            failures.append(error)
            begun.abort()

    threads = [threading.Thread(target=pull) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    for _ in range(3):
        _, serial = issue()
        all_see(registry, trusting, serial)
    renewed.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


def test_half_a_renewal_leaves_the_old_one_in_force(
    serve: Start, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    old, new = (authority.issue(names=["127.0.0.1"]) for _ in range(2))
    tls = old.save(tmp_path, "server")
    certificate, key = Path(tls["certificate"]), Path(tls["key"])
    registry = serve(tls)
    put(certificate, new.pem)
    hears(registry, "is not the key of the certificate", count=2)
    hears(registry, "the old certificates stay in force", count=2)
    assert shown(registry, trusting) == old.certificate.serial_number
    put(key, new.key_pem())
    all_see(registry, trusting, new.certificate.serial_number)

    put(certificate, b"")
    hears(registry, "has no certificate in PEM form", count=2)
    certificate.unlink()
    hears(registry, "no such file", count=2)
    assert shown(registry, trusting) == new.certificate.serial_number
    put(certificate, new.pem)
    hears(registry, "the certificates were read again", count=4)


def test_a_directory_that_is_swapped_as_kubernetes_does(
    serve: Start, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    """The files are symbolic links into a directory that is itself a link."""
    for name in ("one", "two"):
        authority.issue(names=["127.0.0.1"]).save(tmp_path / name, "tls")
    link = tmp_path / "..data"
    link.symlink_to("one")
    for name in ("tls.pem", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    registry = serve({"certificate": str(tmp_path / "tls.pem"), "key": str(tmp_path / "tls.key")})
    new = x509.load_pem_x509_certificate((tmp_path / "two" / "tls.pem").read_bytes())
    assert shown(registry, trusting) != new.serial_number
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    all_see(registry, trusting, new.serial_number)


def test_a_new_authority_of_clients(
    serve: Start, pair: Mapping[str, str], tmp_path: Path, authority: Authority,
    stranger: Authority, trusting: Trusting,
) -> None:  # fmt: skip
    trusted = put(tmp_path / "ca.pem", authority.pem)
    registry = serve({"clientcas": [str(trusted)]})
    context = trusting(stranger.client("ann"), tmp_path)
    url = f"https://{registry.address}/v2/"
    with pytest.raises(httpx.TransportError):
        httpx.get(url, verify=context, trust_env=False)
    put(trusted, authority.pem + stranger.certificate.public_bytes(Encoding.PEM))
    hears(registry, "the certificates were read again", count=2)
    assert httpx.get(url, verify=context, trust_env=False).status_code == 200
