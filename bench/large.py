"""Much data: large layers, many small ones, and many clients at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from bench.content import MANIFEST, Image, Payload, closing, push_blob, push_image
from bench.contest import Contest, Figure
from bench.wire import Wire
from tests.servers.registries import Registry

PUSHES = Figure("push-small", "push blobs of 4 KiB, 16 clients", "blobs/s")
PUSH = Figure("push-large", "push 1 GiB, durably", "MiB/s", ratio=1.5)
PULL = Figure("pull-large", "pull 1 GiB", "MiB/s", ratio=1.0)
IMAGES = Figure("pull-images", "32 clients pull an image of 10 layers", "MiB/s")
FIGURES = (PUSHES, PUSH, PULL, IMAGES)

MIB = 1 << 20


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    size = 256 * MIB if contest.quick else 1024 * MIB
    count = 320 if contest.quick else 1000
    layers = [MIB] * 10 if contest.quick else [4 * MIB] * 10
    if contest.quick:
        contest.notice("quick: 1 GiB is 256 MiB, 1,000 small blobs are 320, layers have 1 MiB")
    with contest.both() as registries:

        def turns(figure: Figure, measure: Callable[[str], float]) -> None:
            if figure.key in only:
                contest.take_turns(figure, {name: partial(measure, name) for name in registries})

        turns(PUSHES, lambda name: push_many(registries[name], count, clients=16))
        turns(PUSH, lambda name: push_large(registries[name], Payload(size)))
        if PULL.key in only:
            payload = Payload(size)
            for registry in registries.values():
                push_large(registry, payload)
            turns(PULL, lambda name: pull_large(registries[name], payload))
        if IMAGES.key in only:
            images = {}
            for name, registry in registries.items():
                with Wire(registry.address) as wire:
                    images[name] = push_image(wire, "bench/image", "latest", layers)
            turns(IMAGES, lambda name: pull_images(registries[name], images[name], clients=32))


def push_large(registry: Registry, payload: Payload) -> float:
    """Push a blob as clients do: POST, one PATCH, an empty PUT. Returns MiB per second."""
    with Wire(registry.address) as wire:
        began = time.perf_counter()
        upload = wire.request("POST", "/v2/bench/large/blobs/uploads/").require(202)
        upload = wire.send("PATCH", upload.location, payload.size, payload.pieces()).require(202)
        wire.request("PUT", closing(upload.location, payload.digest)).require(201)
        return payload.size / MIB / (time.perf_counter() - began)


def pull_large(registry: Registry, payload: Payload) -> float:
    """Pull a blob. Returns MiB per second."""
    with Wire(registry.address) as wire:
        began = time.perf_counter()
        wire.fetch(f"/v2/bench/large/blobs/{payload.digest}", payload.size)
        return payload.size / MIB / (time.perf_counter() - began)


def push_many(registry: Registry, count: int, clients: int) -> float:
    """Push small blobs that are all different. Returns blobs per second."""
    blobs = [(payload.bytes(), payload.digest) for payload in map(Payload, [4096] * count)]

    def client(number: int, wire: Wire) -> None:
        for data, digest in blobs[number::clients]:
            push_blob(wire, "bench/many", data, digest)

    return count / _together(registry, clients, client)


def pull_images(registry: Registry, image: Image, clients: int) -> float:
    """Pull an image with many clients at once. Returns MiB per second, of all together."""

    def client(_: int, wire: Wire) -> None:
        manifest = f"/v2/{image.name}/manifests/{image.tag}"
        wire.fetch(manifest, image.manifest, Accept=MANIFEST)
        for digest, size in image.blobs:
            wire.fetch(f"/v2/{image.name}/blobs/{digest}", size)

    return clients * image.size / MIB / _together(registry, clients, client)


def _together(registry: Registry, clients: int, work: Callable[[int, Wire], None]) -> float:
    """Let clients work at the same time. Returns the seconds until the last one is done.

    Raises:
        Whatever the first client that failed raised.
    """
    failures: list[BaseException] = []
    start = threading.Barrier(clients + 1)

    def body(number: int) -> None:
        try:
            with Wire(registry.address) as wire:
                start.wait()
                work(number, wire)
        except BaseException as error:
            failures.append(error)
            start.abort()

    threads = [threading.Thread(target=body, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        start.wait()
    except threading.BrokenBarrierError:
        pass
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began
