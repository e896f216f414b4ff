"""The routes of plugins: alone, behind a host's routes, below prefixes; and the health report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest
import quart
from werkzeug.routing import BaseConverter

from pyreg import Registry
from pyreg.api.address import Addresses
from pyreg.health import health_blueprint
from pyreg.hooks import ASGIApp, hookimpl
from pyreg.hooks.spec import Receive, Scope, Send
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import client_of

pytestmark = pytest.mark.anyio


class Pages:
    """A plugin with routes of every kind."""

    @hookimpl
    def pyreg_blueprint(self) -> quart.Blueprint:
        pages = quart.Blueprint("pages", __name__)

        @pages.get("/")
        @pages.get("/debug/health")
        async def shadow() -> str:
            return "the plugin's"

        @pages.get("/auth/token", strict_slashes=False)
        @pages.post("/auth/token", strict_slashes=False)
        async def token() -> str:
            return f"token by {quart.request.method}"

        @pages.get("/folder/")
        async def folder() -> str:
            return quart.url_for("pages.folder")

        @pages.get("/users/<name>")
        async def user(name: str) -> str:
            return name

        @pages.post("/echo")
        async def echo() -> bytes:
            return cast(bytes, await quart.request.get_data())

        @pages.websocket("/socket")
        async def socket() -> None:
            await quart.websocket.accept()

        return pages


def registry(prefix: str = "", *, plugin: object | None = None) -> Registry:
    return Registry(
        storage=InMemoryStorage(),
        plugins=[plugin or Pages()],
        addresses=Addresses(prefix=prefix),
    )


def host() -> ASGIApp:
    """A host that answers every request, and says so."""
    app = quart.Quart("host")

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    async def anything(path: str) -> str:
        return f"the host's {path}"

    return cast(ASGIApp, app)


async def got(app: ASGIApp, path: str, method: str = "GET") -> tuple[int, str]:
    async with client_of(app) as client:
        answer = await client.request(method, path)
        return answer.status_code, answer.text


async def test_a_registry_alone_serves_the_routes_of_its_plugins() -> None:
    app = registry()
    assert await got(app, "/auth/token") == (200, "token by GET")
    assert await got(app, "/auth/token/", "POST") == (200, "token by POST")
    assert await got(app, "/users/ann") == (200, "ann")
    assert (await got(app, "/nothing"))[0] == 404


async def test_the_registry_keeps_its_own_routes() -> None:
    assert await got(registry(), "/") == (200, "")
    assert await got(registry(), "/debug/health") == (200, "{}")


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/auth/token", (200, "token by GET")),
        ("POST", "/auth/token", (200, "token by POST")),
        ("POST", "/auth/token/", (200, "token by POST")),
        ("GET", "/users/ann", (200, "ann")),
        ("GET", "/folder/", (200, "/folder/")),
        ("GET", "/v2/", (200, "{}")),
        ("GET", "/", (200, "the host's ")),
        ("GET", "/debug/health", (200, "the host's debug/health")),
        ("GET", "/auth", (200, "the host's auth")),
        ("GET", "/auth/token/more", (200, "the host's auth/token/more")),
        ("GET", "/users/ann/bob", (200, "the host's users/ann/bob")),
        ("GET", "/socket", (200, "the host's socket")),
    ],
)
async def test_in_front_of_a_host(method: str, path: str, answer: tuple[int, str]) -> None:
    assert await got(registry().front(host()), path, method) == answer


async def test_a_path_of_a_plugin_is_the_plugins_for_every_method() -> None:
    """A host that answered the methods which the plugin lacks would be a surprise."""
    status, _ = await got(registry().front(host()), "/users/ann", "POST")
    assert status == 405


async def test_a_missing_slash_is_put_right_by_the_registry() -> None:
    async with client_of(registry().front(host())) as client:
        answer = await client.get("/folder")
        assert answer.status_code == 308
        assert answer.headers["location"] == "http://registry.test/folder/"


async def test_converters_of_plugins_are_known_in_front_of_a_host() -> None:
    class Year(BaseConverter):
        regex = r"[0-9]{4}"

    class Years:
        @hookimpl
        def pyreg_blueprint(self) -> quart.Blueprint:
            years = quart.Blueprint("years", __name__)

            @years.record_once
            def register(state: quart.blueprints.BlueprintSetupState) -> None:
                state.app.url_map.converters["year"] = Year
                state.app.add_url_rule("/<year:year>", "years.show", show)

            async def show(year: str) -> str:
                return f"year {year}"

            return years

    app = registry(plugin=Years()).front(host())
    assert await got(app, "/2026") == (200, "year 2026")
    assert await got(app, "/20x6") == (200, "the host's 20x6")


async def test_a_prefix_comes_before_the_routes_of_plugins() -> None:
    app = registry("/images/")
    assert await got(app, "/images/auth/token") == (200, "token by GET")
    assert await got(app, "/images/folder/") == (200, "/images/folder/"), "url_for knows of it"
    assert await got(app, "/images/debug/health") == (200, "{}")
    # Whoever reaches the server itself need not know of the prefix: a scraper, a probe.
    assert await got(app, "/auth/token") == (200, "token by GET")
    assert await got(app, "/debug/health") == (200, "{}")


async def test_in_front_of_a_host_a_prefix_is_all_that_is_taken() -> None:
    app = registry("/images/").front(host())
    assert await got(app, "/images/auth/token") == (200, "token by GET")
    assert await got(app, "/images/v2/") == (200, "{}")
    assert await got(app, "/auth/token") == (200, "the host's auth/token")
    assert await got(app, "/images/debug/health") == (200, "the host's images/debug/health")


async def test_two_registries_with_prefixes_keep_their_routes_apart() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        @hookimpl
        def pyreg_blueprint(self) -> quart.Blueprint:
            named = quart.Blueprint("named", __name__)

            @named.get("/name")
            async def name() -> str:
                return self.name

            return named

    one = registry("/one/", plugin=Named("one"))
    two = registry("/two/", plugin=Named("two"))
    app = one.front(two.front(host()))
    for name in ("one", "two"):
        assert await got(app, f"/{name}/name") == (200, name)
    assert await got(app, "/name") == (200, "the host's name")


async def test_a_prefix_of_the_server_is_known() -> None:
    """As Starlette's Mount has it: the path is whole, `root_path` is what was cut off."""
    app = registry("/images/")

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/mounted"}, receive, send)

    assert await got(mounted, "/mounted/images/folder/") == (200, "/mounted/images/folder/")
    assert await got(mounted, "/mounted/images/v2/") == (200, "{}")


