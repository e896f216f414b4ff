"""Against Pebble, Let's Encrypt's authority for tests: it rejects one good nonce in twenty."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pyreg_tls.acme import Acme, LetsEncrypt, schedule, source
from pyreg_tls.certificates import Certificate, Pair, load
from tests.servers.pebble import EAB_KEYS, Pebble

pytestmark = pytest.mark.anyio

HOST = "registry.example.com"
PATIENCE = 150.0  # Pebble may stop to answer for an order, until a new one is made

Options = Callable[..., LetsEncrypt]
Start = Callable[..., Pebble]


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        await asyncio.sleep(0.02)


def certificate(acme: Acme, index: int = 0) -> Certificate | None:
    path = acme.files[index]
    return load(Pair(path, path, awaited=True))


def state(acme: Acme, host: str = HOST) -> dict[str, Any]:
    """What is remembered of a host and the authority that was asked last."""
    file = json.loads((acme.files[0].parent / f"{host}+state").read_text())
    *_, last = file["authorities"].values()
    return {"issuer": file["issuer"], **last}


def failures(acme: Acme) -> int:
    path = acme.files[0].parent / f"{HOST}+state"
    return int(state(acme)["failures"]) if path.exists() else 0


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
async def test_a_certificate(
    kind: str,
    start_pebble: Start,
    options: Options,
    front: ModuleType,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pyreg.tls")
    authority = start_pebble()
    acme = Acme(options(authority, challenges=(kind,), email="ada@example.com"))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        assert await acme.health() == f"waiting for a certificate for {HOST}"
        await until(acme.files[0].exists, "the certificate")
        await acme.stop()
    found = certificate(acme)
    assert found is not None
    assert found.names == {HOST}
    assert len(found.chain) == 2, "the intermediate comes with it"
    assert isinstance(found.key, ec.EllipticCurvePrivateKey)
    found.chain[0].verify_directly_issued_by(found.chain[1])
    found.chain[1].verify_directly_issued_by(
        x509.load_pem_x509_certificate(authority.issuers().encode())
    )
    assert await acme.health() is None
    kept = {path.name: path.stat().st_mode & 0o777 for path in acme.files[0].parent.iterdir()}
    assert kept == dict.fromkeys((HOST, f"{HOST}+state", "acme_account+key", "+lock"), 0o600)
    assert acme.files[0].parent.stat().st_mode & 0o777 == 0o700
    assert "there is none yet" in caplog.text
    assert f"{HOST} has a certificate until" in caplog.text


async def test_one_certificate_for_each_host_and_one_account(
    start_pebble: Start, options: Options, front: ModuleType
) -> None:
    authority = start_pebble(bad_nonces=50)
    hosts = ("a.example.com", "b.example.com", "bücher.example.com")
    acme = Acme(options(authority, hosts=hosts))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        await until(lambda: all(path.exists() for path in acme.files), "the certificates")
        await acme.stop()
    names = [found.names for index in range(3) if (found := certificate(acme, index))]
    assert names == [{"a.example.com"}, {"b.example.com"}, {"xn--bcher-kva.example.com"}]
    assert authority.accounts == 1


async def test_renewal_in_time_with_the_same_account(
    start_pebble: Start, options: Options, front: ModuleType
) -> None:
    authority = start_pebble(lifetime=12)
    acme = Acme(options(authority))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        seen: list[Certificate] = []

        def renewed() -> bool:
            found = certificate(acme)
            if found is not None and found.chain[0] not in [each.chain[0] for each in seen]:
                assert all(found.key != each.key for each in seen)
                if seen:
                    left = seen[-1].expires.timestamp() - time.time()
                    assert left > 0, "the old one was still good when the new one came"
                seen.append(found)
            return len(seen) == 3

        await until(renewed, "two renewals")
        await acme.stop()
    assert authority.accounts == 1


async def test_a_new_process_keeps_the_account(
    start_pebble: Start, options: Options, front: ModuleType
) -> None:
    authority = start_pebble()
    for turn in range(2):
        acme = Acme(options(authority, hosts=(f"{turn}.example.com",)))
        async with front.answering(acme, authority.proofs):
            await acme.start()
            await until(acme.files[0].exists, "the certificate")
            await acme.stop()
    assert authority.accounts == 1
    assert authority.issued == 2


async def test_external_account_binding(
    start_pebble: Start, options: Options, front: ModuleType, tmp_path: Path
) -> None:
    authority = start_pebble(binding=True)
    file = tmp_path / "hmac.key"
    file.write_text(EAB_KEYS["kid-1"] + "\n")
    acme = Acme(options(authority, eab={"kid": "kid-1", "hmackeyfile": str(file)}))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        await until(acme.files[0].exists, "the certificate")
        await acme.stop()


@pytest.mark.parametrize(
    ("eab", "words"),
    [
        ({}, "externalAccountRequired"),
        ({"kid": "kid-2", "hmackey": "c2VjcmV0"}, "not known to the ACME server"),
        ({"kid": "kid-1", "hmackey": "c2VjcmV0"}, "unauthorized"),
    ],
)
async def test_a_wrong_binding_is_refused_in_the_authority_s_words(
    eab: dict[str, str],
    words: str,
    start_pebble: Start,
    options: Options,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    authority = start_pebble(binding=True, bad_nonces=0)
    acme = Acme(options(authority, eab=eab))
    await acme.start()
    await until(lambda: failures(acme) == 1, "the refusal")
    await acme.stop()
    assert words in state(acme)["reason"]
    assert "failed attempts: 1, the log says why" in (await acme.health() or "")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(words in warning and "next attempt" in warning for warning in warnings)
    assert not eab.get("hmackey") or eab["hmackey"] not in caplog.text
    assert state(acme)["retry"] > time.time() + 30, "a refusal costs the authority something"


async def test_a_host_that_the_authority_does_not_serve(
    start_pebble: Start, options: Options, front: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    authority = start_pebble(config={"domainBlocklist": ["blocked.example.com"]}, bad_nonces=0)
    acme = Acme(options(authority, hosts=("blocked.example.com", HOST)))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        await until(acme.files[1].exists, "the other host's certificate")
        await acme.stop()
    assert not acme.files[0].exists()
    said = state(acme, "blocked.example.com")
    assert "rejectedIdentifier" in said["reason"]
    assert said["reason"] in caplog.text


async def test_a_failed_proof_is_told_and_the_other_kind_tried(
    start_pebble: Start,
    options: Options,
    front: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(schedule, "FIRST_PAUSE", 1.0)
    authority = start_pebble(bad_nonces=0)
    acme = Acme(options(authority))

    async def no_hello(hello: bytes) -> ssl.SSLContext | None:
        return None  # as behind a proxy that speaks TLS itself

    monkeypatch.setattr(acme, "hello_context", no_hello)
    async with front.answering(acme, authority.proofs):
        await acme.start()
        await until(acme.files[0].exists, "the certificate")
        await acme.stop()
    assert f"no certificate for {HOST}: tls-alpn-01: " in caplog.text
    # The next renewal begins with the kind that worked.
    assert state(acme)["challenge"] == 1
    assert state(acme)["failures"] == 0


async def test_what_failed_is_not_tried_again_at_a_new_start(
    start_pebble: Start, options: Options
) -> None:
    """A process that is started again and again must not use up the authority's patience."""
    authority = start_pebble(bad_nonces=0)
    for _ in range(3):  # nobody answers at the port for proofs
        acme = Acme(options(authority))
        await acme.start()
        await until(lambda acme=acme: failures(acme) == 1, "the refusal")  # type: ignore[misc]
        await asyncio.sleep(0.2)
        await acme.stop()
    assert authority.log().count("POST /order-plz") == 1


