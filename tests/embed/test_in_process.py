"""A registry in the same process, as in somebody's tests: no server, no socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pyreg import Registry
from pyreg.hooks import ASGIApp, hookimpl
from pyreg.hooks.spec import Receive, Scope, Send
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import client_of, image, post_blob, put_manifest
from tests.fixtures.wire import OCI_MANIFEST, sha256

pytestmark = pytest.mark.anyio


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    """What somebody's tests would have in their conftest.py."""
    async with Registry(storage=InMemoryStorage()) as registry:
        yield registry


@pytest.fixture
async def client(registry: Registry) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to it."""
    transport = httpx.ASGITransport(app=registry)
    async with httpx.AsyncClient(transport=transport, base_url="http://registry.test") as client:
        yield client


async def test_what_comes_in_by_http_is_seen_from_python(
    registry: Registry, client: httpx.AsyncClient
) -> None:
    await post_blob(client, "library/a", b"{}")
    payload = image(b"{}")
    assert (await put_manifest(client, "library/a", "v1", payload)).status_code == 201
    repository = registry.repository("library/a")
    assert (await repository.manifests.get("v1")).payload == payload
    assert (await repository.tags.list()).names == ("v1",)
    assert [name async for name in registry.repositories()] == ["library/a"]


async def test_what_comes_in_from_python_is_seen_by_http(
    registry: Registry, client: httpx.AsyncClient
) -> None:
    repository = registry.repository("library/a")
    await repository.blobs.put(b"{}")
    pushed = await repository.manifests.put(image(b"{}"), "v1", media_type=OCI_MANIFEST)
    answer = await client.get("/v2/library/a/manifests/v1")
    assert answer.headers["docker-content-digest"] == pushed.digest
    assert answer.content == image(b"{}")


async def test_each_test_has_a_registry_of_its_own(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/_catalog")).json() == {"repositories": []}


async def test_two_registries_in_one_process_share_nothing() -> None:
    one, two = Registry(storage=InMemoryStorage()), Registry(storage=InMemoryStorage())
    async with one, two, client_of(one) as first, client_of(two) as second:
        await post_blob(first, "a", b"one")
        assert (await first.head(f"/v2/a/blobs/{sha256(b'one')}")).status_code == 200
        assert (await second.head(f"/v2/a/blobs/{sha256(b'one')}")).status_code == 404


async def test_a_registry_may_stand_in_front_of_another() -> None:
    """Two on different prefixes: what the first does not want goes on to the second."""
    from pyreg.api.address import Addresses

    inner = Registry(storage=InMemoryStorage(), addresses=Addresses(prefix="/inner"))
    outer = Registry(storage=InMemoryStorage(), addresses=Addresses(prefix="/outer"))
    async with client_of(outer.front(inner)) as client:
        for prefix in ("/inner", "/outer"):
            path = f"{prefix}/v2/a/blobs/uploads/?digest={sha256(prefix.encode())}"
            answer = await client.post(path, content=prefix.encode())
            assert answer.status_code == 201
            assert answer.headers["location"].startswith(f"http://registry.test{prefix}/v2/a/")
            assert (await client.get(answer.headers["location"])).content == prefix.encode()
        assert (await client.get(f"/outer/v2/a/blobs/{sha256(b'/inner')}")).status_code == 404
        assert (await client.get("/v2/")).status_code == 404


async def test_many_first_requests_start_a_registry_once() -> None:
    starts = 0

    class Counts:
        @hookimpl
        async def pyreg_startup(self) -> None:
            nonlocal starts
            await asyncio.sleep(0.01)
            starts += 1

    registry = Registry(storage=InMemoryStorage(), plugins=[Counts()])
    async with client_of(registry) as client:
        answers = await asyncio.gather(*(client.get("/v2/") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert starts == 1
    await registry.stop()


async def test_a_stopped_registry_starts_again(registry: Registry) -> None:
    digest = await registry.repository("a").blobs.put(b"kept")
    await registry.stop()
    async with client_of(registry) as client:
        assert (await client.get(f"/v2/a/blobs/{digest}")).content == b"kept"


# -- the lifespan of a host ----------------------------------------------------------------


class Server:
    """A server's part of the lifespan protocol."""

    def __init__(self, app: ASGIApp) -> None:
        self.sent: list[Any] = []
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._news = asyncio.Event()
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self.state = scope["state"]
        self._task = asyncio.ensure_future(app(scope, self._messages.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self._news.set()

    async def phase(self, name: str) -> Any:
        """Ask for `startup` or `shutdown`; the application's answer."""
        self._news.clear()
        await self._messages.put({"type": f"lifespan.{name}"})
        async with asyncio.timeout(5):
            await self._news.wait()
        return self.sent[-1]

    async def end(self) -> None:
        """Wait for the application to return."""
        async with asyncio.timeout(5):
            await self._task


class Host:
    """A host with a lifespan that may fail."""

    def __init__(self, *, startup: str = "", shutdown: str = "") -> None:
        self.failures = {"startup": startup, "shutdown": shutdown}
        self.phases: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for phase in ("startup", "shutdown"):
            message = await receive()
            assert message["type"] == f"lifespan.{phase}"
            self.phases.append(phase)
            scope["state"]["from host"] = phase
            if self.failures[phase]:
                failed = {"type": f"lifespan.{phase}.failed", "message": self.failures[phase]}
                await send(failed)
                return
            await send({"type": f"lifespan.{phase}.complete"})


async def without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """A host that knows nothing of lifespans, as Django."""
    raise ValueError(f"no {scope['type']}")


async def test_the_lifespan_of_the_host_is_passed_on(registry: Registry) -> None:
    host = Host()
    server = Server(registry.front(host))
    assert (await server.phase("startup"))["type"] == "lifespan.startup.complete"
    assert host.phases == ["startup"]
    assert server.state == {"from host": "startup"}, "what the host leaves there is for requests"
    assert (await server.phase("shutdown"))["type"] == "lifespan.shutdown.complete"
    assert host.phases == ["startup", "shutdown"]
    await server.end()


async def test_a_host_that_does_not_start_stops_the_registry() -> None:
    stops: list[str] = []

    class Stops:
        @hookimpl
        async def pyreg_shutdown(self) -> None:
            stops.append("registry")

    registry = Registry(storage=InMemoryStorage(), plugins=[Stops()])
    server = Server(registry.front(Host(startup="the host has no database")))
    answer = await server.phase("startup")
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"] == "the host has no database"
    assert stops == ["registry"]
    await server.end()


async def test_a_registry_that_does_not_start_is_told_to_the_server() -> None:
    class Fails:
        @hookimpl
        async def pyreg_startup(self) -> None:
            raise RuntimeError("the registry has no mood")

    host = Host()
    plugins = [Fails()]
    for app in (
        Registry(storage=InMemoryStorage(), plugins=plugins).front(host),
        Registry(storage=InMemoryStorage(), plugins=plugins),
    ):
        server = Server(app)
        answer = await server.phase("startup")
        assert answer == {"type": "lifespan.startup.failed", "message": "the registry has no mood"}
        await server.end()
    assert host.phases == [], "the host was not started for nothing"


async def test_a_host_that_does_not_stop_in_order_stops_the_registry(registry: Registry) -> None:
    server = Server(registry.front(Host(shutdown="the host cannot let go")))
    await server.phase("startup")
    answer = await server.phase("shutdown")
    assert answer == {"type": "lifespan.shutdown.failed", "message": "the host cannot let go"}
    await server.end()
    assert not registry._started


async def test_a_host_without_lifespan_does_without(registry: Registry) -> None:
    server = Server(registry.front(without_lifespan))
    assert (await server.phase("startup"))["type"] == "lifespan.startup.complete"
    assert (await server.phase("shutdown"))["type"] == "lifespan.shutdown.complete"
    await server.end()
