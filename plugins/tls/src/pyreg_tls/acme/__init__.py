"""Certificates from an ACME authority (RFC 8555), such as Let's Encrypt."""

from pyreg_tls.acme.options import LetsEncrypt
from pyreg_tls.acme.source import Acme

__all__ = ["Acme", "LetsEncrypt"]