async def test_the_body_for_a_route_of_a_plugin_is_bounded() -> None:
    async with client_of(registry()) as client:
        whole = await client.post("/echo", content=b"x" * (1 << 20))
        assert (whole.status_code, len(whole.content)) == (200, 1 << 20)
        assert (await client.post("/echo", content=b"x" * ((1 << 20) + 1))).status_code == 413


# -- the health report ---------------------------------------------------------------------


async def reported(
    *wrong: str, notes: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    async def check() -> str | None:
        return wrong[0] if wrong else None

    async def noted() -> Mapping[str, str]:
        return notes or {}

    app = quart.Quart("health")
    app.register_blueprint(health_blueprint([check], noted))
    async with client_of(cast(ASGIApp, app)) as client:
        answer = await client.get("/debug/health")
        return answer.status_code, answer.json()


async def test_a_health_report_without_notes_is_empty_when_all_is_well() -> None:
    assert await reported() == (200, {})
    assert await reported(notes={}) == (200, {})


async def test_notes_do_not_make_a_registry_unwell() -> None:
    notes = {"notifications": "12 events wait"}
    assert await reported(notes=notes) == (200, {"notes": notes})
    status, report = await reported("no space left", notes=notes)
    assert status == 503
    assert report.pop("notes") == notes
    assert list(report.values()) == ["no space left"]
