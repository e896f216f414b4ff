"""TLS by real sockets: private authorities, client certificates, and files that change."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.notify_webhook.tests.conftest import Opened
from plugins.notify_webhook.tests.receiver import Receiver
from plugins.notify_webhook.tests.samples import PUSH
from pyreg.errors import PluginError
from pyreg.hooks import DeliveryFailed
from pyreg_notify_webhook import TLS, Options, WebhookSink, watched
from tests.server.authorities import DAY, Authority, Issued, put

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def material(workshop: Path, authority: Authority) -> Path:
    """ca.pem, and a server's certificate for 127.0.0.1 and for hooks.example.com."""
    directory = workshop / "webhook-tls"
    put(directory / "ca.pem", authority.pem)
    authority.issue(names=["127.0.0.1", "localhost"]).save(directory, "server")
    authority.issue(names=["hooks.example.com"]).save(directory, "named")
    return directory


@pytest.fixture(scope="module")
def clients() -> Authority:
    """Signs the registries that a receiver lets in."""
    return Authority("clients")


@pytest.fixture(scope="module")
def encrypted(material: Path) -> Iterator[Receiver]:
    """A receiver that speaks TLS."""
    yield from _receiver(material, "server", {})


@pytest.fixture(scope="module")
def strict(material: Path, clients: Authority) -> Iterator[Receiver]:
    """A receiver that lets in only whoever has a certificate of `clients`."""
    put(material / "clients.pem", clients.pem)
    yield from _receiver(material, "server", {"clientcas": str(material / "clients.pem")})


@pytest.fixture(scope="module")
def named(material: Path) -> Iterator[Receiver]:
    """A receiver whose certificate is for another name than its address."""
    yield from _receiver(material, "named", {})


def _receiver(material: Path, name: str, more: dict[str, str]) -> Iterator[Receiver]:
    tls = {"certificate": str(material / f"{name}.pem"), "key": str(material / f"{name}.key")}
    started = Receiver(material / f"receiver-{name}{len(more)}", {**tls, **more}).start()
    yield started
    started.stop()


def trusted(material: Path, **more: Any) -> dict[str, Any]:
    return {"cas": [str(material / "ca.pem")], **more}


async def reason(sink: WebhookSink) -> str:
    """Why a delivery fails."""
    with pytest.raises(DeliveryFailed) as caught:
        await sink.deliver([PUSH])
    return caught.value.reason


async def test_a_private_authority(encrypted: Receiver, opened: Opened, material: Path) -> None:
    before = len(encrypted.requests())
    sink = await opened(encrypted.url, tls=trusted(material))
    await sink.deliver([PUSH])
    await sink.deliver([PUSH])
    assert len(encrypted.requests()) == before + 2
    assert (await sink.test(PUSH)).startswith("200 OK")


async def test_a_stranger_is_not_spoken_to(
    encrypted: Receiver, opened: Opened, material: Path, tmp_path: Path
) -> None:
    before = len(encrypted.requests())
    assert "certificate that is not trusted" in await reason(await opened(encrypted.url))
    put(tmp_path / "other.pem", Authority("other").pem)
    sink = await opened(encrypted.url, tls={"cas": [str(tmp_path / "other.pem")]})
    assert "certificate that is not trusted" in await reason(sink)
    assert len(encrypted.requests()) == before


async def test_the_name_in_the_certificate(named: Receiver, opened: Opened, material: Path) -> None:
    sink = await opened(named.url, tls=trusted(material))
    assert "certificate that is not trusted" in await reason(sink)
    sink = await opened(named.url, tls=trusted(material, servername="hooks.example.com"))
    await sink.deliver([PUSH])
    assert len(named.requests()) == 1
    assert named.requests()[0].headers["host"] == f"127.0.0.1:{named.port}"


async def test_a_client_certificate(
    strict: Receiver, opened: Opened, material: Path, clients: Authority, tmp_path: Path
) -> None:
    assert await reason(await opened(strict.url, tls=trusted(material)))
    wrong = Authority("other").client().save(tmp_path, "wrong")
    assert await reason(await opened(strict.url, tls=trusted(material, **wrong)))
    assert strict.requests() == []
    right = clients.client().save(tmp_path, "right")
    await (await opened(strict.url, tls=trusted(material, **right))).deliver([PUSH])
    assert len(strict.requests()) == 1


