"""Over TLS: whom the registry trusts, and what it shows of itself."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from plugins.notify_redis.tests.conftest import Start
from plugins.notify_redis.tests.streams import opened, reason, sink_of
from pyreg.errors import PluginError
from pyreg.testing.events.samples import pushes
from tests.server.authorities import Authority, put

pytestmark = pytest.mark.anyio

Certificates = Mapping[str, str]


def trusting(port: int, ca: object, **more: Any) -> dict[str, Any]:
    return {"url": f"rediss://127.0.0.1:{port}", "tls": {"cas": [str(ca)], **more}}


async def test_a_good_certificate(start: Start, certificates: Certificates) -> None:
    server = start(tls=certificates)
    async with opened(**trusting(server.tls_port, certificates["ca"])) as sink:
        await sink.deliver(pushes(2))
    options: dict[str, Any] = {"address": f"127.0.0.1:{server.tls_port}"}
    async with opened(**options, tls={"cas": [certificates["ca"]]}) as sink:
        assert f"rediss://127.0.0.1:{server.tls_port}/0" in await sink.test(pushes(1)[0])


async def test_nobody_vouches_for_it(
    start: Start, certificates: Certificates, tmp_path: Path
) -> None:
    server = start(tls=certificates)
    other = put(tmp_path / "other.pem", Authority("other").pem)
    for tls in ({}, {"cas": [str(other)]}):
        async with opened(url=f"rediss://127.0.0.1:{server.tls_port}", tls=tls) as sink:
            assert "certificate verify failed" in await reason(sink)


async def test_only_those_are_trusted_that_are_named(
    start: Start, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(tls=certificates)
    other = put(tmp_path / "other.pem", Authority("other").pem)
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca"])  # the machine's own authorities
    async with opened(url=f"rediss://127.0.0.1:{server.tls_port}") as sink:
        await sink.deliver(pushes(1))
    async with opened(**trusting(server.tls_port, other)) as sink:
        assert "certificate verify failed" in await reason(sink)


async def test_it_is_somebody_else(start: Start, authority: Authority, tmp_path: Path) -> None:
    server = start(tls=authority.issue(names=["redis.test"]).save(tmp_path, "other"))
    ca = put(tmp_path / "ca.pem", authority.pem)
    async with opened(**trusting(server.tls_port, ca)) as sink:
        assert "IP address mismatch" in await reason(sink)


async def test_it_wants_a_certificate(
    start: Start, certificates: Certificates, authority: Authority, tmp_path: Path
) -> None:
    ca = certificates["ca"]
    server = start(tls={**certificates, "cas": ca})
    async with opened(**trusting(server.tls_port, ca)) as sink:
        said = (await reason(sink)).partition("/0: ")[2]
        # TLS 1.3 lets a client speak before it has been refused; the server may hang up on that.
        hung_up = (os.strerror(errno.ECONNRESET), os.strerror(errno.EPIPE))
        assert "certificate required" in said or said in hung_up
    own = authority.client("registry").save(tmp_path, "own")
    async with opened(**trusting(server.tls_port, ca, **own)) as sink:
        await sink.deliver(pushes(1))


async def test_one_of_both_does_not_encrypt(start: Start, certificates: Certificates) -> None:
    server = start(tls=certificates)
    async with opened(address=f"127.0.0.1:{server.tls_port}") as sink:
        assert (await reason(sink)).startswith(f"redis://127.0.0.1:{server.tls_port}/0: ")
    async with opened(**trusting(server.port, certificates["ca"])) as sink:
        assert (await reason(sink)).startswith(f"rediss://127.0.0.1:{server.port}/0: ")


async def test_a_renewed_certificate_is_used_from_the_next_connection_on(
    start: Start, certificates: Certificates, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority("stranger")
    ca = certificates["ca"]
    server = start(tls={**certificates, "cas": ca})
    own = stranger.client("registry").save(tmp_path, "own")
    async with opened(**trusting(server.tls_port, ca, **own)) as sink:
        await reason(sink)
        authority.client("registry").save(tmp_path, "own")
        await sink.deliver(pushes(1))


@pytest.mark.parametrize("broken", ["cas", "certificate", "key"])
async def test_a_file_that_is_not_there_keeps_the_registry_from_starting(
    broken: str, certificates: Certificates, tmp_path: Path
) -> None:
    good: dict[str, Any] = {
        "cas": [certificates["ca"]],
        "certificate": certificates["certificate"],
        "key": certificates["key"],
    }
    missing = str(tmp_path / "missing.pem")
    sink = sink_of(
        url="rediss://127.0.0.1",
        tls={**good, broken: [missing] if broken == "cas" else missing},
    )
    with pytest.raises(PluginError, match=f"{missing}.*: No such file"):
        await sink.open()


async def test_a_file_that_is_something_else(certificates: Certificates, tmp_path: Path) -> None:
    text = put(tmp_path / "text", b"not a certificate")
    with pytest.raises(PluginError, match=str(text)):
        await sink_of(**trusting(1, text)).open()
    pair = {"certificate": certificates["certificate"], "key": str(text)}
    with pytest.raises(PluginError, match=str(text)):
        await sink_of(**trusting(1, certificates["ca"], **pair)).open()
