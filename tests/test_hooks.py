"""Every hook of the contract, called with its exact signature, changes something that is seen."""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_network
from typing import Any, Literal, cast

import httpx
import pytest
import quart

from pyreg import Registry
from pyreg.api.address import Addresses
from pyreg.errors import MANIFEST_INVALID, StorageFull
from pyreg.hooks import (
    ANY,
    Access,
    AccessControl,
    ASGIApp,
    Authenticator,
    Authorizer,
    AuthRequest,
    Condition,
    Decision,
    Event,
    EventSink,
    HookSpecs,
    Identity,
    InvalidCredentials,
    Metric,
    ObjectInfo,
    Operation,
    Refused,
    StorageDriver,
    Subscription,
    hookimpl,
)
from pyreg.hooks.spec import Receive, Scope, Send
from pyreg.instrument import Instrumented
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import (
    client_of,
    error_of,
    image,
    post_blob,
    put_manifest,
    serving,
)
from tests.fixtures.wire import OCI_MANIFEST, sha256

pytestmark = pytest.mark.anyio

HOOKS = [name for name in dir(HookSpecs) if name.startswith("pyreg_")]
ELSEWHERE = {"pyreg_server_config"}
"""Hooks that only a real server shows: see tests/test_plugin_command.py."""

CONFIG = b"{}"
LAYER = b"a layer"


# -- the storage ---------------------------------------------------------------------------


class Keeps:
    """Has a storage, or has none."""

    def __init__(self, driver: StorageDriver | None) -> None:
        self.driver = driver

    @hookimpl
    def pyreg_storage(self) -> StorageDriver | None:
        return self.driver


async def test_pyreg_storage_the_first_plugin_that_has_one_wins() -> None:
    first, second = InMemoryStorage(), InMemoryStorage()
    plugins = (Keeps(None), Keeps(first), Keeps(second))
    async with serving(*plugins, storage=None) as client:
        assert (await post_blob(client, "a", LAYER)).status_code == 201
        assert (await first.list("", limit=1)).entries
        assert not (await second.list("", limit=1)).entries


class Wrapper(Instrumented):
    """Notes each `put`, then refuses those of manifests."""

    def __init__(self, driver: StorageDriver, name: str, calls: list[str]) -> None:
        super().__init__(driver)
        self.name = name
        self.calls = calls

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        self.calls.append(self.name)
        if data.startswith(b'{\n  "schemaVersion"'):
            raise StorageFull("enough manifests")
        return await self.driver.put(key, data, when=when, durable=durable)


class Wraps:
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    @hookimpl
    def pyreg_storage_wrapper(self, driver: StorageDriver) -> StorageDriver | None:
        return Wrapper(driver, self.name, self.calls) if self.name else None


async def test_pyreg_storage_wrapper_the_first_is_outermost() -> None:
    calls: list[str] = []
    async with serving(Wraps("one", calls), Wraps("", calls), Wraps("two", calls)) as client:
        assert (await post_blob(client, "a", CONFIG)).status_code == 201
        assert calls[:2] == ["one", "two"]
        answer = await put_manifest(client, "a", "v1", image(CONFIG))
        assert answer.status_code == 507
        assert error_of(answer)["code"] == "UNAVAILABLE"


# -- access --------------------------------------------------------------------------------


class OneUser(Authenticator):
    """Lets one user in."""

    name = "one-user"

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        value = "Basic " + base64.b64encode(b"ann:secret").decode()
        if request.headers.get("authorization") != value:
            return None
        return Identity("ann", authenticator=self.name)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        return 'Basic realm="one user"'


class Authenticates:
    @hookimpl
    def pyreg_authenticator(self) -> Authenticator | None:
        return OneUser()


async def test_pyreg_authenticator_says_who_may_come_in() -> None:
    async with serving(Authenticates()) as client:
        answer = await client.get("/v2/")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="one user"'
        assert error_of(answer)["code"] == "UNAUTHORIZED"
        assert (await client.get("/v2/", auth=("ann", "secret"))).status_code == 200