async def test_certificates_are_renewed_without_a_restart(
    strict: Receiver,
    opened: Opened,
    material: Path,
    clients: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.0)
    before = len(strict.requests())
    paths = clients.client(begins=-2 * DAY, ends=-DAY).save(tmp_path, "client")
    sink = await opened(strict.url, tls=trusted(material, **paths))
    assert await reason(sink)
    fresh = clients.client()
    put(tmp_path / "client.pem", fresh.pem)
    assert await reason(sink)  # the old one, as the key of the new one is not there yet
    put(tmp_path / "client.key", fresh.key_pem())
    await sink.deliver([PUSH])
    put(tmp_path / "client.key", b"nothing")
    await sink.deliver([PUSH])
    assert len(strict.requests()) == before + 2


async def test_an_authority_is_replaced_without_a_restart(
    encrypted: Receiver,
    opened: Opened,
    material: Path,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.0)
    path = put(tmp_path / "ca.pem", "Zoë's own\n".encode() + Authority("other").pem)
    sink = await opened(encrypted.url, tls={"cas": [str(path)]})
    assert "not trusted" in await reason(sink)
    put(path, authority.pem)
    await sink.deliver([PUSH])
    # A connection that was made with the old authority is not used any more.
    put(path, Authority("other").pem)
    assert "not trusted" in await reason(sink)


async def test_plain_http_at_an_https_address(
    receiver: Receiver, opened: Opened, material: Path
) -> None:
    sink = await opened(receiver.url.replace("http://", "https://"), tls=trusted(material))
    assert "does not agree on TLS" in await reason(sink)


async def test_https_at_an_http_address(encrypted: Receiver, opened: Opened) -> None:
    sink = await opened(encrypted.url.replace("https://", "http://"))
    assert await reason(sink)


async def test_through_the_tunnel_of_a_proxy(
    encrypted: Receiver, opened: Opened, material: Path
) -> None:
    heads: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        there = await asyncio.open_connection("127.0.0.1", encrypted.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    before = len(encrypted.requests())
    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    async with server:
        proxy = f"http://bea:proxy-secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sink = await opened(encrypted.url, tls=trusted(material), proxy=proxy)
        await sink.deliver([PUSH])
        await sink.deliver([PUSH])
        await sink.close()
    assert len(heads) == 1
    assert heads[0].startswith(f"CONNECT 127.0.0.1:{encrypted.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " in heads[0]
    for request in encrypted.requests()[before:]:
        assert "proxy-authorization" not in request.headers
    assert len(encrypted.requests()) == before + 2


class TestMistakesAtTheStart:
    @pytest.fixture
    def pair(self, tmp_path: Path, authority: Authority) -> TLS:
        return TLS.model_validate(authority.client().save(tmp_path, "client"))

    async def refused(self, tls: TLS) -> str:
        """What the registry says before it does not start."""
        with pytest.raises(PluginError) as caught:
            await WebhookSink(Options(name="audit", url="https://127.0.0.1:1", tls=tls)).open()
        assert str(caught.value).startswith("the endpoint audit, tls: ")
        return str(caught.value)

    async def test_a_missing_file(self, pair: TLS, tmp_path: Path) -> None:
        gone = str(tmp_path / "gone.pem")
        for changes in ({"certificate": gone}, {"key": gone}, {"cas": (gone,)}):
            text = await self.refused(pair.model_copy(update=changes))
            assert f"cannot read {gone}: no such file or directory" in text

    async def test_the_key_of_another_one(
        self, pair: TLS, authority: Authority, tmp_path: Path
    ) -> None:
        other = put(tmp_path / "other.key", authority.client().key_pem())
        text = await self.refused(pair.model_copy(update={"key": str(other)}))
        assert f"{other} is not the key of the certificate {pair.certificate}" in text

    async def test_an_encrypted_key(self, pair: TLS, authority: Authority, tmp_path: Path) -> None:
        issued: Issued = replace(authority.client())
        key = put(tmp_path / "secret.key", issued.key_pem("password"))
        certificate = put(tmp_path / "secret.pem", issued.pem)
        text = await self.refused(TLS(certificate=str(certificate), key=str(key)))
        assert "openssl pkey" in text

    @pytest.mark.parametrize("content", [b"", b"no PEM", b"\xff\xfe", b"x" * (2 << 20)])
    async def test_what_is_none(self, pair: TLS, tmp_path: Path, content: bytes) -> None:
        path = str(put(tmp_path / "none", content))
        for changes in ({"certificate": path}, {"key": path}, {"cas": (path,)}):
            text = await self.refused(pair.model_copy(update=changes))
            assert path in text


def test_old_protocols_are_not_spoken(material: Path) -> None:
    from pyreg_notify_webhook.encryption import context

    for options in (TLS(), TLS(cas=(str(material / "ca.pem"),))):
        made = context(options)
        assert made.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert made.verify_mode == ssl.CERT_REQUIRED
        assert made.check_hostname
