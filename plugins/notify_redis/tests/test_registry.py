"""From a push over HTTP to a consumer, by way of a registry and a stream."""

from __future__ import annotations

import asyncio
import json
import types
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from plugins.notify_redis.tests.conftest import Start
from plugins.notify_redis.tests.streams import STREAM, entries
from pyreg_notify_redis import Options, RedisPlugin
from tests.docs.pages import read
from tests.fixtures.in_process import image, post_blob, put_manifest, serving
from tests.fixtures.project import ROOT
from tests.fixtures.wire import OCI_MANIFEST, sha256
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio

README = ROOT / "plugins" / "notify_redis" / "README.md"


def client_of(server: RedisServer) -> Redis:
    return Redis(unix_socket_path=str(server.socket))


@pytest.fixture
def consume() -> Callable[..., int]:
    """The consumer of the README."""
    [block] = [block for block in read(README).blocks if block.language == "python"]
    module = types.ModuleType("consumer")
    exec(block.text, module.__dict__)
    found: Callable[..., int] = module.__dict__["consume"]
    return found


async def test_a_registry_in_this_process(start: Start) -> None:
    server = start()
    plugin = RedisPlugin(Options(name="bus", url=server.url))
    manifest = image(b"{}")
    async with serving(plugin) as client:
        assert (await post_blob(client, "team/app", b"{}")).status_code == 201
        assert (await put_manifest(client, "team/app", "v1", manifest)).status_code == 201
        while len(found := await entries(server)) < 2:
            await asyncio.sleep(0.02)
    blob, push = found
    assert (blob["action"], blob["kind"], blob["digest"]) == ("push", "blob", sha256(b"{}"))
    assert (push["action"], push["kind"], push["tag"]) == ("push", "manifest", "v1")
    event = json.loads(push["event"])
    assert event["target"]["url"] == f"http://registry.test/v2/team/app/manifests/{push['digest']}"
    assert event["target"]["mediaType"] == OCI_MANIFEST


def test_the_consumer_acts_once(start: Start, consume: Callable[..., int]) -> None:
    server = start()
    acted: list[dict[str, Any]] = []
    with client_of(server) as redis:
        assert consume(redis, "one", acted.append) == 0
        fields = {"id": "an-id", "event": '{"action": "push"}'}
        for _ in range(2):
            redis.xadd(STREAM, fields)
        assert consume(redis, "one", acted.append) == 2
        redis.xadd(STREAM, fields)
        assert consume(redis, "two", acted.append) == 1
        assert acted == [{"action": "push"}]

        def fail(event: dict[str, Any]) -> None:
            raise RuntimeError("not now")

        redis.xadd(STREAM, {**fields, "id": "other"})
        with pytest.raises(RuntimeError):
            consume(redis, "one", fail)
        assert consume(redis, "two", acted.append) == 0
        assert consume(redis, "one", acted.append) == 1
        assert len(acted) == 2
