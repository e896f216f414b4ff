"""A registry behind a real socket, in this process, under any of several ASGI servers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Self, TypeVar

import httpx

from pyreg.app import Registry
from tests.servers.process import free_port, until

T = TypeVar("T")
Serve = Callable[[Registry, int, asyncio.Event], Awaitable[None]]

OCTETS = {"Content-Type": "application/octet-stream"}


async def hypercorn(registry: Registry, port: int, ending: asyncio.Event) -> None:
    """Hypercorn as it comes from its own distribution."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = 1.0
    await serve(registry, config, shutdown_trigger=ending.wait)  # type: ignore[arg-type]


async def shipped(registry: Registry, port: int, ending: asyncio.Event) -> None:
    """Hypercorn's protocols on the connections of `pyreg serve`."""
    from pyreg.server.connection import Connection
    from pyreg.server.context import ServingContext
    from pyreg.server.settings import ServerConfig

    config = ServerConfig()
    config.keep_alive_timeout = 5.0
    context = ServingContext()
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    await registry.start()
    server = await loop.create_server(
        lambda: Connection(registry, config, context, {}, connections, loop), "127.0.0.1", port
    )
    await ending.wait()
    server.close()
    for connection in tuple(connections):
        connection.abort()
    while connections:
        await asyncio.sleep(0.01)
    await registry.stop()


async def uvicorn(registry: Registry, port: int, ending: asyncio.Event) -> None:
    """uvicorn."""
    from uvicorn import Config, Server

    server = Server(
        Config(
            registry,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server._serve())  # `serve` wants the main thread's signals
    await ending.wait()
    server.should_exit = True
    await serving


async def granian(registry: Registry, port: int, ending: asyncio.Event) -> None:
    """granian."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(registry, port=port, interface=Interfaces.ASGI, log_dictconfig=_PROPAGATED)
    serving = asyncio.create_task(server.serve())
    await ending.wait()
    server.stop()  # type: ignore[no-untyped-call]
    await serving


_PROPAGATED = {
    "loggers": {
        name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")
    },
    "handlers": {},
}

SERVERS: Mapping[str, Serve] = {
    "hypercorn": hypercorn,
    "shipped": shipped,
    "uvicorn": uvicorn,
    "granian": granian,
}


class _Trouble(logging.Handler):
    """Keeps what a healthy registry never logs: errors, and anything with a stack trace.

    Args:
        thread: Only what this one logs; several registries may run at once.
    """

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._thread = thread
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread.ident and (
            record.levelno >= logging.ERROR or record.exc_info
        ):
            self.lines.append(self.format(record))


class Live:
    """A registry that serves in a thread, with an event loop of its own.

    Args:
        registry: Not started yet.
        server: One of `SERVERS`.

    Attributes:
        registry: As given.
        address: Host and port.
        http: A client.
    """

    def __init__(self, registry: Registry, server: str = "hypercorn") -> None:
        self.registry = registry
        self.server = server
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=f"http://{self.address}", timeout=30.0, trust_env=False)
        del self.http.headers["accept"]
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{server}-{self.port}", daemon=True)
        self._trouble = _Trouble(self._thread)

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._trouble)
        self._thread.start()
        self._ready.wait(10)
        until(
            lambda: self._failure is not None or _listens(self.port),
            seconds=20,
            what=self.server,
        )
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(20)
        logging.getLogger().removeHandler(self._trouble)
        assert not self._thread.is_alive(), f"{self.server} does not end"
        if self._failure is not None:
            raise self._failure
        self.check_log()

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._ending = asyncio.Event()
            self._ready.set()
            await SERVERS[self.server](self.registry, self.port, self._ending)

        try:
            asyncio.run(main())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the registry's event loop."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)

    def check_log(self) -> None:
        """Fail if anything was logged that a healthy registry never logs."""
        lines, self._trouble.lines = self._trouble.lines, []
        assert not lines, "\n".join(lines)[:10_000]

    def expect_log(self, text: str) -> None:
        """The log must have an error that contains this; it is then forgiven."""
        lines, self._trouble.lines = self._trouble.lines, []
        assert any(text in line for line in lines), f"no {text!r} in {lines}"

    # What tests do again and again.

    def blob(self, name: str, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one request. Returns its digest."""
        digest = digest_of(data, algorithm)
        answer = self.http.post(
            f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=data, headers=OCTETS
        )
        assert answer.status_code == 201, answer.text
        return digest

    def manifest(
        self,
        name: str,
        reference: str | None,
        document: bytes | dict[str, Any],
        media_type: str | None = None,
    ) -> str:
        """Push a manifest, by its digest if there is no reference. Returns its digest."""
        answer = self.put_manifest(name, reference, document, media_type)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["docker-content-digest"])

    def put_manifest(
        self,
        name: str,
        reference: str | None,
        document: bytes | dict[str, Any],
        media_type: str | None = None,
    ) -> httpx.Response:
        """Push a manifest, whatever comes of it."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        if media_type is None:
            assert isinstance(document, dict)
            media_type = document["mediaType"]
        return self.http.put(
            f"/v2/{name}/manifests/{reference or digest_of(body)}",
            content=body,
            headers={"Content-Type": media_type},
        )

    def begin(self, name: str, **query: str) -> str:
        """Begin an upload. Returns its address."""
        answer = self.http.post(f"/v2/{name}/blobs/uploads/", params=query)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    def patch(
        self, location: str, data: bytes, start: int | None = None, stop: int | None = None
    ) -> httpx.Response:
        """Send a chunk, with a Content-Range if `start` is given."""
        headers = dict(OCTETS)
        if start is not None:
            headers["Content-Range"] = f"{start}-{start + len(data) - 1 if stop is None else stop}"
        return self.http.patch(location, content=data, headers=headers)

    def finish(
        self, location: str, digest: str, data: bytes = b"", **headers: str
    ) -> httpx.Response:
        """Close an upload."""
        url = httpx.URL(location).copy_merge_params({"digest": digest})
        return self.http.put(url, content=data, headers={**OCTETS, **headers})

    def follow(self, path: str) -> list[dict[str, Any]]:
        """Every page of a list, by its Link headers."""
        pages: list[dict[str, Any]] = []
        url: str | None = path
        while url is not None:
            answer = self.http.get(url)
            assert answer.status_code == 200, answer.text
            pages.append(answer.json())
            following = answer.links.get("next")
            url = following["url"] if following else None
            assert len(pages) < 10_000, "pages without end"
        return pages


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check an error: status, headers and body ("Error Codes"). Returns its first entry."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    document = answer.json()
    assert set(document) == {"errors"}
    assert document["errors"]
    for entry in document["errors"]:
        assert set(entry) == {"code", "message", "detail"}
        assert entry["code"].replace("_", "").isalpha()
        assert entry["code"].isupper()
        assert isinstance(entry["message"], str)
        assert entry["message"]
        assert "Traceback" not in entry["message"]
    first: dict[str, Any] = document["errors"][0]
    assert first["code"] == code, answer.text
    return first


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except ConnectionError:
        return False
    return True
