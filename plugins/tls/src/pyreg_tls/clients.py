"""What is asked of the certificates of clients."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL, crypto

from pyreg_tls import ocsp
from pyreg_tls.certificates import CertificateError, read, read_certificates
from pyreg_tls.options import ClientAuth, Options

_MODES: dict[ClientAuth, int] = {
    "request-client-cert": SSL.VERIFY_PEER,
    "require-any-client-cert": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
    "verify-client-cert-if-given": SSL.VERIFY_PEER,
    "require-and-verify-client-cert": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

_REASONS = {
    3: "there is no revocation list of its authority",
    8: "the revocation list is not signed by its authority",
    9: "it is not valid yet",
    10: "it has expired",
    11: "the revocation list is of the future",
    12: "the revocation list is out of date",
    18: "it is signed by itself",
    19: "its root is not among `clientcas`",
    20: "its authority is not among `clientcas`",
    21: "its authority is not among `clientcas`",
    23: "it was revoked",
    26: "it is not for clients",
    79: "its authority may not sign certificates",
}
"""Some of OpenSSL's numbers (X509_STORE_CTX_get_error(3)) in words."""


@dataclass
class Peer:
    """What is found out about a client during its handshake.

    Attributes:
        trouble: What is wrong with its certificate; "" for nothing, or if it has none.
        issuer: The certificate that was looked at last, which signed the next one.
    """

    trouble: str = ""
    issuer: x509.Certificate | None = None


@dataclass(frozen=True)
class Clients:
    """What is asked of clients, for one state of the files.

    Attributes:
        mode: `clientauth`.
        authorities: That sign clients.
        lists: Revocation lists; none means that nothing is asked of any.
        responses: OCSP responses; None means that nothing is asked of any.
    """

    mode: ClientAuth
    authorities: tuple[x509.Certificate, ...]
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    responses: tuple[ocsp.Response, ...] | None = None

    @property
    def verifies(self) -> bool:
        """Whether a certificate has to be good."""
        return self.mode in ("verify-client-cert-if-given", "require-and-verify-client-cert")

    def apply(self, context: SSL.Context) -> None:
        """Ask it of every client of a context."""
        store = context.get_cert_store()
        assert store is not None, "a context has a store"
        for authority in self.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
            context.add_client_ca(authority)
        # As in the Docker registry, an authority need not be a root to be trusted.
        flags = crypto.X509StoreFlags.PARTIAL_CHAIN
        if self.lists:
            flags |= crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
            for each in self.lists:
                store.add_crl(each)
        store.set_flags(flags)
        # A resumed session would carry a certificate past what was revoked since.
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_id(b"pyreg")
        context.set_verify(_MODES[self.mode], self._look)

    def _look(
        self, connection: SSL.Connection, found: crypto.X509, error: int, depth: int, good: int
    ) -> bool:
        """OpenSSL's callback: for each mistake, and then for each certificate, root first."""
        peer = connection.get_app_data()
        assert isinstance(peer, Peer)
        if not good:
            peer.trouble = peer.trouble or _REASONS.get(error, f"OpenSSL's error {error}")
        elif self.responses is not None:
            certificate = found.to_cryptography()
            if depth == 0:
                peer.trouble = peer.trouble or self._ask(certificate, peer.issuer)
            peer.issuer = certificate
        return not (self.verifies and peer.trouble)

    def _ask(self, certificate: x509.Certificate, issuer: x509.Certificate | None) -> str:
        now = datetime.datetime.now(datetime.UTC)
        if issuer is None:  # it is an authority itself, and trusted as it is
            issuer = certificate
        return ocsp.trouble(certificate, issuer, self.responses or (), now)


def load(options: Options) -> Clients | None:
    """Read what is needed to verify clients; None where they are not asked. Blocks.

    Raises:
        CertificateError: a file cannot be used.
    """
    if not options.clientcas:
        return None
    authorities: list[x509.Certificate] = []
    for path in options.clientcas:
        authorities += read_certificates(Path(path))
    lists = tuple(_read_list(Path(path)) for path in options.clientcrls)
    responses = None
    if options.clientocsp:
        responses = ocsp.read_responses(map(Path, options.clientocsp))
    return Clients(options.clientauth, tuple(dict.fromkeys(authorities)), lists, responses)


def _read_list(path: Path) -> x509.CertificateRevocationList:
    data = read(path)
    load: Callable[[bytes], x509.CertificateRevocationList] = (
        x509.load_pem_x509_crl if b"-----BEGIN" in data else x509.load_der_x509_crl
    )
    try:
        return load(data)
    except ValueError as error:
        raise CertificateError(f"{path} is no revocation list: {error}") from error
