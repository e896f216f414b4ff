"""Chains of certificates in tokens (`x5c`, RFC 7515, section 4.1.6)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.x509 import verification

from pyreg_auth_token.keys import TrustedKey, UnusableKey

MAX_LENGTH = 5
"""Certificates in a chain that comes with a token."""


class UntrustedChain(ValueError):
    """The chain does not lead to a root; says why."""


def key_of(chain: Any, roots: Sequence[x509.Certificate]) -> TrustedKey:
    """The key of a chain's first certificate, once the chain is verified (RFC 5280, section 6).

    Every certificate has to be valid now, and all but the first have to be those of authorities.
    Names and extended usages are not looked at: certificates for tokens have none to check.

    Args:
        chain: The value of `x5c`: the signer's certificate first, each in base64.
        roots: Where the chain has to end. The signer's certificate may itself be one of them.

    Raises:
        UntrustedChain: it does not end there, or its key cannot be used.
    """
    if not isinstance(chain, list) or not 0 < len(chain) <= MAX_LENGTH:
        raise UntrustedChain(f"`x5c` is no list of one to {MAX_LENGTH} certificates")
    if not roots:
        raise UntrustedChain("there is a chain of certificates, and no `rootcertbundle`")
    try:
        leaf, *between = [
            x509.load_der_x509_certificate(base64.b64decode(item, validate=True)) for item in chain
        ]
        _verifier(roots).verify(leaf, between)
        if leaf not in roots:  # whose key is trusted, whatever the certificate is for
            _signs_tokens(leaf)
        return TrustedKey.of(leaf.public_key())
    except verification.VerificationError as error:
        raise UntrustedChain(f"the chain of certificates is not trusted: {error}") from None
    except UnusableKey as error:
        raise UntrustedChain(f"the certificate's key cannot be used: {error}") from None
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        raise UntrustedChain(f"a certificate cannot be read ({type(error).__name__})") from None


def _verifier(roots: Sequence[x509.Certificate]) -> verification.ClientVerifier:
    authorities = (
        verification.ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _signs_certificates)
    )
    return (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .max_chain_depth(MAX_LENGTH)
        .extension_policies(
            ca_policy=authorities, ee_policy=verification.ExtensionPolicy.permit_all()
        )
        .build_client_verifier()
    )


def _signs_certificates(
    _policy: verification.Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key usage of an authority lacks keyCertSign")


def _signs_tokens(leaf: x509.Certificate) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.digital_signature:
        raise UntrustedChain("the key usage of the signer's certificate lacks digitalSignature")
