"""TLS for `pyreg serve`, client certificates as credentials, and certificates by ACME."""

from pyreg_tls.identity import CertificateAuthenticator, CertificateOptions, CertificatePlugin
from pyreg_tls.options import Options
from pyreg_tls.plugin import TLSPlugin

__all__ = [
    "CertificateAuthenticator",
    "CertificateOptions",
    "CertificatePlugin",
    "Options",
    "TLSPlugin",
]