class Named(Authorizer):
    """Decides on one repository."""

    def __init__(self, name: str, decision: Decision) -> None:
        self.name = name
        self.decision = decision
        self.asked: list[tuple[Identity, Access]] = []

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        self.asked.append((identity, access))
        return self.decision if access.name == self.name else Decision.ABSTAIN


class Authorizes:
    def __init__(self, authorizer: Authorizer) -> None:
        self.authorizer = authorizer

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer | None:
        return self.authorizer


async def test_pyreg_authorizer_the_first_decision_wins() -> None:
    opens, shuts = Named("free", Decision.ALLOW), Named("free", Decision.DENY)
    async with serving(Authorizes(opens), Authorizes(shuts)) as client:
        assert (await post_blob(client, "free", LAYER)).status_code == 201
        assert (await post_blob(client, "other", LAYER)).status_code == 403
    assert [str(access) for _, access in opens.asked] == [
        "repository:free:pull,push",
        "repository:other:pull,push",
    ]
    assert [str(access) for _, access in shuts.asked] == ["repository:other:pull,push"]
    async with serving(Authorizes(shuts), Authorizes(opens)) as client:
        assert (await post_blob(client, "free", LAYER)).status_code == 403


class Answers:
    """Has a route of its own that says who calls, and whether the caller may push `free`."""

    def __init__(self) -> None:
        self.access: AccessControl | None = None

    @hookimpl
    def pyreg_access(self, access: AccessControl) -> None:
        assert self.access is None, "once"
        self.access = access

    @hookimpl
    def pyreg_blueprint(self) -> quart.Blueprint | None:
        access = self.access
        assert access is not None, "before the routes are asked for"
        blueprint = quart.Blueprint("answers", __name__)

        @blueprint.get("/who")
        async def who() -> dict[str, Any]:
            request = access.request(cast(Scope, quart.request.scope))
            try:
                identity = await access.identify(
                    request, without={quart.request.args.get("without", "")}
                )
            except InvalidCredentials as error:
                return {"error": error.reason}
            push = Access("repository", "free", ("pull", "push"))
            return {
                "name": identity.name,
                "client": request.client,
                "host": request.host,
                "scheme": request.scheme,
                "push": await access.allows(identity, push),
            }

        return blueprint


async def test_pyreg_access_decides_for_routes_of_plugins_as_for_the_registry() -> None:
    addresses = Addresses(trusted=[ip_network("127.0.0.0/8")])
    authorizer = Authorizes(Named("free", Decision.ALLOW))
    ann = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}
    async with serving(Authenticates(), Answers(), addresses=addresses) as client:

        async def who(**headers: str) -> dict[str, Any]:
            answer: dict[str, Any] = (await client.get("/who", headers=headers)).json()
            return answer

        assert await who() == {
            "name": "", "client": "127.0.0.1", "host": "registry.test", "scheme": "http",
            "push": False,
        }  # fmt: skip
        forwarded = {
            "X-Forwarded-For": "192.0.2.7",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "hub.test",
        }
        assert await who(**ann, **forwarded) == {
            "name": "ann", "client": "192.0.2.7", "host": "hub.test", "scheme": "https",
            "push": True,
        }  # fmt: skip
        assert (await who(Authorization="Digest x"))["error"]
        answer = await client.get("/who?without=one-user", headers=ann)
        assert answer.json()["error"], "nobody else takes these credentials"
    async with serving(Authenticates(), authorizer, Answers()) as client:
        assert (await client.get("/who")).json()["push"] is True
    async with serving(Authorizes(Named("free", Decision.DENY)), Answers()) as client:
        assert (await client.get("/who")).json()["push"] is False


# -- events --------------------------------------------------------------------------------


