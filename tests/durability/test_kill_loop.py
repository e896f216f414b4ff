"""A server that is killed at any moment loses nothing that it acknowledged."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.durability.crew import Crew
from tests.durability.disk import Disk
from tests.durability.inspection import Inspector, check_directory, tidy_up
from tests.durability.ledger import Ledger
from tests.durability.target import Target

CLIENTS = 5


@pytest.fixture
def seed() -> str:
    """Decides what clients do and when; PYREG_TEST_SEED repeats a run as far as can be."""
    return os.environ.get("PYREG_TEST_SEED") or str(random.randrange(10**9))


@pytest.fixture
def disk(short_dir: Path) -> Iterator[Disk]:
    """A disk whose power can be cut."""
    disk = Disk(short_dir, 8192)
    yield disk
    disk.remove()


def torment(
    target: Target, kills: int, seed: str, kinds: list[tuple[int, Callable[[], None]]]
) -> None:
    """Let clients work, kill, compare; again and again; then look into the directory.

    Args:
        target: What is killed.
        kills: How often at least.
        seed: For all choices.
        kinds: Ways to kill, with weights.
    """
    began = time.monotonic()
    chance = random.Random(seed)
    ledger = Ledger()
    inspector = Inspector(target.url, ledger, chance)
    crew = Crew(CLIENTS, target.url, target, ledger, seed)
    weights, ways = zip(*kinds, strict=True)
    inspections = 0
    try:
        while target.kills < kills:
            crew.work()
            for _ in range(chance.choice([1, 1, 1, 2, 3])):
                target.pause(0.05, 1.2)
                chance.choices(ways, weights)[0]()
            with crew.halted():
                target.steady()
                inspections += 1
                inspector.inspect(everything=inspections % 20 == 0)
        with crew.halted():
            inspector.inspect(everything=True)
    finally:
        crew.stop()
        inspector.close()
    target.stop()
    unfinished = tidy_up(target.root)
    check_directory(target.root)
    seconds = time.monotonic() - began
    print(
        f"\nseed {seed}: {target.kills} kills ({target.cuts} of them power cuts) and "
        f"{inspections + 1} inspections in {seconds:.0f} s; {len(ledger.contents)} blobs and "
        f"manifests, {unfinished} unfinished uploads\n"
        + ", ".join(f"{what}: {count}" for what, count in sorted(crew.counts().items()))
    )


def kill_processes(directory: Path, kills: int, seed: str) -> None:
    target = Target(directory, random.Random(seed))
    ways = [(6, target.kill_worker), (3, target.kill_server), (1, target.kill_supervisor)]
    try:
        torment(target, kills, seed, ways)
    finally:
        target.end()


def cut_power(directory: Path, disk: Disk, kills: int, seed: str) -> None:
    target = Target(directory, random.Random(seed), disk)
    try:
        torment(target, kills, seed, [(3, target.cut_power), (1, target.kill_worker)])
    finally:
        target.end()


def test_killed_processes_lose_nothing(tmp_path: Path, seed: str) -> None:
    kill_processes(tmp_path, 12, seed)


def test_a_power_cut_loses_nothing(tmp_path: Path, disk: Disk, seed: str) -> None:
    cut_power(tmp_path, disk, 6, seed)


@pytest.mark.soak
def test_200_killed_processes_lose_nothing(tmp_path: Path, seed: str) -> None:
    kill_processes(tmp_path, 200, seed)
    shutil.rmtree(tmp_path / "data")


@pytest.mark.soak
def test_100_power_cuts_lose_nothing(tmp_path: Path, disk: Disk, seed: str) -> None:
    cut_power(tmp_path, disk, 140, seed)
