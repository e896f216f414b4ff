"""Files of certificates and keys: what is taken, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from plugins.tls.tests.conftest import Start, hears
from pyreg_tls.certificates import LIMIT, CertificateError, Pair, load
from tests.server.authorities import DAY, Authority, now, put
from tests.servers.process import ServerDied


@pytest.fixture
def pair_in(tmp_path: Path, authority: Authority) -> Pair:
    """A pair that is right."""
    issued = authority.issue(names=["Registry.example.com", "*.example.org", "192.0.2.7"])
    paths = issued.save(tmp_path, "server")
    return Pair(Path(paths["certificate"]), Path(paths["key"]))


def test_a_good_one(pair_in: Pair) -> None:
    found = load(pair_in)
    assert found is not None
    assert found.names == {"registry.example.com", "*.example.org", "192.0.2.7"}
    assert found.trouble(now()) == ""
    assert "expired on" in found.trouble(now() + 31 * DAY)
    assert "is not valid before" in found.trouble(now() - 2 * DAY)
    assert found.lifetime == 31 * DAY


def test_both_in_one_file(pair_in: Pair) -> None:
    for text in (
        pair_in.key.read_bytes() + pair_in.certificate.read_bytes(),
        pair_in.certificate.read_bytes() + pair_in.key.read_bytes(),
    ):
        path = put(pair_in.key.with_name("both.pem"), text)
        assert load(Pair(path, path)) is not None


def test_a_certificate_of_an_old_kind_has_its_name_in_the_subject(
    tmp_path: Path, authority: Authority
) -> None:
    paths = authority.issue("Old.example.com").save(tmp_path, "old")
    found = load(Pair(Path(paths["certificate"]), Path(paths["key"])))
    assert found is not None
    assert found.names == {"old.example.com"}


def test_an_awaited_one(pair_in: Pair) -> None:
    nowhere = pair_in.key.with_name("nowhere")
    assert load(Pair(nowhere, nowhere, awaited=True)) is None
    with pytest.raises(CertificateError, match=r"cannot read .*/nowhere: no such file"):
        load(Pair(nowhere, nowhere))


def test_an_awaited_one_of_which_a_part_is_there(pair_in: Pair) -> None:
    """It goes away between two looks, or is put there piece by piece."""
    pair_in.key.unlink()
    assert load(Pair(pair_in.certificate, pair_in.key, awaited=True)) is None
    with pytest.raises(CertificateError, match="no such file"):
        load(pair_in)


def test_an_encrypted_key(tmp_path: Path, authority: Authority) -> None:
    issued = authority.issue()
    certificate = put(tmp_path / "c.pem", issued.pem)
    key = put(tmp_path / "k.pem", issued.key_pem("opensesame"))
    assert load(Pair(certificate, key, b"opensesame")) is not None
    with pytest.raises(CertificateError, match=r"k\.pem is encrypted: set `keypassword`"):
        load(Pair(certificate, key))
    with pytest.raises(CertificateError, match="`keypassword` does not decrypt it"):
        load(Pair(certificate, key, b"wrong"))
    # The password is for those that need one.
    put(key, issued.key_pem())
    assert load(Pair(certificate, key, b"opensesame")) is not None


def test_the_key_of_another(pair_in: Pair, authority: Authority) -> None:
    put(pair_in.key, authority.issue().key_pem())
    with pytest.raises(CertificateError, match=r"server\.key is not the key of the certificate"):
        load(pair_in)


def test_a_chain_in_the_wrong_order(pair_in: Pair, authority: Authority) -> None:
    put(pair_in.certificate, authority.pem + pair_in.certificate.read_bytes())
    with pytest.raises(CertificateError, match="certificate must come first"):
        load(pair_in)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "has no certificate in PEM form"),
        (b"\xff\xfe" * 100, "has no certificate in PEM form"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has no certificate"),
        (b"x" * (LIMIT + 1), "is it the right file"),
    ],
)
def test_something_else(pair_in: Pair, text: bytes, complaint: str) -> None:
    put(pair_in.certificate, text)
    with pytest.raises(CertificateError, match=complaint):
        load(pair_in)


def test_a_file_without_a_key(pair_in: Pair) -> None:
    put(pair_in.key, pair_in.certificate.read_bytes())
    with pytest.raises(CertificateError, match="has no private key in PEM form"):
        load(pair_in)


@pytest.mark.parametrize(
    ("tls", "complaint"),
    [
        ({"key": ""}, "certificate and key belong together"),
        (
            {"certificate": "", "key": "", "hsts": {"maxage": "1h"}},
            "there is no certificate: set certificate and key",
        ),
        ({"certificate": "/nowhere.pem"}, "cannot read /nowhere.pem: no such file"),
        ({"clientcas": ["/nowhere.pem"]}, "cannot read /nowhere.pem: no such file"),
        ({"clientauth": "require"}, "http.tls.clientauth"),
        ({"minimumtls": "tls1.4"}, "http.tls.minimumtls"),
        ({"ciphersuites": ["TLS_AES_128_GCM_SHA265"]}, "did you mean TLS_AES_128_GCM_SHA256?"),
        ({"clientcrls": ["/x"]}, "clientcrls and clientocsp need clientcas"),
        ({"hsts": {"maxage": 31536000}}, "maxage is less than a second"),
        ({"hsts": {"maxage": "1h", "preload": True}}, "preload needs includesubdomains"),
        ({"redirect": "80"}, "expected host:port or :port"),
        (
            {"letsencrypt": {"cachefile": "/nowhere", "hosts": ["example.com"]}},
            "certificate and letsencrypt exclude each other",
        ),
    ],
    ids=str,
)
def test_a_server_with_a_mistake_says_what_is_wrong(
    serve: Start, tls: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ServerDied) as caught:
        serve(tls)
    assert complaint in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_an_expired_certificate_is_served_and_warned_of(
    serve: Start, tmp_path: Path, authority: Authority
) -> None:
    registry = serve(authority.issue(begins=-2 * DAY, ends=-DAY).save(tmp_path, "old"))
    hears(registry, "clients will refuse it")


def test_one_that_expires_soon_is_warned_of(
    serve: Start, tmp_path: Path, authority: Authority
) -> None:
    registry = serve(authority.issue(begins=-60 * DAY, ends=3 * DAY).save(tmp_path, "late"))
    hears(registry, f"late.pem expires on {now() + 3 * DAY:%Y-%m-%d}")


def test_keys_of_other_kinds(tmp_path: Path, authority: Authority) -> None:
    key = rsa.generate_private_key(65537, 2048)
    paths = authority.issue(key=key).save(tmp_path, "rsa")
    assert load(Pair(Path(paths["certificate"]), Path(paths["key"]))) is not None
