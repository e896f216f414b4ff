"""Handshakes in this process: what the application is told, and which certificate is shown."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pyreg_tls.certificates import Pair
from pyreg_tls.contexts import Policy
from pyreg_tls.handshake import Handshakes
from pyreg_tls.options import Options
from pyreg_tls.renewal import Renewal
from tests.server.authorities import DAY, Authority, Issued, put

pytestmark = pytest.mark.anyio

Trusting = Callable[..., ssl.SSLContext]


class Told(asyncio.Protocol):
    """Keeps what a transport tells."""

    def __init__(self, told: asyncio.Future[asyncio.BaseTransport]) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._told.set_result(transport)


def options_of(pair: Mapping[str, str], **more: Any) -> Options:
    return Options.model_validate({**pair, **more})


async def handshakes(options: Options) -> tuple[Handshakes, Renewal]:
    renewal = Renewal(options, options.pairs, Policy.of(options, ["h2", "http/1.1"]))
    await renewal.start()
    return Handshakes(renewal, None), renewal


async def shake(
    handshakes: Handshakes, context: ssl.SSLContext, name: str | None = "localhost"
) -> tuple[asyncio.BaseTransport, ssl.SSLSocket]:
    """One handshake over a pair of sockets: the server's transport, and the client."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    told: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()
    client = asyncio.create_task(
        asyncio.to_thread(context.wrap_socket, theirs, server_hostname=name)
    )
    assert await handshakes.establish(ours, lambda: Told(told))
    return await told, await client


async def extension(
    options: Options, context: ssl.SSLContext, name: str | None = "localhost"
) -> Mapping[str, Any]:
    made, renewal = await handshakes(options)
    transport, client = await shake(made, context, name)
    found: Mapping[str, Any] = transport.get_extra_info("extensions")["tls"]
    client.close()
    transport.close()
    await renewal.stop()
    return found


def pem(*issued: x509.Certificate) -> list[str]:
    return [each.public_bytes(Encoding.PEM).decode() for each in issued]


async def test_without_a_client_certificate(
    pair: Mapping[str, str], trusting: Trusting, material: Path
) -> None:
    told = await extension(options_of(pair), trusting())
    assert told == {
        "server_cert": (material / "server.pem").read_text(),
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }


async def test_an_older_version(pair: Mapping[str, str], trusting: Trusting) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    told = await extension(options_of(pair), context)
    assert (told["tls_version"], told["cipher_suite"]) == (0x0303, 0xC02B)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("sends_root", [False, True])
async def test_the_first_of_the_chain_is_the_clients_own(
    pair: Mapping[str, str],
    material: Path,
    tmp_path: Path,
    authority: Authority,
    trusting: Trusting,
    version: ssl.TLSVersion,
    sends_root: bool,
) -> None:
    """Clients send their authorities, too, and those must not be taken for the client."""
    client = authority.client("ann")
    if sends_root:
        client = Issued(client.certificate, client.key, (authority.certificate,))
    context = trusting(client, tmp_path)
    context.maximum_version = version
    told = await extension(options_of(pair, clientcas=(str(material / "ca.pem"),)), context)
    assert told["client_cert_chain"][0] == pem(client.certificate)[0]
    assert set(told["client_cert_chain"][1:]) <= set(pem(authority.certificate))
    assert told["client_cert_name"] == "CN=ann"
    assert told["client_cert_error"] is None


