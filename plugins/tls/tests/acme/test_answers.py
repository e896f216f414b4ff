"""Answers to challenges, asked for by a client of TLS as an authority would."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from pyreg_tls.acme.answers import IDENTIFIER, Answers, alpn_certificate
from pyreg_tls.acme.cache import Cache

pytestmark = pytest.mark.anyio

HOST = "registry.example.com"
OTHER = "other.example.com"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
PROOF = f"{TOKEN}.nP1qzpXGymHBrUEepNY9HCsQk7K8KhOypzEt62jcerQ"


class Client:
    """A client of TLS, its bytes in memory."""

    def __init__(
        self,
        protocols: list[str],
        name: str | None = HOST,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = version
        if protocols:
            context.set_alpn_protocols(protocols)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.hello = self._out.read()

    def shake_hands(self, server: ssl.SSLContext) -> None:
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = server.wrap_bio(into, out, server_side=True)
        into.write(self.hello)
        done = False
        while not done:
            done = True
            for side, sends, takes in ((tls, out, self._in), (self.tls, self._out, into)):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    done = False
                takes.write(sends.read())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(str(tmp_path))
    made.open()
    return made


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_alpn(version: ssl.TLSVersion, cache: Cache) -> None:
    """RFC 8737, section 3: the name, and the digest of the key authorization, critical."""
    answers = Answers(cache, (OTHER, HOST))
    cache.keep_alpn_answer(HOST, alpn_certificate(HOST, PROOF))
    client = Client(["acme-tls/1"], version=version)
    context = await answers.hello(client.hello)
    assert context is not None
    client.shake_hands(context)
    assert client.tls.selected_alpn_protocol() == "acme-tls/1"
    shown = client.tls.getpeercert(binary_form=True)
    assert shown is not None
    certificate = x509.load_der_x509_certificate(shown)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [HOST]
    proof = certificate.extensions.get_extension_for_oid(IDENTIFIER)
    assert proof.critical
    assert isinstance(proof.value, x509.UnrecognizedExtension)
    assert proof.value.value == b"\x04\x20" + hashlib.sha256(PROOF.encode()).digest()


async def test_each_name_has_its_own_answer_and_the_newest(cache: Cache) -> None:
    answers = Answers(cache, (OTHER, HOST))
    seen = set()
    for host in (HOST, OTHER, HOST):
        cache.keep_alpn_answer(host, alpn_certificate(host, PROOF))
        client = Client(["acme-tls/1"], host)
        context = await answers.hello(client.hello)
        assert context is not None
        client.shake_hands(context)
        shown = client.tls.getpeercert(binary_form=True)
        assert shown is not None
        assert host.encode() in shown
        seen.add(shown)
    assert len(seen) == 3


@pytest.mark.parametrize("name", ["stranger.example.com", None])
async def test_a_name_that_nothing_is_to_be_proved_for(name: str | None, cache: Cache) -> None:
    cache.keep_alpn_answer(HOST, alpn_certificate(HOST, PROOF))
    client = Client(["acme-tls/1"], name)
    context = await Answers(cache, (HOST,)).hello(client.hello)
    assert context is not None
    with pytest.raises(ssl.SSLError):
        client.shake_hands(context)


@pytest.mark.parametrize("protocols", [[], ["h2", "http/1.1"], ["h2", "acme-tls/1"], ["acme-tls"]])
async def test_a_client_of_the_registry_is_none_of_the_authority_s(
    protocols: list[str], cache: Cache
) -> None:
    cache.keep_alpn_answer(HOST, alpn_certificate(HOST, PROOF))
    assert await Answers(cache, (HOST,)).hello(Client(protocols).hello) is None


async def test_when_nobody_has_asked_for_a_certificate(cache: Cache) -> None:
    answers = Answers(cache, (HOST,))
    hello = Client(["acme-tls/1"]).hello
    assert await answers.hello(hello) is None
    with cache.locked():
        cache.keep_alpn_answer(HOST, alpn_certificate(HOST, PROOF))
        assert await answers.hello(hello) is not None
    assert await answers.hello(hello) is None
    for noise in (b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n"):
        assert await answers.hello(noise) is None


async def test_http(cache: Cache) -> None:
    answers = Answers(cache, (HOST,))
    path = f"/.well-known/acme-challenge/{TOKEN}"
    assert await answers.http(path) is None
    cache.keep_http_answer(TOKEN, PROOF.encode())
    assert await answers.http(path) == PROOF.encode()
    for other in ("/", TOKEN, f"/v2/{TOKEN}", f"{path}/", f"{path}?", f"{path}+http-01"):
        assert await answers.http(other) is None
