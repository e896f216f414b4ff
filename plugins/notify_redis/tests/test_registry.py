"""From a push over HTTP to a consumer, by way of a registry and a stream."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from plugins.notify_redis.tests.conftest import Start
from plugins.notify_redis.tests.streams import STREAM, entries
from pyreg_notify_redis import Options, RedisPlugin
from tests.docs.pages import read
from tests.fixtures.in_process import image, post_blob, put_manifest, serving
from tests.fixtures.project import ROOT
from tests.fixtures.wire import OCI_MANIFEST, Wire, sha256
from tests.servers.process import until
from tests.servers.redis import RedisServer
from tests.servers.registries import Registry, start_pyreg

pytestmark = pytest.mark.anyio

README = ROOT / "plugins" / "notify_redis" / "README.md"


def client_of(server: RedisServer) -> Any:
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


class Serving:
    """`pyreg serve` on one directory, with an endpoint `bus`.

    Args:
        directory: For its files.
        options: Of the endpoint.
    """

    def __init__(self, directory: Path, **options: Any) -> None:
        endpoint = {"name": "bus", "type": "redis", "backoff": "100ms", **options}
        self.config = {"notifications": {"endpoints": [endpoint]}}
        self.directory = directory
        self.registry = self.start()

    def start(self) -> Registry:
        self.registry = start_pyreg(self.directory, config=self.config)
        return self.registry

    def push(self, tag: str) -> str:
        """Push an image; its digest."""
        config = json.dumps({"tag": tag}).encode()
        with Wire(self.registry.url) as wire:
            wire.put_blob("team/app", config)
            answer = wire.put_manifest("team/app", tag, image(config))
        return str(answer.headers["docker-content-digest"])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `pyreg events`."""
        return subprocess.run(
            [sys.executable, "-m", "pyreg.cli", "events", *arguments, "--config", "pyreg.yml"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def serve(short_dir: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def serving(**options: Any) -> Serving:
        started.append(Serving(short_dir / "pyreg", **options))
        return started[-1]

    yield serving
    for each in started:
        each.registry.stop()


def test_nothing_is_lost_whoever_is_killed(
    start: Start, serve: Callable[..., Serving], consume: Callable[..., int]
) -> None:
    server = start(journal=True)
    serving = serve(url=server.url)
    seen: dict[str, str] = {}

    def act(event: dict[str, Any]) -> None:
        target = event["target"]
        seen[target.get("tag", "")] = target["digest"]

    def consumed(tag: str) -> bool:
        with client_of(server) as redis:
            consume(redis, "one", act)
        return tag in seen

    expected = {"v1": serving.push("v1")}
    until(lambda: consumed("v1"), seconds=60, what="the first event")
    server.process.kill()
    expected["v2"] = serving.push("v2")
    serving.registry.kill()
    server.process.start()
    serving.start()
    until(lambda: consumed("v2"), seconds=60, what="the event that waited")
    assert seen.items() >= expected.items()


def test_the_operator_tries_the_endpoint(start: Start, serve: Callable[..., Serving]) -> None:
    server = start(password="correct horse")
    serving = serve(address=server.address, password="battery staple")
    refused = serving.command("test", "bus")
    assert refused.returncode != 0
    assert "this is not the password of the default user" in refused.stdout + refused.stderr
    serving.push("v1")
    process = serving.registry.process
    assert process is not None
    until(lambda: "not the password of" in process.log(), seconds=30, what="the reason in the log")
    assert "battery" not in process.log() + refused.stdout + refused.stderr
    server.process.stop()


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
