"""What handshakes are made with: one OpenSSL context for each certificate."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from pyreg_tls import ciphers
from pyreg_tls.certificates import Certificate
from pyreg_tls.clients import Clients
from pyreg_tls.options import Options

# <openssl/ssl.h>; pyOpenSSL has no names for these.
_NO_AUTO_CHAIN = 0x8
_PARTIAL_WRITE = 0x1

_VERSIONS = {
    "tls1.0": SSL.TLS1_2_VERSION,
    "tls1.1": SSL.TLS1_2_VERSION,
    "tls1.2": SSL.TLS1_2_VERSION,
    "tls1.3": SSL.TLS1_3_VERSION,
}


@dataclass(frozen=True)
class Policy:
    """What is spoken, whatever the certificate.

    Attributes:
        oldest: OpenSSL's number of the oldest version.
        suites: Cipher suites of TLS 1.2.
        protocols: Of ALPN, the preferred one first.
        warnings: What the author of the options should know.
    """

    oldest: int
    suites: tuple[str, ...]
    protocols: tuple[bytes, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, options: Options, protocols: Sequence[str]) -> Policy:
        """That of a configuration."""
        suites = ciphers.choose(options.ciphersuites)
        warnings = [f"http.tls.ciphersuites: {warning}" for warning in suites.warnings]
        oldest = _VERSIONS[options.minimumtls]
        if options.minimumtls in ("tls1.0", "tls1.1"):
            warnings.append(
                f"http.tls.minimumtls: {options.minimumtls} is broken (RFC 8996); tls1.2 is the "
                f"oldest version that is spoken"
            )
        if not suites.tls12 and oldest != SSL.TLS1_3_VERSION:
            warnings.append(
                "http.tls.ciphersuites: there is none of TLS 1.2 in the list, so that only TLS "
                "1.3 is spoken"
            )
            oldest = SSL.TLS1_3_VERSION
        return cls(
            oldest,
            suites.tls12,
            tuple(name.encode("ascii") for name in protocols),
            tuple(warnings),
        )


class Contexts:
    """The contexts of one state of the files.

    Args:
        certificates: The first is for clients that name no server, or an unknown one.
        policy: What is spoken.
        clients: What is asked of clients; None for nothing.

    Attributes:
        certificates: As given.
        first: The context of the first certificate; None while there is none.
    """

    def __init__(
        self, certificates: Sequence[Certificate], policy: Policy, clients: Clients | None
    ) -> None:
        self.certificates = tuple(certificates)
        self._policy = policy
        self._clients = clients
        self._by_name: dict[str, SSL.Context] = {}
        self._in_pem: dict[SSL.Context, str] = {}
        contexts = [self._context(each) for each in certificates]
        for certificate, context in zip(certificates, contexts, strict=True):
            for name in certificate.names:
                self._by_name.setdefault(name, context)
        self.first = contexts[0] if contexts else None

    def for_name(self, name: str) -> SSL.Context | None:
        """The context for the name that a client asks for.

        An exact name wins over `*.example.com`, which stands for one label (RFC 6125, 6.4.3).
        """
        name = name.lower().rstrip(".")
        wildcard = f"*.{name.partition('.')[2]}"
        return self._by_name.get(name) or self._by_name.get(wildcard) or self.first

    def certificate_of(self, context: SSL.Context) -> str:
        """The certificate of one of the contexts, in PEM form."""
        return self._in_pem[context]

    def _context(self, certificate: Certificate) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(self._policy.oldest)
        context.set_options(
            SSL.OP_NO_COMPRESSION
            | SSL.OP_NO_RENEGOTIATION
            | SSL.OP_CIPHER_SERVER_PREFERENCE
            | SSL.OP_IGNORE_UNEXPECTED_EOF  # HTTP says by itself where a message ends
        )
        context.set_mode(_NO_AUTO_CHAIN | SSL.MODE_RELEASE_BUFFERS)
        context.clear_mode(_PARTIAL_WRITE)  # one call encrypts many records, without the GIL
        if self._policy.suites:
            context.set_cipher_list(":".join(self._policy.suites).encode())
        context.set_tls13_ciphersuites(":".join(ciphers.TLS13).encode())
        context.use_certificate(certificate.chain[0])
        for authority in certificate.chain[1:]:
            context.add_extra_chain_cert(authority)
        context.use_privatekey(certificate.key)  # type: ignore[arg-type]
        context.check_privatekey()
        context.set_tlsext_servername_callback(self._choose)
        context.set_alpn_select_callback(self._agree)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets resume without our memory
        if self._clients is not None:
            self._clients.apply(context)
        self._in_pem[context] = certificate.chain[0].public_bytes(Encoding.PEM).decode("ascii")
        return context

    def _choose(self, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        context = self.for_name(name.decode("latin-1")) if name else self.first
        if context is not None and context is not connection.get_context():
            connection.set_context(context)

    def _agree(
        self, _: SSL.Connection, offered: list[bytes]
    ) -> bytes | SSL._NoOverlappingProtocols:
        for protocol in self._policy.protocols:
            if protocol in offered:
                return protocol
        return SSL.NO_OVERLAPPING_PROTOCOLS


def _suite_numbers() -> dict[str, int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {each["name"]: each["id"] & 0xFFFF for each in context.get_ciphers()}


SUITE_NUMBERS = _suite_numbers()
"""The numbers of cipher suites (IANA's "TLS Cipher Suites"), by OpenSSL's names."""