async def test_an_authority_that_is_down_at_the_start(
    start_pebble: Start,
    options: Options,
    front: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(schedule, "UNREACHABLE_PAUSE", 0.5)
    authority = start_pebble()
    authority.process.kill()
    acme = Acme(options(authority))
    async with front.answering(acme, authority.proofs):
        await acme.start()
        await until(lambda: failures(acme) >= 2, "two attempts")
        assert "cannot be reached" in state(acme)["reason"]
        authority.start()
        await until(acme.files[0].exists, "the certificate")
        await acme.stop()
    assert "Connection refused" in caplog.text
    assert await acme.health() is None


async def test_an_authority_that_is_down_at_a_renewal(
    start_pebble: Start,
    options: Options,
    front: ModuleType,
    signed: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "UNREACHABLE_PAUSE", 0.3)
    monkeypatch.setattr(source, "AFTER_TROUBLE", 0.1)
    authority = start_pebble()
    authority.process.kill()
    acme = Acme(options(authority))
    acme.files[0].parent.mkdir()
    now = time.time()
    old = signed(begins=now - 70 * 86400, ends=now + 20 * 86400)
    acme.files[0].write_bytes(old)
    async with front.answering(acme, authority.proofs):
        await acme.start()
        assert await acme.health() is None, "there are 20 days left"
        await until(lambda: failures(acme) >= 2, "two attempts")
        assert acme.files[0].read_bytes() == old
        authority.start()
        await until(lambda: acme.files[0].read_bytes() != old, "the new certificate")
        await acme.stop()
    found = certificate(acme)
    assert found is not None
    assert found.names == {HOST}


async def test_what_the_docker_registry_has_left_is_served_with_the_authority_down(
    start_pebble: Start, options: Options, signed: Callable[..., bytes]
) -> None:
    authority = start_pebble()
    authority.process.kill()
    acme = Acme(options(authority))
    acme.files[0].parent.mkdir()
    now = time.time()
    acme.files[0].write_bytes(signed(begins=now - 10 * 86400, ends=now + 80 * 86400))
    await acme.start()
    await acme.stop()
    assert await acme.health() is None
    assert certificate(acme) is not None


@pytest.mark.parametrize("damage", ["nothing", "half", "another key"])
async def test_a_damaged_file_is_replaced(
    damage: str,
    start_pebble: Start,
    options: Options,
    front: ModuleType,
    signed: Callable[..., bytes],
) -> None:
    authority = start_pebble()
    acme = Acme(options(authority))
    acme.files[0].parent.mkdir()
    now = time.time()
    stranger = ec.generate_private_key(ec.SECP256R1()) if damage == "another key" else None
    pem = signed(begins=now, ends=now + 90 * 86400, key=stranger)
    pem = {"nothing": b"", "half": pem[: len(pem) // 2]}.get(damage, pem)
    acme.files[0].write_bytes(pem)
    async with front.answering(acme, authority.proofs):
        await acme.start()
        assert certificate(acme) is None, "the server can start"
        await until(acme.files[0].exists, "the certificate")
        await acme.stop()
    assert certificate(acme) is not None
    assert acme.files[0].with_name(f"{HOST}+damaged").read_bytes() == pem


async def test_another_authority_replaces_the_certificate_at_once(
    start_pebble: Start, options: Options, front: ModuleType
) -> None:
    first = start_pebble()
    acme = Acme(options(first))
    async with front.answering(acme, first.proofs):
        await acme.start()
        await until(acme.files[0].exists, "the certificate")
        await acme.stop()
    old = acme.files[0].read_bytes()
    second = start_pebble(proofs=first.proofs)
    before, acme = acme, Acme(options(second))
    async with front.answering(acme, first.proofs):
        await acme.start()
        await until(lambda: acme.files[0].read_bytes() != old, "the new certificate")
        await acme.stop()
    # Processes of the old configuration may still be finishing their clients' requests.
    assert await asyncio.to_thread(before.look) > 60
    assert (first.issued, second.issued) == (1, 1)
    assert state(acme)["issuer"] == second.url


async def test_replicas_on_one_directory_order_once(
    start_pebble: Start, options: Options, front: ModuleType
) -> None:
    """Six of them, and the authority looks for its proof at one that may not have asked."""
    authority = start_pebble()
    replicas = [Acme(options(authority)) for _ in range(6)]
    async with front.answering(replicas[0], authority.proofs):
        await asyncio.gather(*(each.start() for each in replicas))
        await until(replicas[0].files[0].exists, "the certificate")
        await asyncio.sleep(source.OTHER_ASKS + 1)  # so that each has looked again
        await asyncio.gather(*(each.stop() for each in replicas))
    assert authority.log().count("POST /order-plz") == 1
    assert (authority.accounts, authority.issued) == (1, 1)


async def test_a_stop_waits_for_nothing(start_pebble: Start, options: Options) -> None:
    """While the authority validates for ever, and while it does not answer at all."""
    authority = start_pebble()
    acme = Acme(options(authority))
    await acme.start()
    await until(lambda: "POST /chalZ" in authority.log(), "the challenge")
    await asyncio.wait_for(acme.stop(), PATIENCE)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    acme = Acme(
        options(authority, directoryurl=f"https://127.0.0.1:{port}/dir", hosts=("a.example.com",))
    )
    await acme.start()
    await asyncio.sleep(0.2)
    await asyncio.wait_for(acme.stop(), source.STOP * 4)
    silent.close()


def settled(acme: Acme) -> bool:
    """Whether nothing is left but what has to be kept."""
    left = {path.name for path in acme.files[0].parent.iterdir()}
    kept = {HOST, f"{HOST}+state", "acme_account+key", "+lock"}
    return left == kept and not state(acme)["order"]


def run(
    front: ModuleType, options: LetsEncrypt, port: int, step: int
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(front.__file__), options.model_dump_json(), str(port), str(step)]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, text=True)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
async def test_killed_at_any_step(
    kind: str, start_pebble: Start, options: Options, front: ModuleType, tmp_path: Path
) -> None:
    """The next process goes on: with the same account, and without a second certificate."""
    stride = 1 if os.environ.get("PYREG_SOAK") == "1" else 6
    authority = start_pebble(bad_nonces=0)
    for turn, step in enumerate(range(1, 200, stride), 1):
        chosen = options(authority, cachefile=str(tmp_path / str(step)), challenges=(kind,))
        process = await asyncio.to_thread(run, front, chosen, authority.proofs, step)
        where = f"at step {step}, {process.stdout.strip()}\n{process.stderr}"
        assert process.returncode in (0, -9), where
        acme = Acme(chosen)
        async with front.answering(acme, authority.proofs):
            await acme.start()
            await until(acme.files[0].exists, f"the certificate, killed {where}")
            await until(lambda acme=acme: settled(acme), f"order, killed {where}")  # type: ignore[misc]
            await acme.stop()
        assert certificate(acme) is not None, where
        assert authority.accounts == turn, f"another account, killed {where}"
        assert authority.issued == turn, f"another certificate, killed {where}"
        if process.returncode == 0:
            assert step > 20, "there are more steps than that"
            return
    pytest.fail("it never came to an end by itself")