class Guards:
    """Refuses operations for which a test has a reason."""

    def __init__(self, reason: Callable[[Operation], str] = lambda _: "") -> None:
        self.reason = reason
        self.asked: list[tuple[Operation, Identity]] = []

    @hookimpl
    async def pyreg_guard(self, operation: Operation, identity: Identity) -> None:
        self.asked.append((operation, identity))
        reason = self.reason(operation)
        if reason:
            raise Refused(reason, detail={"repository": operation.repository})


async def pushed(client: httpx.AsyncClient, repository: str = "a", tag: str = "v1") -> str:
    """An image of a configuration and a layer; its digest."""
    for data in (CONFIG, LAYER):
        assert (await post_blob(client, repository, data)).status_code == 201
    answer = await put_manifest(client, repository, tag, image(CONFIG, [LAYER]))
    assert answer.status_code == 201, answer.text
    return answer.headers["docker-content-digest"]


def refusal(answer: httpx.Response, reason: str) -> None:
    assert answer.status_code == 403, answer.text
    error = error_of(answer)
    assert (error["code"], error["message"]) == ("DENIED", reason)
    assert error["detail"] == {"repository": "a"}


async def test_pyreg_guard_refuses_a_blob() -> None:
    guard = Guards(lambda operation: "too large" if operation.kind == "blob" else "")
    async with serving(guard) as client:
        refusal(await post_blob(client, "a", LAYER), "too large")
        assert (await client.head(f"/v2/a/blobs/{sha256(LAYER)}")).status_code == 404
        # The usual two requests are refused at the second.
        begun = await client.post("/v2/a/blobs/uploads/")
        answer = await client.put(
            begun.headers["location"], params={"digest": sha256(LAYER)}, content=LAYER
        )
        refusal(answer, "too large")
        assert (await client.get(begun.headers["location"])).status_code == 404
    operation, identity = guard.asked[0]
    assert (operation.action, operation.kind, operation.repository) == ("push", "blob", "a")
    assert (operation.target.digest, operation.target.size) == (sha256(LAYER), len(LAYER))
    assert identity.anonymous


async def test_pyreg_guard_refuses_a_manifest_and_a_tag() -> None:
    guard = Guards(lambda operation: "latest is not a version" * ("latest" in operation.tags))
    async with serving(guard) as client:
        digest = await pushed(client)
        payload = image(CONFIG, [LAYER], annotations={"other": "one"})
        refusal(await put_manifest(client, "a", "latest", payload), "latest is not a version")
        assert (await client.get("/v2/a/manifests/latest")).status_code == 404
        assert (await client.get(f"/v2/a/manifests/{sha256(payload)}")).status_code == 404
        # A tag parameter counts like a tag.
        answer = await put_manifest(
            client, "a", sha256(payload), payload, params={"tag": ["v2", "latest"]}
        )
        refusal(answer, "latest is not a version")
        assert (await client.get("/v2/a/tags/list")).json()["tags"] == ["v1"]
    operation, _ = guard.asked[-1]
    assert operation.tags == ("v2", "latest")
    assert operation.manifest is not None
    assert operation.manifest["annotations"] == {"other": "one"}
    assert [item.digest for item in operation.references] == [sha256(CONFIG), sha256(LAYER)]
    assert operation.target.media_type == OCI_MANIFEST
    assert digest != operation.target.digest


@pytest.mark.parametrize("kind", ["tag", "manifest", "blob"])
async def test_pyreg_guard_refuses_a_delete(kind: Literal["tag", "manifest", "blob"]) -> None:
    guard = Guards(lambda operation: "kept for ever" * (operation.action == "delete"))
    async with serving(guard) as client:
        digest = await pushed(client)
        path = {
            "tag": "/v2/a/manifests/v1",
            "manifest": f"/v2/a/manifests/{digest}",
            "blob": f"/v2/a/blobs/{sha256(LAYER)}",
        }[kind]
        refusal(await client.delete(path), "kept for ever")
        assert (await client.get(path)).status_code == 200
    operation, _ = guard.asked[-1]
    assert (operation.action, operation.kind) == ("delete", kind)
    assert operation.target.digest == (sha256(LAYER) if kind == "blob" else digest)
    # With a manifest, the tags that point at it go as well.
    assert operation.tags == (() if kind == "blob" else ("v1",))
    assert operation.current == ({} if kind == "blob" else {"v1": digest})


