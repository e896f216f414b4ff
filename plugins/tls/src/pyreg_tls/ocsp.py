"""OCSP responses that lie in files, for the certificates of clients (RFC 6960).

A registry that asked a responder during each handshake would depend on it, and wait for it. Here
something else fetches the responses (`openssl ocsp -respout FILE`), and the registry takes a
client's certificate only if one of them says that it is good, and says so today.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from pyreg_tls.certificates import CertificateError, read

SKEW = datetime.timedelta(minutes=5)
"""How far a responder's clock may be ahead of ours."""

Response = ocsp.OCSPResponse


def read_responses(paths: Iterable[Path]) -> tuple[Response, ...]:
    """The responses in DER files. Blocks.

    Raises:
        CertificateError: one cannot be read, or is none.
    """
    found = []
    for path in paths:
        try:
            response = ocsp.load_der_ocsp_response(read(path))
        except ValueError as error:
            raise CertificateError(f"{path} is no OCSP response in DER form") from error
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise CertificateError(f"{path}: the responder failed: {response.response_status.name}")
        found.append(response)
    return tuple(found)


def trouble(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    responses: Iterable[Response],
    now: datetime.datetime,
) -> str:
    """Why a certificate is not to be taken; "" if a response says that it is good.

    Args:
        certificate: The client's.
        issuer: The authority that signed it.
        responses: What is known.
        now: In UTC.
    """
    reason = "no OCSP response speaks of it"
    for response in responses:
        for single in response.responses:
            if single.serial_number != certificate.serial_number or not _is_of(single, issuer):
                continue
            if not _is_signed_for(response, issuer, now):
                reason = "the OCSP response is not signed by its authority"
            elif single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
                return "it was revoked"  # whatever others say
            elif single.this_update_utc > now + SKEW:
                reason = "the OCSP response is of the future"
            elif single.next_update_utc is None or single.next_update_utc < now:
                reason = "the OCSP response is out of date"
            elif single.certificate_status is ocsp.OCSPCertStatus.GOOD:
                reason = ""
    return reason


def _is_of(single: ocsp.OCSPSingleResponse, issuer: x509.Certificate) -> bool:
    return single.issuer_name_hash == _digest(
        single.hash_algorithm, issuer.subject.public_bytes()
    ) and single.issuer_key_hash == _digest(single.hash_algorithm, _key_bits(issuer))


def _is_signed_for(response: Response, issuer: x509.Certificate, now: datetime.datetime) -> bool:
    """Signed by the authority, or by somebody whom it let speak (RFC 6960, section 4.2.2.2)."""
    if _verifies(response, issuer):
        return True
    for delegate in response.certificates:
        try:
            delegate.verify_directly_issued_by(issuer)
            usage = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        current = delegate.not_valid_before_utc <= now <= delegate.not_valid_after_utc
        may = ExtendedKeyUsageOID.OCSP_SIGNING in usage
        if current and may and _verifies(response, delegate):
            return True
    return False


def _verifies(response: Response, signer: x509.Certificate) -> bool:
    key = signer.public_key()
    algorithm = response.signature_hash_algorithm
    signature, signed = response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()


def _key_bits(certificate: x509.Certificate) -> bytes:
    """The bits of the public key, without what says of which kind it is."""
    if isinstance(key := certificate.public_key(), rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b""
