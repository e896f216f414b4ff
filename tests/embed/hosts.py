"""Applications that a registry is put in front of, each with a route, a middleware, a lifespan.

What their lifespans do is written to the file that `PYREG_EMBED_TRACE` names, a line each.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI, Request, Response, WebSocket

from pyreg import Registry
from pyreg.hooks import ASGIApp, hookimpl
from pyreg_storage_filesystem import FilesystemStorage

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]

GREETING = "good day from the host"
STAMP = "x-host-middleware"


def trace(line: str) -> None:
    """Note something that happened."""
    with Path(os.environ["PYREG_EMBED_TRACE"]).open("a") as file:
        file.write(f"{line}\n")


class Traces:
    """A plugin that notes when the registry starts and stops."""

    @hookimpl
    async def pyreg_startup(self) -> None:
        trace("registry starts")

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        trace("registry stops")


def registry(name: str = "data") -> Registry:
    """A registry on a directory of its own."""
    directory = Path(os.environ["PYREG_EMBED_DATA"]) / name
    return Registry(storage=FilesystemStorage(str(directory)), plugins=[Traces()])


def quart_host() -> ASGIApp:
    """A Quart application."""
    from quart import Quart, request
    from quart import Response as QuartResponse

    app = Quart("host")

    @app.get("/greeting")
    async def greeting() -> str:
        return GREETING

    @app.post("/echo")
    async def echo() -> bytes:
        return cast(bytes, await request.get_data())

    @app.websocket("/socket")
    async def socket() -> None:
        from quart import websocket

        await websocket.send(await websocket.receive())

    @app.after_request
    async def stamp(response: QuartResponse) -> QuartResponse:
        response.headers[STAMP] = "1"
        return response

    @app.before_serving
    async def startup() -> None:
        trace("host starts")

    @app.after_serving
    async def shutdown() -> None:
        trace("host stops")

    return cast(ASGIApp, app)


def fastapi_host() -> ASGIApp:
    """A FastAPI application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        trace("host starts")
        yield {"mood": "state"}
        trace("host stops")

    app = FastAPI(lifespan=lifespan)

    @app.get("/greeting")
    async def greeting(request: Request) -> Response:
        # What a lifespan leaves behind for requests.
        return Response(GREETING if request.state.mood == "state" else "no state")

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    @app.middleware("http")
    async def stamp(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers[STAMP] = "1"
        return response

    return cast(ASGIApp, app)


def django_host() -> ASGIApp:
    """A Django application, which has no lifespan."""
    import django  # type: ignore[import-untyped]
    from django.conf import settings  # type: ignore[import-untyped]
    from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]

    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[f"{__name__}.django_stamp"],
        SECRET_KEY="only for tests",
    )
    django.setup()
    return cast(ASGIApp, get_asgi_application())


async def django_greeting(request: HttpRequest) -> HttpResponse:
    """`/greeting` of the Django application."""
    from django.http import HttpResponse

    return HttpResponse(GREETING)


async def django_echo(request: HttpRequest) -> HttpResponse:
    """`/echo` of the Django application."""
    from django.http import HttpResponse

    return HttpResponse(request.body)


def django_stamp(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """The middleware of the Django application."""

    def stamp(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response[STAMP] = "1"
        return response

    return stamp


def __getattr__(name: str) -> Any:
    """Django looks for the routes here, after it has been set up."""
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.urls import path  # type: ignore[import-untyped]

    return [path("greeting", django_greeting), path("echo", django_echo)]


def starlette_mount() -> ASGIApp:
    """A Starlette application with two registries below prefixes, whose lifespans nobody runs."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def greeting(_: Request) -> PlainTextResponse:
        return PlainTextResponse(GREETING)

    routes = [
        Route("/greeting", greeting),
        Mount("/team/one", app=registry("one")),
        Mount("/two", app=registry("two")),
    ]
    return cast(ASGIApp, Starlette(routes=routes))


def bare() -> ASGIApp:
    """The registry alone."""
    return registry()


def in_front(host: Callable[[], ASGIApp]) -> ASGIApp:
    """A registry in front of a host."""
    return registry().front(host())


APPLICATIONS: dict[str, Callable[[], ASGIApp]] = {
    "quart": lambda: in_front(quart_host),
    "fastapi": lambda: in_front(fastapi_host),
    "django": lambda: in_front(django_host),
    "mount": starlette_mount,
    "bare": bare,
}
