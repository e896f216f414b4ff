"""Small requests, as many as possible: manifests and small blobs."""

from __future__ import annotations

import re
import selectors
import socket
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import cast

from bench.content import MANIFEST, Payload, push_blob, push_image
from bench.contest import Contest, Figure
from bench.wire import Unexpected, Wire
from tests.servers.registries import Registry

MANIFEST_GET = Figure("manifest-get", "GET a manifest by tag", "requests/s", ratio=4.0)
MANIFEST_HEAD = Figure("manifest-head", "HEAD a manifest by tag", "requests/s", ratio=4.0)
BLOB_GET = Figure("blob-get", "GET a blob of 4 KiB", "requests/s", ratio=8.0)
FIGURES = (MANIFEST_GET, MANIFEST_HEAD, BLOB_GET)

CONNECTIONS = 32
THINGS = 100
"""Tags, and blobs, that are asked for in turn."""

NAME = "bench/small"

_SCRIPT = """\
local requests, at = {{}}, 0
function init()
  for target in string.gmatch([[{targets}]], "%S+") do
    requests[#requests + 1] = wrk.format("GET", target, {{Accept = "{accept}"}})
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    seconds = 2 if contest.quick else 5
    tags = [f"/v2/{NAME}/manifests/v{number}" for number in range(THINGS)]
    with contest.both() as registries:
        blobs = {name: _prepare(registry) for name, registry in registries.items()}
        for figure in FIGURES:
            if figure.key in only:
                measures = {}
                for name, registry in registries.items():
                    targets = blobs[name] if figure is BLOB_GET else tags
                    ask = head if figure is MANIFEST_HEAD else partial(get, contest.directory)
                    measures[name] = partial(ask, registry.address, targets, seconds)
                contest.take_turns(figure, measures)


def _prepare(registry: Registry) -> list[str]:
    """Push what is asked for. Returns the targets of the blobs."""
    targets = []
    with Wire(registry.address) as wire:
        for number in range(THINGS):
            push_image(wire, NAME, f"v{number}", [4096])
            payload = Payload(4096)
            push_blob(wire, NAME, payload.bytes(), payload.digest)
            targets.append(f"/v2/{NAME}/blobs/{payload.digest}")
    return targets


def get(directory: Path, address: str, targets: list[str], seconds: int) -> float:
    """GET targets in turn, with wrk. Returns requests per second.

    Args:
        directory: Where the program that tells wrk what to ask for is written to.
        address: `HOST:PORT`.
        targets: What to ask for.
        seconds: For how long; a second of warming up comes before it.

    Raises:
        Unexpected: not every answer was a success.
    """
    script = directory / "wrk.lua"
    script.write_text(_SCRIPT.format(targets="\n".join(targets), accept=MANIFEST))
    rate = 0.0
    for duration in (1, seconds):
        command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{duration}s", "-s", str(script)]
        said = subprocess.run(
            [*command, f"http://{address}"], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
        if found is None or "Non-2xx" in said or "Socket errors" in said:
            raise Unexpected(f"wrk: {said}")
        rate = float(found[1])
    return rate


def head(address: str, targets: list[str], seconds: int) -> float:
    """HEAD targets in turn. As `get`, but wrk waits for the bodies of answers to HEAD for ever."""
    for duration in (1, seconds):
        with selectors.DefaultSelector() as selector, ExitStack() as stack:
            requests = cycle(
                f"HEAD {target} HTTP/1.1\r\nHost: {address}\r\nAccept: {MANIFEST}\r\n\r\n".encode()
                for target in targets
            )
            host, _, port = address.rpartition(":")
            for _ in range(CONNECTIONS):
                sock = stack.enter_context(socket.create_connection((host, int(port))))
                selector.register(sock, selectors.EVENT_READ)
                sock.sendall(next(requests))
            count = 0
            began = time.perf_counter()
            while (now := time.perf_counter()) < began + duration:
                for key, _ in selector.select(1.0):
                    sock = cast(socket.socket, key.fileobj)
                    answer = sock.recv(8192)
                    # Such a small head has always come as one piece; anything else shows here.
                    if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")):
                        raise Unexpected(f"HEAD: {answer[:300]!r}")
                    count += 1
                    sock.sendall(next(requests))
    return count / (now - began)
