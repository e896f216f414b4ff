"""The authenticator keeps the contract, whatever is taken for the name."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pyreg.hooks import Authenticator, InvalidCredentials
from pyreg.testing import AuthContract, Credentials
from pyreg_tls import CertificateAuthenticator, CertificateOptions
from tests.server.authorities import DAY, Authority, Issued

SIGNER = Authority("contract")
NAMES = {
    "cn": ("ann", "bea"),
    "dn": ("CN=ann,OU=builders,OU=readers,O=Example", "CN=bea,OU=builders,OU=readers,O=Example"),
    "dns": ("ann.example.com", "bea.example.com"),
    "email": ("ann@example.com", "bea@example.com"),
    "uri": ("spiffe://example.com/ann", "spiffe://example.com/bea"),
}


def subject(*names: str) -> x509.Name:
    """A subject with these common names, an organization and two units."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "readers"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "builders"),
            *(x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names),
        ]
    )


def client(name: str, **more: Any) -> Issued:
    """A certificate that says all that it can."""
    return SIGNER.client(
        subject(name),
        names=[f"{name}.example.com", f"also-{name}.example.com"],
        more=[
            x509.RFC822Name(f"{name}@example.com"),
            x509.UniformResourceIdentifier(f"spiffe://example.com/{name}"),
        ],
        **more,
    )


def shown(issued: Issued, *, error: str | None = None, name: str = "") -> Credentials:
    """A connection that began with a certificate."""
    chain = [
        each.public_bytes(Encoding.PEM).decode()
        for each in (issued.certificate, SIGNER.certificate)
    ]
    tls = {
        "server_cert": None,
        "client_cert_chain": chain,
        "client_cert_name": issued.certificate.subject.rfc4514_string(),
        "client_cert_error": error,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }
    return Credentials(extensions={"tls": tls}, name=name)


@pytest.mark.parametrize("identity", NAMES)
class TestCertificate(AuthContract):
    @pytest.fixture
    def authenticator(self, identity: Any) -> Authenticator:
        return CertificateAuthenticator(CertificateOptions(identity))

    @pytest.fixture
    def good(self, identity: str) -> list[Credentials]:
        return [
            shown(client(short), name=name)
            for short, name in zip(("ann", "bea"), NAMES[identity], strict=True)
        ]

    @pytest.fixture
    def bad(self, identity: str) -> list[Credentials]:
        nameless = SIGNER.client(x509.Name([]))
        broken = {"client_cert_chain": ["nonsense"], "client_cert_error": None}
        return [
            shown(client("ann"), error="its authority is not among `clientcas`"),
            shown(client("ann", begins=-2 * DAY, ends=-DAY)),
            shown(client("ann", begins=DAY)),
            shown(nameless),
            Credentials(extensions={"tls": broken}),
        ]

    @pytest.fixture
    def foreign(self) -> list[Credentials]:
        return [
            Credentials(extensions={"tls": {"client_cert_chain": [], "client_cert_error": None}}),
            Credentials.basic("ann", "correct horse"),
        ]


@pytest.mark.anyio
async def test_groups() -> None:
    request = shown(client("ann")).request()
    for groups, found in (
        (("o", "ou"), {"Example", "readers", "builders"}),
        (("ou",), {"readers", "builders"}),
        ((), set()),
    ):
        options = CertificateOptions(groups=groups)  # type: ignore[arg-type]
        identity = await CertificateAuthenticator(options).authenticate(request)
        assert identity is not None
        assert identity.groups == found
        assert identity.authenticator == "certificate"
        assert identity.claims["issuer"] == "CN=contract"


@pytest.mark.anyio
@pytest.mark.parametrize("names", [("ann", "root"), ("ann\nroot",), ("an\x00n",)], ids=repr)
async def test_names_that_could_be_taken_for_others(names: tuple[str, ...]) -> None:
    request = shown(SIGNER.client(subject(*names))).request()
    with pytest.raises(InvalidCredentials):
        await CertificateAuthenticator(CertificateOptions()).authenticate(request)
