"""Keys from files and addresses stay current, whatever happens to these."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from plugins.auth_token.tests import tokens
from pyreg.errors import PluginError
from pyreg_auth_token import remote
from pyreg_auth_token.documents import read_jwks
from pyreg_auth_token.fetching import Document, FetchFailed
from pyreg_auth_token.remote import RemoteKeys
from pyreg_auth_token.sources import KeyFile, KeySources

pytestmark = pytest.mark.anyio


def key_set(*owners: str) -> bytes:
    keys = [tokens.jwk(tokens.key("ES256", owner).public_key(), kid=owner) for owner in owners]
    return json.dumps({"keys": keys}).encode()


class Hands:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Publishes keys, and counts how often it is asked."""

    def __init__(self, *answers: Document | Exception) -> None:
        self.answers: Sequence[Document | Exception] = answers
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Document:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        await self.open.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


def document(*owners: str, max_age: int | None = None) -> Document:
    return Document(key_set(*owners), max_age)


DOWN = FetchFailed("https://auth.example.com/keys: connection refused")


async def settled() -> None:
    """Let fetches in the background come to their end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait([task for task in others if "RemoteKeys" in repr(task)] or [_nothing()])


def _nothing() -> asyncio.Task[None]:
    return asyncio.ensure_future(asyncio.sleep(0))


class TestFiles:
    async def test_a_change_is_noticed(self, tmp_path: Path) -> None:
        clock, path = Hands(), tmp_path / "jwks.json"
        path.write_bytes(key_set("a"))
        source = KeyFile(str(path), "auth.token.jwks", read_jwks, clock=clock)
        await source.start()
        before = await source.current()
        path.write_bytes(key_set("a", "b"))
        assert await source.current() is before  # it was looked at just now
        clock.now += 1
        after = await source.current()
        assert {"a", "b"} < set(after.named)
        clock.now += 1
        assert await source.current() is after

    async def test_a_broken_file_changes_nothing_and_is_reported_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, path = Hands(), tmp_path / "jwks.json"
        path.write_bytes(key_set("a"))
        source = KeyFile(str(path), "auth.token.jwks", read_jwks, clock=clock)
        await source.start()
        before = await source.current()
        for break_it in (lambda: path.write_bytes(b"{"), path.unlink):
            caplog.clear()
            break_it()
            for _ in range(3):
                clock.now += 1
                assert await source.current() is before
            assert caplog.text.count("its old keys stay") == 1
        path.write_bytes(key_set("b"))
        clock.now += 1
        assert "b" in (await source.current()).named

    async def test_a_file_that_is_replaced_by_one_of_the_same_size_and_date(
        self, tmp_path: Path
    ) -> None:
        """As configuration management does, with dates of their own."""
        clock, path = Hands(), tmp_path / "jwks.json"
        path.write_bytes(key_set("a"))
        source = KeyFile(str(path), "auth.token.jwks", read_jwks, clock=clock)
        await source.start()
        other = tmp_path / "new"
        other.write_bytes(key_set("b"))
        date = path.stat().st_mtime_ns
        os.utime(other, ns=(date, date))
        other.replace(path)
        clock.now += 1
        assert "b" in (await source.current()).named

    @pytest.mark.parametrize("data", [None, b"{", b" " * 2_000_000])
    async def test_a_mistake_at_the_start(self, tmp_path: Path, data: bytes | None) -> None:
        path = tmp_path / "jwks.json"
        if data is not None:
            path.write_bytes(data)
        source = KeyFile(str(path), "auth.token.jwks", read_jwks)
        with pytest.raises(PluginError, match=r"auth\.token\.jwks: .*jwks\.json: "):
            await source.start()


class TestAddresses:
    async def test_the_start_waits_for_nobody(self) -> None:
        issuer = Issuer(document("a"))
        issuer.open.clear()
        source = RemoteKeys("x", issuer, clock=Hands())
        await source.start()
        issuer.open.set()
        assert "a" in (await source.current()).named
        assert issuer.asked == 1
        await source.stop()

    async def test_a_fetch_is_shared_and_survives_those_who_leave(self) -> None:
        issuer = Issuer(document("a"))
        issuer.open.clear()
        source = RemoteKeys("x", issuer, clock=Hands())
        waiting = [asyncio.create_task(source.current()) for _ in range(50)]
        await asyncio.sleep(0)
        for task in waiting[:25]:
            task.cancel()
        await asyncio.sleep(0)
        issuer.open.set()
        rings = await asyncio.gather(*waiting[25:])
        assert all("a" in ring.named for ring in rings)
        assert issuer.asked == 1

    async def test_unknown_names_do_not_hammer_the_issuer(self) -> None:
        clock, issuer = Hands(), Issuer(document("a"))
        source = RemoteKeys("x", issuer, clock=clock)
        await source.current()
        for _ in range(1000):
            await source.renewed()
            clock.now += 0.1
        assert issuer.asked <= 2 + 100 / remote.PAUSE

    async def test_a_new_key_is_found_when_its_name_comes(self) -> None:
        clock, issuer = Hands(), Issuer(document("a"), document("a", "b"))
        source = RemoteKeys("x", issuer, clock=clock)
        assert "b" not in (await source.current()).named
        clock.now += remote.PAUSE
        assert "b" in (await source.renewed()).named

    async def test_keys_that_are_due_are_fetched_behind_the_scenes(self) -> None:
        clock, issuer = Hands(), Issuer(document("a"), document("b"))
        source = RemoteKeys("x", issuer, clock=clock)
        first = await source.current()
        issuer.open.clear()
        clock.now += remote.LIFETIME[1]
        assert await source.current() is first
        issuer.open.set()
        await settled()
        assert "b" in (await source.current()).named
        assert "a" not in (await source.current()).named

    @pytest.mark.parametrize(("max_age", "lifetime"), [(0, 60), (300, 300), (10**8, 3600)])
    async def test_the_issuers_advice_is_followed_within_bounds(
        self, max_age: int, lifetime: int
    ) -> None:
        clock, issuer = Hands(), Issuer(document("a", max_age=max_age))
        source = RemoteKeys("x", issuer, clock=clock)
        await source.current()
        clock.now += lifetime - 1
        await source.current()
        await settled()
        assert issuer.asked == 1
        clock.now += 1
        await source.current()
        await settled()
        assert issuer.asked == 2

    async def test_the_old_keys_serve_while_the_issuer_is_down(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, issuer = Hands(), Issuer(document("a"), DOWN)
        source = RemoteKeys("https://auth.example.com/keys", issuer, clock=clock)
        first = await source.current()
        for _ in range(20):
            clock.now += remote.STALE / 21
            assert await source.current() is first
            await settled()
        assert "connection refused; the old ones stay" in caplog.text
        clock.now += remote.STALE / 21 + 1
        # Whoever keeps the registry from the issuer must not keep a key in force for ever.
        assert not (await source.current()).named

    async def test_an_issuer_that_is_down_is_asked_less_and_less(self) -> None:
        clock, issuer = Hands(), Issuer(DOWN)
        source = RemoteKeys("x", issuer, clock=clock)
        for _ in range(3600):
            assert not (await source.current()).named
            assert not (await source.renewed()).named
            clock.now += 1
        assert issuer.asked < 30

    async def test_it_recovers(self) -> None:
        clock, issuer = Hands(), Issuer(DOWN, document("a"))
        source = RemoteKeys("x", issuer, clock=clock)
        assert not (await source.current()).named
        clock.now += remote.BACK_OFF[0]
        assert "a" in (await source.current()).named

    async def test_a_broken_document_is_a_failure(self) -> None:
        clock = Hands()
        issuer = Issuer(document("a"), Document(b"<html>", None), document("b"))
        source = RemoteKeys("x", issuer, clock=clock)
        first = await source.current()
        clock.now += remote.PAUSE
        assert await source.renewed() is first
        clock.now += remote.PAUSE
        assert "b" in (await source.renewed()).named

    async def test_the_same_keys_are_the_same_ring(self) -> None:
        """Or else every refresh would forget the tokens that were verified."""
        clock, issuer = Hands(), Issuer(document("a"))
        source = RemoteKeys("x", issuer, clock=clock)
        first = await source.current()
        clock.now += remote.PAUSE
        assert await source.renewed() is first

    async def test_a_stop_gives_up_a_fetch(self) -> None:
        issuer = Issuer(document("a"))
        issuer.open.clear()
        source = RemoteKeys("x", issuer, clock=Hands())
        await source.start()
        await asyncio.sleep(0)
        await source.stop()
        await source.stop()
        assert len(asyncio.all_tasks()) == len({asyncio.current_task()} | _runners())


def _runners() -> set[asyncio.Task[object] | None]:
    """What the test runner itself keeps running."""
    return {task for task in asyncio.all_tasks() if "RemoteKeys" not in repr(task)}


async def test_several_sources_are_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, path = Hands(), tmp_path / "jwks.json"
    path.write_bytes(key_set("a"))
    issuer = Issuer(document("b"), document("c"))
    file = KeyFile(str(path), "auth.token.jwks", read_jwks, clock=clock)
    sources = KeySources([file, RemoteKeys("x", issuer, clock=clock)])
    await sources.start()
    ring = await sources.current()
    assert {"a", "b"} < set(ring.named)
    assert await sources.current() is ring
    clock.now += remote.PAUSE
    assert {"a", "c"} < set((await sources.renewed()).named)
    await sources.stop()