async def test_pyreg_guard_refuses_a_mount() -> None:
    guard = Guards(lambda operation: "not from there" * (operation.action == "mount"))
    async with serving(guard) as client:
        await post_blob(client, "source", LAYER)
        answer = await client.post(
            "/v2/a/blobs/uploads/", params={"mount": sha256(LAYER), "from": "source"}
        )
        refusal(answer, "not from there")
        assert (await client.head(f"/v2/a/blobs/{sha256(LAYER)}")).status_code == 404
    operation, _ = guard.asked[-1]
    assert operation.from_repository == "source"


async def test_pyreg_guard_may_choose_the_error_and_is_asked_in_order() -> None:
    class Invalid:
        @hookimpl
        async def pyreg_guard(self, operation: Operation) -> None:  # takes what it needs
            if operation.kind == "manifest":
                raise Refused("not signed", code=MANIFEST_INVALID)

    after = Guards(lambda operation: "never heard" * (operation.kind == "manifest"))
    async with serving(Invalid(), after) as client:
        await post_blob(client, "a", CONFIG)
        answer = await put_manifest(client, "a", "v1", image(CONFIG))
        assert answer.status_code == 400
        assert error_of(answer)["code"] == "MANIFEST_INVALID"
        assert error_of(answer)["message"] == "not signed"
    assert [operation.kind for operation, _ in after.asked] == ["blob"]


async def test_a_guard_that_breaks_stops_the_write() -> None:
    class Broken:
        @hookimpl
        async def pyreg_guard(self, operation: Operation, identity: Identity) -> None:
            raise RuntimeError("the database with the secret password is gone")

    async with serving(Broken()) as client:
        answer = await post_blob(client, "a", LAYER)
        assert answer.status_code == 500
        assert error_of(answer)["code"] == "UNKNOWN"
        assert "password" not in answer.text
        assert (await client.head(f"/v2/a/blobs/{sha256(LAYER)}")).status_code == 404


