"""Events: what they cost a push, and how fast a queue empties."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from bench.content import Payload, push_blob, push_image
from bench.contest import NAMES, PYREG, Contest, Figure
from bench.wire import Unexpected, Wire
from tests.servers.process import free_port

COST = Figure(
    "events-cost",
    "push of an image with two endpoints, beside without",
    "% more time",
    more_is_better=False,
    limit=10.0,
)
RATE = Figure("events-rate", "events that wait, delivered to one endpoint", "events/s", least=1000)
FIGURES = (COST, RATE)

LAYERS = [256 * 1024] * 5
REPOSITORIES = 20
_PATIENCE = 120.0  # seconds in which everything must be delivered


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    if COST.key in only:
        _measure_cost(contest)
    if RATE.key in only:
        _measure_rate(contest)


def _measure_cost(contest: Contest) -> None:
    contest.say(COST.title)
    pushes = 10 if contest.quick else 40
    with ExitStack() as stack:
        receivers = [stack.enter_context(_receiver()) for _ in range(2)]
        for port in receivers:
            _open(port)
        without = stack.enter_context(contest.registry(PYREG))
        told = stack.enter_context(contest.registry(PYREG, config=_endpoints(*receivers)))
        for _ in range(contest.rounds):
            contest.settle()
            times: dict[str, list[float]] = {without.address: [], told.address: []}
            with Wire(without.address) as one, Wire(told.address) as other:
                wires = {without.address: one, told.address: other}
                for number in range(pushes + 2):
                    # In turn, so that whatever the disk does meets both.
                    for address in sorted(times, reverse=bool(number % 2)):
                        began = time.perf_counter()
                        push_image(wires[address], "bench/events", f"v{number}", LAYERS)
                        times[address].append(time.perf_counter() - began)
            middle = {key: statistics.median(found[2:]) for key, found in times.items()}
            more = 100 * (middle[told.address] / middle[without.address] - 1)
            contest.keep(COST, PYREG, more)


def _measure_rate(contest: Contest) -> None:
    contest.say(RATE.title)
    each = 25 if contest.quick else 150
    for _ in range(1 if contest.quick else min(contest.rounds, 3)):
        for name in NAMES:
            with (
                _receiver() as port,
                contest.registry(name, config=_endpoints(port)) as registry,
                Wire(registry.address) as wire,
            ):
                # While the endpoint refuses, they pile up.
                events = _mount(wire, each)
                contest.settle()
                _open(port)
                contest.keep(RATE, name, _drained(port, events))


def _mount(wire: Wire, each: int) -> int:
    """Mount a blob into many repositories, again and again. Returns the number of events."""
    payload = Payload(64)
    push_blob(wire, "bench/source", payload.bytes(), payload.digest)
    for number in range(each * REPOSITORIES):
        target = f"/v2/bench/r{number % REPOSITORIES}/blobs/uploads/"
        query = f"?mount={payload.digest}&from=bench/source"
        wire.request("POST", target + query).require(201)
    return each * REPOSITORIES


def _drained(port: int, events: int) -> float:
    """Wait until all have come. Returns events per second, from the first to the last."""
    end = time.monotonic() + _PATIENCE
    while True:
        with Wire(f"127.0.0.1:{port}") as wire:
            count, seconds = json.loads(wire.request("GET", "/count").require(200).body)
        if count >= events:
            return float(count / seconds)
        if time.monotonic() > end:
            raise Unexpected(f"{count} of {events} events came in {_PATIENCE:.0f} s")
        time.sleep(0.2)


def _endpoints(*ports: int) -> dict[str, Any]:
    endpoints = [
        {
            "name": f"endpoint{index}",
            "url": f"http://127.0.0.1:{port}/events",
            "timeout": "5s",
            "threshold": 3,
            "backoff": "1s",
            "ignore": {"actions": ["pull"]},
        }
        for index, port in enumerate(ports)
    ]
    return {"notifications": {"endpoints": endpoints}}


@contextmanager
def _receiver() -> Iterator[int]:
    """A receiver that refuses until it is opened. Gives its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.receiver", str(port)])
    try:
        end = time.monotonic() + 30
        while True:
            with suppress(OSError), Wire(f"127.0.0.1:{port}") as wire:
                wire.request("GET", "/count").require(200)
                break
            if time.monotonic() > end:
                raise Unexpected("the receiver does not start")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _open(port: int) -> None:
    with Wire(f"127.0.0.1:{port}") as wire:
        wire.request("POST", "/open").require(200)
