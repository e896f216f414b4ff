"""Pages of the catalog and of tags: neither time nor memory may grow with the total."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench.content import MANIFEST
from bench.contest import NAMES, PYREG, Contest, Figure
from bench.machine import peak_memory
from bench.wire import Unexpected, Wire
from tests.servers.registries import Registry

FEW, MANY = 1_000, 100_000
PAGE = 100
PLACES = ("first", "middle", "last")
MIB = 1 << 20

GROWTH = 2.0
"""How many times longer a page may take when there is a hundred times more."""

MEMORY_GROWTH = 32.0
"""MiB that a worker may take more of then. What it keeps of big directories is bounded by half of
that; everything else must not grow at all."""


def _figures(key: str, title: str) -> dict[str, Figure]:
    return {
        place: Figure(
            f"{key}-{place}",
            f"{title}, {place} page of {MANY:,}",
            "ms",
            more_is_better=False,
        )
        for place in PLACES
    } | {
        "growth": Figure(
            f"{key}-growth",
            f"{title}, slowest page of {MANY:,} : that of {FEW:,}",
            "times",
            more_is_better=False,
            limit=GROWTH,
            compared=False,
        ),
        "memory": Figure(
            f"{key}-memory",
            f"{title}, more memory at {MANY:,} than at {FEW:,}",
            "MiB",
            more_is_better=False,
            limit=MEMORY_GROWTH,
            compared=False,
        ),
    }


CATALOG = _figures("catalog", "catalog")
TAGS = _figures("tags", "tags")
FIGURES = (*CATALOG.values(), *TAGS.values())


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    if contest.quick and any(figure.key in only for figure in FIGURES):
        contest.notice(f"quick: {MANY:,} repositories and tags are {MANY // 10:,}")
    kinds: tuple[tuple[dict[str, Figure], str, Callable[[Path, int], None]], ...] = (
        (CATALOG, "/v2/_catalog?n={n}&last={last}", write_repositories),
        (TAGS, f"/v2/{NAME}/tags/list?n={{n}}&last={{last}}", write_tags),
    )
    for figures, target, write in kinds:
        if any(figure.key in only for figure in figures.values()):
            _compare(contest, figures, target, write)


NAME = "bench/tags"


def _compare(
    contest: Contest, figures: dict[str, Figure], target: str, write: Callable[[Path, int], None]
) -> None:
    title = figures["first"].title.partition(",")[0]
    totals = (FEW, MANY // 10 if contest.quick else MANY)
    contest.say(f"{title}: pages of {PAGE}")
    roots = {total: contest.directory / f"{title}-{total}" for total in totals}
    for total, root in roots.items():
        began = time.monotonic()
        write(root, total)
        contest.say(f"  {total:,} written in {time.monotonic() - began:.0f} s")
    for name in NAMES:
        with (
            contest.registry(name, root=roots[totals[0]]) as few,
            contest.registry(name, root=roots[totals[1]]) as many,
        ):
            contest.settle()
            # Debian's registry walks through everything, so that one look tells enough.
            turns = 15 if name == PYREG else 1
            pages = _time_pages({totals[0]: few, totals[1]: many}, target, turns)
            memory = [_memory(registry) for registry in (few, many)]
        times = {key: statistics.median(samples) for key, samples in pages.items()}
        for place in PLACES:
            contest.keep(figures[place], name, times[totals[1], place])
        slowest = [max(times[total, place] for place in PLACES) for total in totals]
        contest.keep(figures["growth"], name, slowest[1] / slowest[0])
        contest.keep(figures["memory"], name, max(0.0, memory[1] - memory[0]))
        contest.notice(
            f"{title}, {name}: the slowest page of {totals[0]:,} took {slowest[0]:.1f} ms, that of "
            f"{totals[1]:,} {slowest[1]:.1f} ms, and the very first after a start "
            f"{pages[totals[1], PLACES[0]][0]:.0f} ms; {memory[0]:.0f} and {memory[1]:.0f} MiB"
        )
    for root in roots.values():
        shutil.rmtree(root)


def _memory(registry: Registry) -> float:
    assert registry.process is not None
    return peak_memory(registry.process.pid)[0] / MIB


def _time_pages(
    registries: dict[int, Registry], target: str, turns: int
) -> dict[tuple[int, str], list[float]]:
    """Milliseconds until a page has come, by total and place, for each of several turns.

    Each turn has a connection of its own, so that each worker gets its share of them.
    """
    samples: dict[tuple[int, str], list[float]] = defaultdict(list)
    for _ in range(turns):
        for total, registry in registries.items():
            lasts = ("", _label(total // 2), _label(total - PAGE - 1))
            with Wire(registry.address) as wire:
                for place, last in zip(PLACES, lasts, strict=True):
                    began = time.perf_counter()
                    answer = wire.request("GET", target.format(n=PAGE, last=last)).require(200)
                    samples[total, place].append((time.perf_counter() - began) * 1000)
                    document = json.loads(answer.body)
                    # Debian's registry knows no pages of tags: it always lists all.
                    if len(document.get("repositories") or document["tags"]) < PAGE:
                        raise Unexpected(f"not a page of {PAGE}: {answer.body[:200]!r}")
    return samples


def _label(number: int) -> str:
    return f"r{number:06d}"


def write_repositories(root: Path, total: int) -> None:
    """A store with so many repositories of one manifest each, in the Docker registry's layout.

    The manifests of all but one are a symbolic link to those of the first, which both registries
    follow: half a million directories take longer to make and to remove than to measure.
    """
    store, digits = _write_manifest(root)
    first = f"{store}/repositories/{_label(0)}"
    _write_repository(store, _label(0), digits)
    for number in range(1, total):
        repository = f"{store}/repositories/{_label(number)}"
        os.makedirs(f"{repository}/_layers")
        os.symlink(f"{first}/_manifests", f"{repository}/_manifests")


def write_tags(root: Path, total: int) -> None:
    """A store with one repository of so many tags, in the Docker registry's layout."""
    store, digits = _write_manifest(root)
    _write_repository(store, NAME, digits)
    for number in range(total):
        tag = f"{store}/repositories/{NAME}/_manifests/tags/{_label(number)}"
        _write_link(f"{tag}/current", digits)


def _write_manifest(root: Path) -> tuple[str, str]:
    """Write a manifest. Returns the store's directory, and the digits of the digest."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()
    digits = hashlib.sha256(manifest).hexdigest()
    store = root / "docker" / "registry" / "v2"
    blob = store / "blobs" / "sha256" / digits[:2] / digits
    blob.mkdir(parents=True)
    (blob / "data").write_bytes(manifest)
    return str(store), digits


def _write_repository(store: str, name: str, digits: str) -> None:
    repository = f"{store}/repositories/{name}"
    os.makedirs(f"{repository}/_layers")
    _write_link(f"{repository}/_manifests/revisions/sha256/{digits}", digits)


def _write_link(directory: str, digits: str) -> None:
    os.makedirs(directory)
    with open(f"{directory}/link", "w") as link:
        link.write(f"sha256:{digits}")
