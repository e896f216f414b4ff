"""OCSP responses: which of them count."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from pyreg_tls.certificates import CertificateError
from pyreg_tls.ocsp import read_responses, trouble
from tests.server.authorities import CLIENT, DAY, Authority, Issued, now, put

ISSUER = Authority("ocsp")
ANN = ISSUER.client("ann")
SIGNING = (ExtendedKeyUsageOID.OCSP_SIGNING,)


def said(*responses: bytes, of: Issued = ANN, by: Authority = ISSUER) -> str:
    """What is wrong with a certificate, by these responses."""
    loaded = [ocsp.load_der_ocsp_response(each) for each in responses]
    return trouble(of.certificate, by.certificate, loaded, now())


def test_a_good_one() -> None:
    assert said(ISSUER.ocsp(ANN.certificate)) == ""


def test_nothing_is_known() -> None:
    assert said() == "no OCSP response speaks of it"
    bea = ISSUER.client("bea")
    assert said(ISSUER.ocsp(bea.certificate)) == "no OCSP response speaks of it"


def test_revoked_whatever_others_say() -> None:
    good, revoked = ISSUER.ocsp(ANN.certificate), ISSUER.ocsp(ANN.certificate, good=False)
    for responses in ([revoked], [good, revoked], [revoked, good]):
        assert said(*responses) == "it was revoked"


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"begins": -2 * DAY, "ends": -DAY}, "the OCSP response is out of date"),
        ({"ends": None}, "the OCSP response is out of date"),
        ({"begins": DAY, "ends": 2 * DAY}, "the OCSP response is of the future"),
    ],
    ids=str,
)
def test_out_of_its_time(times: dict[str, object], reason: str) -> None:
    response = ISSUER.ocsp(ANN.certificate, **times)  # type: ignore[arg-type]
    assert said(response) == reason


def test_signed_by_somebody_else() -> None:
    stranger = Authority("ocsp")
    forged = stranger.ocsp(ANN.certificate, issuer=ISSUER.certificate)
    assert said(forged) == "the OCSP response is not signed by its authority"


def test_a_delegate() -> None:
    for key in (None, rsa.generate_private_key(65537, 2048)):
        delegate = ISSUER.issue("responder", usage=SIGNING, key=key)
        assert said(ISSUER.ocsp(ANN.certificate, signer=delegate)) == ""


@pytest.mark.parametrize(
    "delegate",
    [
        ISSUER.issue("responder", usage=CLIENT),
        ISSUER.issue("responder", usage=()),
        ISSUER.issue("responder", usage=SIGNING, begins=-2 * DAY, ends=-DAY),
        Authority("ocsp").issue("responder", usage=SIGNING),
    ],
    ids=["not for it", "for anything", "expired", "of another authority"],
)
def test_a_delegate_that_is_none(delegate: Issued) -> None:
    response = ISSUER.ocsp(ANN.certificate, signer=delegate)
    assert said(response) == "the OCSP response is not signed by its authority"


def test_files(tmp_path: Path) -> None:
    path = put(tmp_path / "r.der", ISSUER.ocsp(ANN.certificate))
    assert len(read_responses([path])) == 1
    failed = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    for data, complaint in (
        (b"nonsense", "is no OCSP response"),
        (failed.public_bytes(Encoding.DER), "the responder failed: TRY_LATER"),
    ):
        put(path, data)
        with pytest.raises(CertificateError, match=complaint):
            read_responses([path])
