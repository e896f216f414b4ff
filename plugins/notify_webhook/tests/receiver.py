"""A receiver of webhooks: a process of its own that records what it is sent.

    python plugins/notify_webhook/tests/receiver.py --port 5003 --record requests.jsonl

Every POST to any path but `/control` is recorded as one line of JSON, before it is answered:

    {"at": 1790000000.0, "path": "/events", "query": "", "headers": [["Host", "..."], ...],
     "body": "{...}", "status": 200}

How it answers is told by a `Behaviour`: for one request by its query (`/events?status=503`), for
all that follow by `POST /control` with a JSON object of the same fields. `GET /control` answers
with the number of requests so far. Nothing is checked: a receiver is what a test reads.

Other tests start it with `Receiver`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import httpx
from aiohttp import web

ROOT = Path(__file__).parent.parent.parent.parent
sys.path.insert(0, str(ROOT))  # for those who run this file

from tests.servers.process import Process, answers, free_port, until  # noqa: E402


@dataclass(frozen=True)
class Behaviour:
    """How requests are answered.

    Attributes:
        status: With which status.
        fails: For so many requests, with 503 instead; -1 for every other one.
        delay: Seconds before the answer.
        size: Bytes of the body; without, it is the word `recorded`.
        echo: The body is the request's headers and body instead.
        drip: Seconds between the bytes of the body.
        reset: The connection is reset instead of an answer.
        location: A header `Location`.
        retry: A header `Retry-After`.
    """

    status: int = 200
    fails: int = 0
    delay: float = 0.0
    size: int = -1
    echo: int = 0
    drip: float = 0.0
    reset: int = 0
    location: str = ""
    retry: str = ""

    def but(self, changes: dict[str, Any]) -> Self:
        """The same with some fields changed; texts are read as what the fields are."""
        return replace(
            self, **{name: type(getattr(self, name))(value) for name, value in changes.items()}
        )


class Application:
    """The receiver itself.

    Args:
        record: The file of requests; appended to.
    """

    def __init__(self, record: Path) -> None:
        self._record = record.open("a", encoding="utf-8")
        self._behaviour = Behaviour()
        self._failing = 0
        self._count = 0

    def app(self) -> web.Application:
        """As aiohttp runs it."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/control", self._control)
        app.router.add_get("/control", self._counted)
        app.router.add_post("/{path:.*}", self._receive)
        return app

    async def _control(self, request: web.Request) -> web.Response:
        self._behaviour = Behaviour().but(await request.json())
        self._failing = 0
        return web.Response(text="so be it\n")

    async def _counted(self, _request: web.Request) -> web.Response:
        return web.json_response({"count": self._count})

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        known = {name for name in vars(self._behaviour) if name in request.query}
        behaviour = self._behaviour.but({name: request.query[name] for name in known})
        status = behaviour.status
        if behaviour.fails < 0 or self._failing < behaviour.fails:
            self._failing += 1
            status = 503 if behaviour.fails > 0 or self._failing % 2 else status
        body = await request.text()
        self._write(request, body, status)
        await asyncio.sleep(behaviour.delay)
        if behaviour.reset:
            assert request.transport is not None
            request.transport.abort()
        headers = {"Location": behaviour.location, "Retry-After": behaviour.retry}
        response = web.StreamResponse(
            status=status, headers={name: value for name, value in headers.items() if value}
        )
        content = b"recorded\n" if behaviour.size < 0 else b"x" * behaviour.size
        if behaviour.echo:
            lines = [f"{name}: {value}" for name, value in request.headers.items()]
            content = "\n".join([str(request.rel_url), *lines, body]).encode()
        if status in (204, 304):
            content = b""
        if status != 204:
            response.content_length = len(content)
        await response.prepare(request)
        step = 1 if behaviour.drip else 64 * 1024
        for start in range(0, len(content), step):
            await asyncio.sleep(behaviour.drip)
            await response.write(content[start : start + step])
        return response

    def _write(self, request: web.Request, body: str, status: int) -> None:
        self._count += 1
        path, _, query = request.raw_path.partition("?")
        line = {
            "at": time.time(),
            "path": path,
            "query": query,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body,
            "status": status,
        }
        self._record.write(json.dumps(line) + "\n")
        self._record.flush()


@dataclass(frozen=True)
class Request:
    """A request that a receiver has recorded.

    Attributes:
        path: Its path.
        query: What is behind the question mark.
        headers: Its headers, with names in lower case; of several with one name the last.
        pairs: All headers, as they came.
        body: Its body.
        status: What it was answered with.
        at: When, in seconds since the epoch.
    """

    path: str
    query: str
    headers: dict[str, str]
    pairs: list[tuple[str, str]]
    body: str
    status: int
    at: float

    @classmethod
    def read(cls, line: str) -> Self:
        """A line of the record."""
        found = json.loads(line)
        pairs = [(name, value) for name, value in found.pop("headers")]
        return cls(headers={name.lower(): value for name, value in pairs}, pairs=pairs, **found)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the Docker registry's envelope."""
        events: list[dict[str, Any]] = json.loads(self.body)["events"]
        return events


@dataclass
class Receiver:
    """Starts the receiver and reads its record.

    Attributes:
        directory: For its record and its log.
        tls: Options `certificate`, `key` and `clientcas` for https.
        port: Where it listens.
    """

    directory: Path
    tls: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = Process(
            "receiver",
            [
                sys.executable, __file__, "--port", str(self.port), "--record", str(self.record),
                *(part for name, value in self.tls.items() for part in (f"--{name}", value)),
            ],
            self.directory,
            ready=self._ready,
        )  # fmt: skip

    def _ready(self) -> bool:
        if "clientcas" in self.tls:
            return "listening" in self._process.log()
        return answers(f"{self.origin}/control")

    @property
    def record(self) -> Path:
        """The file of requests."""
        return self.directory / "requests.jsonl"

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address of an endpoint."""
        return f"{self.origin}/events"

    def start(self) -> Self:
        """Start it, or start it again; its record is gone on with."""
        self._process.start()
        return self

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process.alive:
            self._process.stop()

    def kill(self) -> None:
        """End it as a power cut would; what it has recorded stays."""
        if self._process.alive:
            self._process.kill()

    def behave(self, **behaviour: Any) -> None:
        """Tell it how to answer from now on: fields of `Behaviour`."""
        with httpx.Client(trust_env=False, verify=False) as client:
            client.post(f"{self.origin}/control", json=behaviour).raise_for_status()

    def requests(self) -> list[Request]:
        """What it has received so far."""
        if not self.record.exists():
            return []
        lines = self.record.read_text(encoding="utf-8").splitlines(keepends=True)
        return [Request.read(line) for line in lines if line.endswith("\n")]

    def accepted(self) -> list[Request]:
        """What it has received and taken."""
        return [request for request in self.requests() if 200 <= request.status < 300]

    def wait_for(self, count: int, *, seconds: float = 30.0) -> list[Request]:
        """The requests that were taken, once there are so many."""
        until(lambda: len(self.accepted()) >= count, seconds=seconds, what=f"{count} good requests")
        return self.accepted()


def main() -> None:
    """Run the receiver until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--clientcas")
    given = parser.parse_args()
    context = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate, given.key)
        if given.clientcas:
            context.load_verify_locations(given.clientcas)
            context.verify_mode = ssl.CERT_REQUIRED
    web.run_app(
        Application(given.record).app(),
        host=given.host,
        port=given.port,
        ssl_context=context,
        print=lambda *_: print("listening", flush=True),
        access_log=None,
        shutdown_timeout=0.5,
    )


if __name__ == "__main__":
    main()
