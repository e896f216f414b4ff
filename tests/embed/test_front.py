"""A registry in front of Quart, FastAPI and Django, under two servers, on real sockets."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.embed.hosts import GREETING, STAMP
from tests.fixtures.client import Client
from tests.fixtures.images import small_image
from tests.fixtures.in_process import error_of
from tests.fixtures.project import ROOT
from tests.fixtures.wire import Wire, sha256
from tests.servers.process import Process, answers, free_port

MIB = 1 << 20


class Served(NamedTuple):
    """An application that answers."""

    address: str
    process: Process
    trace: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def lines(self) -> list[str]:
        """What lifespans have done so far."""
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def memory(self) -> int:
        """The most memory that the process ever had, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) // 1024


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves an application of `tests.embed.hosts`."""
    processes: list[Process] = []

    def start(server: str, application: str, *, ready: str = "/greeting") -> Served:
        address = f"127.0.0.1:{free_port()}"
        trace = tmp_path / "trace"
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = Process(
            server,
            [sys.executable, "-m", "tests.embed", server, application, address.split(":")[1]],
            tmp_path,
            ready=lambda: answers(f"http://{address}{ready}"),
            env={
                "PYTHONPATH": os.pathsep.join(paths),
                "PYREG_EMBED_DATA": str(tmp_path),
                "PYREG_EMBED_TRACE": str(trace),
            },
        )
        process.start()
        processes.append(process)
        return Served(address, process, trace)

    yield start
    for process in processes:
        if process.alive:
            process.stop()


def the_host_works(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        answer = http.get("/greeting")
        assert (answer.status_code, answer.text) == (200, GREETING)
        assert answer.headers[STAMP] == "1"
        data = os.urandom(100_000)
        echo = http.post("/echo", content=data)
        assert echo.content == data
        missing = http.get("/v2x/none")
        assert missing.status_code == 404
        assert missing.headers[STAMP] == "1", "this path is the host's"


def the_registry_works(served: Served, skopeo: Client, directory: Path) -> None:
    """An image goes in by skopeo and comes out as it was."""
    layout, _ = small_image(directory / "in", served.address)
    name = f"docker://{served.address}/library/small:v1"
    skopeo("copy", "--dest-tls-verify=false", layout.source("v1"), name)
    with Wire(served.url) as wire:
        assert wire.tree("library/small", "v1") == layout.blobs
        assert STAMP not in wire.http.get("/v2/").headers, "/v2 is the registry's alone"
        assert error_of(wire.http.get("/v2/none/tags/list"))["code"] == "NAME_UNKNOWN"
    out = directory / "out"
    skopeo("copy", "--src-tls-verify=false", name, f"oci:{out}:v1")
    blobs = {path.name for path in (out / "blobs" / "sha256").iterdir()}
    assert blobs == {digest.partition(":")[2] for digest in layout.blobs}


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn"])
@pytest.mark.parametrize("host", ["quart", "fastapi", "django"])
def test_a_registry_in_front_of_a_host(
    serve: Serve, skopeo: Client, tmp_path: Path, server: str, host: str
) -> None:
    served = serve(server, host)
    started = ["registry starts"] if host == "django" else ["registry starts", "host starts"]
    assert served.lines() == started, "all are ready before the first request"
    the_host_works(served)
    the_registry_works(served, skopeo, tmp_path)
    a_large_upload_stays_small(served)
    the_host_works(served)
    # uvicorn ends by the signal that it was stopped with.
    assert served.process.stop() in (0, -signal.SIGTERM)
    stopped = ["registry stops"] if host == "django" else ["host stops", "registry stops"]
    assert served.lines() == started + stopped
    assert "Traceback" not in served.process.log()


def a_large_upload_stays_small(served: Served) -> None:
    """192 MiB go through a process that grows by a fraction of it."""
    piece = os.urandom(MIB)
    count = 192
    seen = hashlib.sha256()
    for _ in range(count):
        seen.update(piece)
    digest = f"sha256:{seen.hexdigest()}"
    before = served.memory()
    with httpx.Client(base_url=served.url, timeout=120, trust_env=False) as http:
        location = http.post("/v2/large/blobs/uploads/").headers["location"]
        answer = http.patch(location, content=(piece for _ in range(count)))
        assert answer.status_code == 202
        answer = http.put(answer.headers["location"], params={"digest": digest})
        assert answer.status_code == 201, answer.text
    with Wire(served.url) as wire:
        assert wire.blob_size("large", digest) == count * MIB
    grown = served.memory() - before
    assert grown < 64, f"192 MiB made the process grow by {grown} MiB"


@pytest.mark.parametrize("host", ["quart", "django", "bare"])
def test_the_first_request_starts_a_registry_without_lifespan(serve: Serve, host: str) -> None:
    served = serve("uvicorn-without-lifespan", host, ready="/" if host == "bare" else "/greeting")
    if host != "bare":
        assert served.lines() == []
    with Wire(served.url) as wire:
        digest = wire.put_blob("a", b"first")
        assert wire.blob("a", digest) == b"first"
    assert served.lines() == ["registry starts"], "once"


def test_registries_below_prefixes(serve: Serve) -> None:
    """Starlette's Mount runs no lifespan and cuts the prefix off; both registries work."""
    served = serve("uvicorn", "mount")
    for prefix in ("/team/one", "/two"):
        with Wire(f"{served.url}{prefix}") as wire:
            wire.put_blob("a", prefix.encode())
            begun = wire.http.post("/v2/a/blobs/uploads/")
            assert begun.headers["location"].startswith(f"{served.url}{prefix}/v2/a/blobs/uploads/")
            assert wire.blob("a", sha256(prefix.encode())) == prefix.encode()
    with Wire(f"{served.url}/two") as wire:
        assert wire.status(f"a/blobs/{sha256(b'/team/one')}") == 404, "each has a store of its own"
        paged = wire.http.get("/v2/_catalog?n=1")
        assert paged.status_code == 200
    assert httpx.get(f"{served.url}/greeting", trust_env=False).text == GREETING
    assert served.lines() == ["registry starts", "registry starts"]