@pytest.mark.parametrize("mode", ["request-client-cert", "require-any-client-cert"])
async def test_what_is_wrong_with_a_certificate_that_is_not_verified(
    pair: Mapping[str, str],
    material: Path,
    tmp_path: Path,
    authority: Authority,
    stranger: Authority,
    trusting: Trusting,
    mode: Any,
) -> None:
    options = options_of(pair, clientcas=(str(material / "ca.pem"),), clientauth=mode)
    for client, trouble in (
        (stranger.client("ann"), "its authority is not among `clientcas`"),
        (authority.client("ann", ends=-DAY / 2), "it has expired"),
        (authority.client("ann"), None),
    ):
        told = await extension(options, trusting(client, tmp_path))
        assert told["client_cert_name"] == "CN=ann"
        assert told["client_cert_error"] == trouble


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("first.example.com", "first"),
        ("second.example.com", "second"),
        ("SECOND.example.com", "second"),
        ("any.wild.example.com", "wild"),
        ("exact.wild.example.com", "exact"),
        ("two.labels.wild.example.com", "first"),
        ("wild.example.com", "first"),
        ("elsewhere.org", "first"),
        ("192.0.2.1", "first"),
    ],
)
async def test_names_choose_the_certificate(
    tmp_path: Path, authority: Authority, name: str, shown: str
) -> None:
    names = {
        "first": ["first.example.com"],
        "second": ["second.example.com", "also.example.com"],
        "wild": ["*.wild.example.com"],
        "exact": ["exact.wild.example.com"],
    }
    pairs = [authority.issue(each, names[each]).save(tmp_path, each) for each in names]
    options = options_of(pairs[0], certificates=tuple(pairs[1:]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=authority.pem.decode())
    told = await extension(options, context, name)
    assert told["server_cert"] == (tmp_path / f"{shown}.pem").read_text()


async def test_a_client_that_names_nobody_gets_the_first(
    pair: Mapping[str, str], tmp_path: Path, authority: Authority, trusting: Trusting
) -> None:
    other = authority.issue("other", ["other.example.com"]).save(tmp_path, "other")
    context = trusting()
    context.check_hostname = False
    told = await extension(options_of(pair, certificates=(other,)), context, None)
    assert told["server_cert"] == Path(pair["certificate"]).read_text()


async def test_the_client_is_asked_under_every_name(
    pair: Mapping[str, str],
    material: Path,
    tmp_path: Path,
    authority: Authority,
    trusting: Trusting,
) -> None:
    """The context changes with the name; what is asked of the client must not."""
    other = authority.issue("other", ["other.example.com"]).save(tmp_path, "other")
    options = options_of(pair, certificates=(other,), clientcas=(str(material / "ca.pem"),))
    made, renewal = await handshakes(options)
    told = await extension(
        options, trusting(authority.client("ann"), tmp_path), "other.example.com"
    )
    assert told["client_cert_name"] == "CN=ann"
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    client = asyncio.create_task(
        asyncio.to_thread(context.wrap_socket, theirs, server_hostname="other.example.com")
    )
    with pytest.raises(OSError, match="did not return a certificate"):
        await made.establish(ours, lambda: Told(asyncio.Future()))
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure|certificate.required"):
        await client
    ours.close()
    await renewal.stop()


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["spdy/3"], None),
        ([], None),
    ],
    ids=str,
)
async def test_protocols(
    pair: Mapping[str, str], trusting: Trusting, offered: Sequence[str], agreed: str | None
) -> None:
    made, renewal = await handshakes(options_of(pair))
    context = trusting()
    if offered:
        context.set_alpn_protocols(list(offered))
    transport, client = await shake(made, context)
    assert client.selected_alpn_protocol() == agreed
    assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
    transport.close()
    client.close()
    await renewal.stop()


async def test_plain_http_is_left_untouched(pair: Mapping[str, str]) -> None:
    made, renewal = await handshakes(options_of(pair))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(b"GET / HTTP/1.1\r\n")
    assert not await made.establish(ours, lambda: Told(asyncio.Future()))
    assert ours.recv(100) == b"GET / HTTP/1.1\r\n"
    ours.close()
    theirs.close()
    await renewal.stop()


@pytest.mark.parametrize(
    "junk", [b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x80\x2e\x01", b"\x16" * 11]
)
async def test_junk_is_the_end(pair: Mapping[str, str], junk: bytes) -> None:
    made, renewal = await handshakes(options_of(pair))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    theirs.send(junk)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(OSError, match=r"handshake"):
        await asyncio.wait_for(made.establish(ours, lambda: Told(asyncio.Future())), 10)
    ours.close()
    theirs.close()
    await renewal.stop()


async def test_no_certificate_yet(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "awaited.pem"
    options = Options(certificate=str(path), key=str(path))
    awaited = Pair(path, path, awaited=True)
    renewal = Renewal(options, [awaited], Policy.of(options, ["http/1.1"]))
    await renewal.start()
    made = Handshakes(renewal, None)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(b"\x16\x03\x01")
    with pytest.raises(OSError, match="no certificate yet"):
        await made.establish(ours, lambda: Told(asyncio.Future()))
    assert theirs.recv(100) == b"\x15\x03\x03\x00\x02\x02\x70"
    ours.close()
    theirs.close()
    issued = authority.issue(names=["localhost"])
    put(path, issued.key_pem() + issued.pem)
    while renewal.contexts.first is None:
        await asyncio.sleep(0.05)
    await renewal.stop()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("asked", [False, True])
async def test_sessions_are_resumed_unless_the_client_is_asked(
    pair: Mapping[str, str],
    material: Path,
    tmp_path: Path,
    authority: Authority,
    trusting: Trusting,
    version: ssl.TLSVersion,
    asked: bool,
) -> None:
    more = {"clientcas": [str(material / "ca.pem")]} if asked else {}
    made, renewal = await handshakes(options_of(pair, **more))
    context = trusting(authority.client("ann"), tmp_path)
    context.maximum_version = version
    session: ssl.SSLSession | None = None
    for _ in range(2):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        told: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()
        client = asyncio.create_task(
            asyncio.to_thread(
                context.wrap_socket, theirs, server_hostname="localhost", session=session
            )
        )
        assert await made.establish(ours, partial(Told, told))
        transport, sock = await told, await client
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"x")
        assert await asyncio.to_thread(sock.recv, 1) == b"x"  # tickets come before it
        resumed, session = sock.session_reused, sock.session
        transport.close()
        sock.close()
    assert resumed is not asked
    await renewal.stop()
