"""Answers to the authority's challenges: whoever asks for a name's certificate serves the name.

An answer is kept in the directory, so that it is given by whichever worker or replica is asked.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ssl
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pyreg_tls.acme.cache import Cache

HTTP_PREFIX = "/.well-known/acme-challenge/"
"""Where an authority looks for http-01 (RFC 8555, section 8.3)."""

ALPN = "acme-tls/1"
"""What it speaks for tls-alpn-01 (RFC 8737, section 3)."""

HELLO_MARK = b"\x00\x0b\x0a" + ALPN.encode()
"""The list of protocols in the ClientHello of such an authority: this one and no other."""

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""id-pe-acmeIdentifier (RFC 8737, section 6.1)."""


def alpn_certificate(host: str, key_authorization: str) -> bytes:
    """The self-signed certificate that answers tls-alpn-01 (RFC 8737, section 3).

    Args:
        host: The name that is to be proved.
        key_authorization: The challenge's token and the account key's thumbprint.

    Returns:
        PEM: a private key, then the certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    digest = hashlib.sha256(key_authorization.encode()).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .add_extension(  # the value is an OCTET STRING of 32 bytes
            x509.UnrecognizedExtension(IDENTIFIER, b"\x04\x20" + digest), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    return private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM, in the form that Go's autocert writes."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


class Answers:
    """Gives the answers.

    Args:
        cache: Where they are.
        hosts: The names that there can be any for.
    """

    def __init__(self, cache: Cache, hosts: tuple[str, ...]) -> None:
        self._cache = cache
        self._hosts = hosts
        self._contexts: dict[str, tuple[int, ssl.SSLContext]] = {}

    async def http(self, path: str) -> bytes | None:
        """What to send for a GET of a path; None if nobody waits for an answer there."""
        if not path.startswith(HTTP_PREFIX):
            return None
        return await asyncio.to_thread(self._cache.http_answer, path.removeprefix(HTTP_PREFIX))

    async def hello(self, hello: bytes) -> ssl.SSLContext | None:
        """The context for the handshake that a ClientHello begins.

        Python's `ssl` does not show which protocols a client offers before it has chosen a
        certificate. So the bytes are looked at before the handshake begins.

        Args:
            hello: The first bytes of a connection.

        Returns:
            A context that answers tls-alpn-01; None if that is not what the client wants, or
            there is nothing to answer.
        """
        if HELLO_MARK not in hello:
            return None
        return await asyncio.to_thread(self._alpn)

    def _alpn(self) -> ssl.SSLContext | None:
        found = {}
        for host in self._hosts:
            answer = self._cache.alpn_answer(host)
            if answer is not None:
                path, made = answer
                known = self._contexts.get(host)
                try:
                    found[host] = (
                        known if known and known[0] == made else (made, _alpn_context(path))
                    )
                except FileNotFoundError:  # it was taken away meanwhile
                    continue
        self._contexts = found
        if not found:
            return None
        contexts = {host: context for host, (_, context) in found.items()}

        def choose(sock: _HasContext, name: str | None, _: ssl.SSLContext) -> int | None:
            context = contexts.get(name or "")
            if context is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            sock.context = context
            return None

        outer = _bare_context()
        outer.sni_callback = choose
        return outer


class _HasContext(Protocol):
    context: ssl.SSLContext


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8737, section 3
    context.set_alpn_protocols([ALPN])
    return context


def _alpn_context(path: Path) -> ssl.SSLContext:
    context = _bare_context()
    context.load_cert_chain(path)
    return context
