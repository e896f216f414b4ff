"""Mutual TLS: every mode and every kind of certificate, beside the Docker registry."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from plugins.tls.tests.conftest import Start, hears
from tests.fixtures.programs import require
from tests.server.authorities import DAY, SERVER, Authority, Issued, put
from tests.server.encrypted import start

MODES = {
    # What is refused.
    "request-client-cert": (),
    "require-any-client-cert": ("none",),
    "verify-client-cert-if-given": ("foreign", "expired", "early", "server"),
    "require-and-verify-client-cert": ("none", "foreign", "expired", "early", "server"),
}

Trusting = Callable[..., ssl.SSLContext]


@pytest.fixture(scope="module")
def clients(authority: Authority, stranger: Authority) -> dict[str, Issued | None]:
    """Clients of every kind."""
    return {
        "none": None,
        "good": authority.client("ann"),
        "foreign": stranger.client("ann"),
        "expired": authority.client("ann", begins=-2 * DAY, ends=-DAY),
        "early": authority.client("ann", begins=DAY),
        "server": authority.issue("ann", usage=SERVER),
    }


def answers(address: str, context: ssl.SSLContext) -> bool:
    """Whether a client with this context gets an answer."""
    try:
        answer = httpx.get(f"https://{address}/v2/", verify=context, trust_env=False)
    except httpx.TransportError:
        return False
    assert answer.status_code == 200
    return True


@pytest.mark.parametrize("mode", MODES)
def test_modes(
    serve: Start,
    material: Path,
    mode: str,
    clients: dict[str, Issued | None],
    trusting: Trusting,
    tmp_path: Path,
) -> None:
    registry = serve({"clientcas": [str(material / "ca.pem")], "clientauth": mode})
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for name, client in clients.items():
            context = trusting(client, tmp_path)
            context.maximum_version = version
            taken = answers(registry.address, context)
            assert taken is (name not in MODES[mode]), f"{name}, {version.name}"
    if "expired" in MODES[mode]:
        hears(registry, "its certificate is not taken: it has expired")


def test_the_docker_registry_refuses_the_same_clients(
    serve: Start,
    material: Path,
    pair: dict[str, str],
    clients: dict[str, Issued | None],
    trusting: Trusting,
    tmp_path: Path,
    short_dir: Path,
) -> None:
    """Version 2.8 has no `clientauth`: it always wants a good certificate."""
    tls = {**pair, "clientcas": [str(material / "ca.pem")]}
    theirs = start(short_dir / "go", tls, program=require("docker-registry"))
    try:
        ours = serve(tls)
        for name, client in clients.items():
            context = trusting(client, tmp_path)
            found = [answers(registry.address, context) for registry in (ours, theirs)]
            assert found == [name == "good"] * 2, name
    finally:
        theirs.stop()


def test_an_intermediate_authority(
    serve: Start, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    """It may come with the client, and it may be all that is trusted, as in the Docker registry."""
    between = Authority("between", authority)
    client = between.client("ann")
    for trusted in (authority, between):
        path = put(tmp_path / "trusted.pem", trusted.pem)
        registry = serve({"clientcas": [str(path)]})
        assert answers(registry.address, trusting(client, tmp_path))
    alone = Issued(client.certificate, client.key)
    assert answers(registry.address, trusting(alone, tmp_path))


def test_revocation_lists(
    serve: Start, material: Path, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    good, revoked = authority.client("ann"), authority.client("bea")
    path = tmp_path / "list.pem"

    def publish(*certificates: Issued, ends: float = 1, by: Authority = authority) -> None:
        found = by.revoked(*(each.certificate for each in certificates), ends=ends * DAY)
        put(path, found.public_bytes(Encoding.PEM))

    publish(revoked)
    registry = serve({"clientcas": [str(material / "ca.pem")], "clientcrls": [str(path)]})
    read_again = "the certificates were read again"
    contexts = {
        name: trusting(client, tmp_path) for name, client in (("good", good), ("revoked", revoked))
    }

    def taken() -> list[str]:
        return [name for name, context in contexts.items() if answers(registry.address, context)]

    assert taken() == ["good"]
    hears(registry, "it was revoked")

    publish()
    hears(registry, read_again, count=2)
    assert taken() == ["good", "revoked"]

    publish(ends=-0.1)
    hears(registry, read_again, count=4)
    assert taken() == []
    hears(registry, "the revocation list is out of date")

    publish(by=Authority("tests"))  # of the same name, and signed by somebody else
    hears(registry, read_again, count=6)
    assert taken() == []

    put(path, b"nonsense")
    hears(registry, "is no revocation list", count=2)
    assert taken() == []


def test_ocsp_responses(
    serve: Start, material: Path, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    good, revoked, unknown = (authority.client(name) for name in ("ann", "bea", "cal"))
    paths = [
        put(tmp_path / "good.der", authority.ocsp(good.certificate)),
        put(tmp_path / "revoked.der", authority.ocsp(revoked.certificate, good=False)),
    ]
    registry = serve(
        {"clientcas": [str(material / "ca.pem")], "clientocsp": [str(path) for path in paths]}
    )
    assert answers(registry.address, trusting(good, tmp_path))
    for client in (revoked, unknown):
        assert not answers(registry.address, trusting(client, tmp_path))
    hears(registry, "it was revoked")
    hears(registry, "no OCSP response speaks of it")


def test_passwords_are_asked_for_all_the_same(
    serve: Start, material: Path, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    """A certificate is no password: with htpasswd beside it, both are wanted, as ever."""
    put(
        tmp_path / "htpasswd", b"ann:$2y$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6\n"
    )
    basic = {"htpasswd": {"realm": "tests", "path": str(tmp_path / "htpasswd")}}
    registry = serve({"clientcas": [str(material / "ca.pem")]}, config={"auth": basic})
    context = trusting(authority.client("ann"), tmp_path)
    url = f"https://{registry.address}/v2/"
    assert httpx.get(url, verify=context, trust_env=False).status_code == 401


def test_certificates_as_credentials(
    serve: Start, material: Path, tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    registry = serve(
        {"clientcas": [str(material / "ca.pem")], "clientauth": "verify-client-cert-if-given"},
        config={"auth": {"certificate": {}}},
    )
    url = f"https://{registry.address}/v2/"

    def status(client: Issued | None) -> int:
        return httpx.get(url, verify=trusting(client, tmp_path), trust_env=False).status_code

    assert status(authority.client("ann")) == 200
    # HTTP has no challenge for certificates, so that 401 (which must have one) is not possible.
    assert status(None) == 403
    assert status(authority.client(x509.Name([]), names=["ann.example.com"])) == 403


def test_an_unverified_certificate_is_no_credential(
    serve: Start, material: Path, tmp_path: Path, stranger: Authority, trusting: Trusting
) -> None:
    for mode in ("request-client-cert", "require-any-client-cert"):
        registry = serve(
            {"clientcas": [str(material / "ca.pem")], "clientauth": mode},
            config={"auth": {"certificate": {}}},
        )
        url = f"https://{registry.address}/v2/"
        context = trusting(stranger.client("ann"), tmp_path)
        assert httpx.get(url, verify=context, trust_env=False).status_code == 403
