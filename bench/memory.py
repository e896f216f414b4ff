"""How much memory many large pushes at once take."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator

from bench.content import Payload
from bench.contest import NAMES, Contest, Figure
from bench.machine import peak_memory
from bench.wire import Unexpected, Wire
from tests.servers.registries import Registry

MEMORY = Figure(
    "memory",
    "peak memory of a worker, 64 large pushes",
    "MiB",
    more_is_better=False,
    limit=150.0,
)
FIGURES = (MEMORY,)

PUSHES = 64
GIB = 1 << 30
MIB = 1 << 20


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    if MEMORY.key not in only:
        return
    seconds = 10.0 if contest.quick else 60.0
    # What does not fit on the disk is announced, but not sent.
    room = shutil.disk_usage(contest.directory).free // 2
    contest.say(MEMORY.title)
    for name in NAMES:
        with contest.registry(name) as registry:
            contest.settle()
            sent = push_together(registry, seconds, room)
            assert registry.process is not None
            peaks = peak_memory(registry.process.pid)
        if sent < PUSHES * GIB:
            contest.notice(
                f"{name}: {sent / GIB:.1f} of {PUSHES} GiB were sent, in {seconds:.0f} s at most, "
                f"and {room / GIB:.0f} GiB at most; all {PUSHES} pushes were under way together"
            )
        contest.keep(MEMORY, name, peaks[0] / MIB)
        contest.say(
            f"    all its processes: {', '.join(f'{peak / MIB:.0f}' for peak in peaks)} MiB"
        )


def push_together(registry: Registry, seconds: float, room: int) -> int:
    """Push blobs of 1 GiB with many clients at once, each as fast as it can.

    Args:
        registry: Where to.
        seconds: When to stop, finished or not.
        room: How many bytes to send at most, over all.

    Returns:
        How many bytes were sent.

    Raises:
        Unexpected: a push was refused.
    """
    payload = Payload(GIB)
    sent = [0] * PUSHES
    failures: list[Exception] = []
    deadline = time.monotonic() + seconds

    class Enough(Exception):
        """It is time to stop."""

    def pieces(number: int) -> Iterator[memoryview]:
        for piece in payload.pieces():
            if time.monotonic() > deadline or sum(sent) >= room or failures:
                raise Enough
            yield piece
            sent[number] += len(piece)

    def push(number: int) -> None:
        try:
            with Wire(registry.address) as wire:
                begun = wire.request("POST", f"/v2/bench/memory{number}/blobs/uploads/")
                target = begun.require(202).location
                wire.send("PATCH", target, payload.size, pieces(number)).require(202)
        except Enough:
            return
        except (OSError, Unexpected) as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(PUSHES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Unexpected(f"a push failed: {failures[0]!r}")
    if not all(sent):
        raise Unexpected("some of the pushes did not get their turn")
    return sum(sent)