class Watches:
    """Observes, and can be an event sink as well."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    async def pyreg_observe(self, event: Event) -> None:
        self.events.append(event)


async def test_pyreg_observe_hears_of_everything_that_was_committed() -> None:
    watch = Watches()
    async with serving(Guards(lambda operation: "no" * ("v9" in operation.tags)), watch) as client:
        digest = await pushed(client)
        assert (await put_manifest(client, "a", "v9", image(CONFIG))).status_code == 403
        await client.get("/v2/a/manifests/v1")
        await client.get(f"/v2/a/blobs/{sha256(LAYER)}")
        await client.post("/v2/b/blobs/uploads/", params={"mount": sha256(LAYER), "from": "a"})
        await client.delete("/v2/a/manifests/v1")
        await client.delete(f"/v2/a/manifests/{digest}")
        await client.delete(f"/v2/a/blobs/{sha256(LAYER)}")
    assert sorted((event.action, event.kind, event.repository) for event in watch.events) == sorted(
        [
            ("push", "blob", "a"),
            ("push", "blob", "a"),
            ("push", "manifest", "a"),
            ("pull", "manifest", "a"),
            ("pull", "blob", "a"),
            ("mount", "blob", "b"),
            ("delete", "tag", "a"),
            ("delete", "manifest", "a"),
            ("delete", "blob", "a"),
        ]
    )


async def test_an_observer_that_breaks_changes_nothing() -> None:
    class Broken:
        @hookimpl
        async def pyreg_observe(self, event: Event) -> None:
            raise RuntimeError("observed too closely")

    watch = Watches()
    async with serving(Broken(), watch) as client:
        await pushed(client)
        assert (await client.get("/v2/a/manifests/v1")).status_code == 200
    assert "push" in {event.action for event in watch.events}, "a broken observer hides the rest"


class Collects(EventSink):
    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[Event] = []

    async def deliver(self, events: Sequence[Event]) -> None:
        self.events += events


class Sinks:
    def __init__(self, sink: EventSink) -> None:
        self.sink = sink

    @hookimpl
    def pyreg_event_sink(self) -> EventSink | None:
        return self.sink


async def test_pyreg_event_sink_gets_every_event_in_order() -> None:
    one, two = Collects("one"), Collects("two")
    heard = {"one": Subscription(references=True)}
    async with serving(Sinks(one), Sinks(two), Authenticates(), subscriptions=heard) as client:
        client.auth = httpx.BasicAuth("ann", "secret")
        client.headers["User-Agent"] = "téapot/1.0"
        digest = await pushed(client)
        await client.get("/v2/a/manifests/v1")
        await client.delete("/v2/a/manifests/v1")
    for sink in (one, two):  # those of pulls are told from memory, a little later
        sink.events.sort(key=lambda event: event.timestamp)
    assert [event.id for event in one.events] == [event.id for event in two.events]
    assert {event.references for event in two.events} == {()}
    assert len({event.id for event in one.events}) == len(one.events)
    push = next(event for event in one.events if event.kind == "manifest")
    assert (push.action, push.tag, push.actor) == ("push", "v1", "ann")
    assert (push.target.digest, push.target.media_type) == (digest, OCI_MANIFEST)
    assert push.target.size == len(image(CONFIG, [LAYER]))
    assert [item.digest for item in push.references] == [sha256(CONFIG), sha256(LAYER)]
    assert (push.request.method, push.request.user_agent) == ("PUT", "téapot/1.0")
    assert push.request.host == "registry.test"
    assert push.request.id
    assert push.source[1]
    assert [(event.action, event.kind, event.tag) for event in one.events[-2:]] == [
        ("pull", "manifest", "v1"),
        ("delete", "tag", "v1"),
    ]


# -- the application -----------------------------------------------------------------------


class Stamps:
    """Adds a header to each response."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    @hookimpl
    def pyreg_asgi_wrapper(self, app: ASGIApp) -> ASGIApp | None:
        if not self.name:
            return None

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            async def stamp(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-by", self.name)]
                await send(message)

            await app(scope, receive, stamp)

        return wrapped


async def test_pyreg_asgi_wrapper_the_first_is_outermost() -> None:
    async with serving(Stamps(b"one"), Stamps(b""), Stamps(b"two")) as client:
        for path in ("/v2/", "/"):
            answer = await client.get(path)
            # The outermost touches the response last.
            assert answer.headers.get_list("x-by") == ["two", "one"]


class Greets:
    @hookimpl
    def pyreg_blueprint(self) -> quart.Blueprint | None:
        blueprint = quart.Blueprint("greets", __name__)

        @blueprint.get("/greeting")
        async def greeting() -> str:
            return "good day"

        return blueprint


async def test_pyreg_blueprint_has_routes_of_its_own() -> None:
    async with serving(Greets()) as client:
        assert (await client.get("/greeting")).text == "good day"
        assert (await client.get("/v2/")).json() == {}
    async with serving() as client:
        assert (await client.get("/greeting")).status_code == 404


class Feels:
    def __init__(self, trouble: str | None) -> None:
        self.trouble = trouble

    @hookimpl
    def pyreg_health(self) -> Callable[[], Awaitable[str | None]] | None:
        async def disk() -> str | None:
            return self.trouble

        return disk


async def test_pyreg_health_makes_the_registry_unwell() -> None:
    async with serving(Feels(None)) as client:
        answer = await client.get("/debug/health")
        assert (answer.status_code, answer.json()) == (200, {})
    async with serving(Feels("the disk makes noises"), Feels(None)) as client:
        answer = await client.get("/debug/health")
        assert answer.status_code == 503
        assert list(answer.json().values()) == ["the disk makes noises"]


class Publishes:
    @hookimpl
    def pyreg_metrics(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.collect = collect


async def test_pyreg_metrics_gives_the_figures_of_the_moment() -> None:
    publishes = Publishes()
    async with serving(publishes) as client:
        await pushed(client)
        assert list(publishes.collect()) == []  # nobody subscribed to anything
    async with serving(publishes, Sinks(Collects("one"))) as client:
        before = accepted(publishes)
        await pushed(client)
        async with asyncio.timeout(10):
            while accepted(publishes) < before + 3:
                await asyncio.sleep(0.01)


def accepted(publishes: Publishes) -> float:
    return sum(
        value
        for metric in publishes.collect()
        if metric.name == "registry_notifications_events_total"
        for labels, value in metric.samples
        if labels == {"type": "Events", "endpoint": "one"}
    )


class Lives:
    def __init__(self, name: str, trace: list[str], *, fails: bool = False) -> None:
        self.name = name
        self.trace = trace
        self.fails = fails
        self.registry: Registry | None = None

    @hookimpl
    async def pyreg_startup(self) -> None:
        await asyncio.sleep(0)  # truly awaited, not only called
        if self.fails:
            raise RuntimeError(f"{self.name} cannot start")
        self.trace.append(f"{self.name} starts")
        if self.registry is not None:
            await self.registry.driver.list("", limit=1)  # the storage is open

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        await asyncio.sleep(0)
        self.trace.append(f"{self.name} stops")
        if self.registry is not None:
            await self.registry.driver.list("", limit=1)  # and still is


async def test_pyreg_startup_and_pyreg_shutdown_nest() -> None:
    trace: list[str] = []
    plugins = [Lives("one", trace), Lives("two", trace)]
    registry = Registry(storage=InMemoryStorage(), plugins=plugins)
    plugins[1].registry = registry
    await registry.start()
    await registry.start()
    assert trace == ["one starts", "two starts"]
    await registry.stop()
    await registry.stop()
    assert trace[2:] == ["two stops", "one stops"]


async def test_pyreg_startup_can_keep_the_registry_from_starting() -> None:
    trace: list[str] = []
    plugins = [Lives("one", trace), Lives("two", trace, fails=True)]
    registry = Registry(storage=InMemoryStorage(), plugins=plugins)
    with pytest.raises(RuntimeError, match="two cannot start"):
        await registry.start()
    assert trace == ["one starts", "one stops"], "who has started is stopped"
    # The failure is over: the next try works.
    plugins[1].fails = False
    async with client_of(registry) as client:
        assert (await client.get("/v2/")).status_code == 200
    await registry.stop()


# -- the contract itself -------------------------------------------------------------------


def test_every_hook_has_a_test_here() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    for hook in set(HOOKS) - ELSEWHERE:
        assert any(hook in name for name in tests), f"no test is named after {hook}"


@pytest.mark.parametrize("hook", sorted(set(HOOKS) - ELSEWHERE))
def test_the_plugins_above_have_the_exact_signature(hook: str) -> None:
    """So that the tests above show the signature that a reader of the contract sees."""
    found = [
        value.__dict__[hook]
        for value in globals().values()
        if inspect.isclass(value) and value is not HookSpecs and hook in value.__dict__
    ]
    assert found, f"no plugin above implements {hook}"
    wanted = inspect.signature(getattr(HookSpecs, hook), eval_str=False)
    for function in found:
        assert inspect.signature(function) == wanted
        assert inspect.iscoroutinefunction(function) == inspect.iscoroutinefunction(
            getattr(HookSpecs, hook)
        )
