"""Disks that fill up, fail, turn read-only or vanish, really: pyreg says so, and lives on."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from tests.durability.disk import Disk, fill, mount_tmpfs, unmount
from tests.fixtures.images import noise
from tests.fixtures.in_process import error_of, image
from tests.fixtures.programs import absent
from tests.fixtures.wire import OCI_MANIFEST, Wire, sha256
from tests.servers.process import answers, until
from tests.servers.registries import Registry

MIB = 1 << 20
Start = Callable[..., Registry]

CONFIG = b'{"architecture": "amd64", "os": "linux"}'
LAYER = noise(300_000, "a layer")


class Medium(Protocol):
    """Somewhere to keep things that can run full.

    Attributes:
        path: Where it is.
    """

    path: Path

    def remove(self) -> None:
        """Take it away."""


class Memory:
    """A filesystem in memory."""

    def __init__(self, directory: Path, mebibytes: int) -> None:
        self.path = directory / "memory"
        mount_tmpfs(self.path, mebibytes)

    def remove(self) -> None:
        unmount(self.path)


@pytest.fixture
def disk(short_dir: Path) -> Iterator[Disk]:
    """A small disk with a journal."""
    disk = Disk(short_dir, 48)
    yield disk
    disk.remove()


@pytest.fixture(params=["memory", "disk"])
def medium(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[Medium]:
    """Something small; a full disk speaks up when it is written to, or only when synced."""
    made: Medium = Memory(short_dir, 24) if request.param == "memory" else Disk(short_dir, 48)
    yield made
    made.remove()


class Pushed:
    """An image that is there before anything fails, and what must be true of it meanwhile."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.payload = image(CONFIG, [LAYER])
        self.digest = sha256(self.payload)
        # Every worker has opened the storage, not only the first one that answers: one that
        # starts later would take whatever it finds in the storage's place.
        process = registry.process
        assert process is not None
        until(lambda: "serving on" in process.log(), seconds=30, what="all workers to start")
        with Wire(registry.url) as wire:
            for data in (CONFIG, LAYER):
                wire.put_blob("kept", data)
            wire.put_manifest("kept", "v1", self.payload)

    def check(self) -> None:
        """It is there, whole, and nothing else is."""
        with Wire(self.registry.url) as wire:
            assert wire.tree("kept", "v1") == {
                self.digest: self.payload,
                sha256(CONFIG): CONFIG,
                sha256(LAYER): LAYER,
            }
            assert wire.tags("kept") == ["v1"]
            assert wire.catalog() == ["kept"]


def refused(answer: httpx.Response, status: int) -> None:
    """An error of the specification's form that gives nothing away."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    error = error_of(answer)
    assert error["code"] == "UNAVAILABLE"
    assert "/" not in error["message"], "no paths"
    assert "Errno" not in answer.text


def everything_is_refused(registry: Registry, status: int, size: int = 200_000) -> None:
    """Every way to write meets the failure; nothing half-written can be seen afterwards.

    Args:
        registry: Which.
        status: What is expected.
        size: Of the blobs.
    """
    data = noise(size, "refused")
    digest = sha256(data)
    manifest = image(CONFIG, [LAYER], annotations={"another": "one"})
    with httpx.Client(base_url=registry.url, timeout=60, trust_env=False) as http:
        path = "/v2/kept/blobs/uploads/"
        refused(http.post(path, params={"digest": digest}, content=data), status)
        begun = http.post(path)
        if begun.status_code == 202:
            location = begun.headers["location"]
            refused(http.patch(location, content=data), status)
            refused(http.put(location, params={"digest": digest}, content=data), status)
        else:
            refused(begun, status)
        for reference in ("v2", "v1", sha256(manifest)):
            refused(
                http.put(
                    f"/v2/kept/manifests/{reference}",
                    content=manifest,
                    headers={"Content-Type": OCI_MANIFEST},
                ),
                status,
            )
        assert http.head(f"/v2/kept/blobs/{digest}").status_code == 404
        assert http.get(f"/v2/kept/manifests/{sha256(manifest)}").status_code == 404


def pushes_work(registry: Registry) -> None:
    """The failure is over."""
    data = noise(400_000, "afterwards")
    with Wire(registry.url) as wire:
        digest = wire.put_blob("later", data)
        assert wire.blob("later", digest) == data
        wire.put_blob("later", CONFIG)
        wire.put_manifest("later", "v1", image(CONFIG, [data]))
        assert wire.tags("later") == ["v1"]
        assert wire.http.delete("/v2/later/manifests/v1").status_code == 202
        assert wire.tags("later") == []


def free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


# -- full ----------------------------------------------------------------------------------


def test_a_full_disk(start_registry: Start, medium: Medium) -> None:
    registry = start_registry(root=medium.path / "registry")
    pushed = Pushed(registry)
    ballast = fill(medium.path)
    everything_is_refused(registry, 507)
    pushed.check()
    assert registry.process is not None
    ballast.unlink()
    pushes_work(registry)


def test_a_disk_that_runs_full_in_the_middle(start_registry: Start, medium: Medium) -> None:
    registry = start_registry(root=medium.path / "registry")
    pushed = Pushed(registry)
    first, rest = noise(2 * MIB, "first"), noise(48 * MIB, "rest")
    with httpx.Client(base_url=registry.url, timeout=60, trust_env=False) as http:
        location = http.post("/v2/kept/blobs/uploads/").headers["location"]
        assert http.patch(location, content=first).status_code == 202
        room = free(medium.path)
        for _ in range(3):
            refused(http.patch(location, content=rest), 507)
            # What did not fit is not kept; a little may go to directories and journals.
            until(
                lambda: free(medium.path) > room - MIB,
                seconds=10,
                what="the room of a push that failed",
            )
            status = http.get(location)
            assert (status.status_code, status.headers["range"]) == (204, f"0-{2 * MIB - 1}")
        pushed.check()
        # The upload goes on with what does fit.
        last = noise(MIB, "last")
        digest = sha256(first + last)
        answer = http.put(location, params={"digest": digest}, content=last)
        assert answer.status_code == 201, answer.text
        assert http.get(f"/v2/kept/blobs/{digest}").content == first + last


def test_deleting_works_on_a_full_disk(start_registry: Start, medium: Medium) -> None:
    registry = start_registry(root=medium.path / "registry")
    pushed = Pushed(registry)
    fill(medium.path)
    with Wire(registry.url) as wire:
        assert wire.http.delete("/v2/kept/manifests/v1").status_code == 202
        assert wire.http.delete(f"/v2/kept/manifests/{pushed.digest}").status_code == 202
        assert wire.http.delete(f"/v2/kept/blobs/{sha256(LAYER)}").status_code == 202
        assert wire.catalog() == []


def test_a_thin_disk_that_is_full_underneath(start_registry: Start, short_dir: Path) -> None:
    """Writes succeed, and the sync that follows them fails."""
    pool = Memory(short_dir, 12)
    thin = Disk(pool.path, 256, "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=1")
    try:
        registry = start_registry(root=thin.path / "registry")
        pushed = Pushed(registry)
        with httpx.Client(base_url=registry.url, timeout=60, trust_env=False) as http:
            data = noise(24 * MIB, "too much")
            query = {"digest": sha256(data)}
            answer = http.post("/v2/kept/blobs/uploads/", params=query, content=data)
            assert answer.status_code in (503, 507), answer.text
            refused(answer, answer.status_code)
            assert http.head(f"/v2/kept/blobs/{sha256(data)}").status_code == 404
        pushed.check()
        registry.stop()
    finally:
        thin.remove()
        pool.remove()


# -- broken --------------------------------------------------------------------------------


def test_a_disk_that_fails(start_registry: Start, disk: Disk) -> None:
    """Every operation fails with EIO, as on a disk that has died."""
    registry = start_registry(root=disk.path / "registry")
    pushed = Pushed(registry)
    disk.cut_power()
    everything_is_refused(registry, 503)
    assert httpx.get(f"{registry.url}/v2/", trust_env=False).status_code == 200
    disk.unmount()
    disk.mount()
    pushed.check()
    pushes_work(registry)


def test_a_disk_that_turns_read_only(start_registry: Start, disk: Disk) -> None:
    registry = start_registry(root=disk.path / "registry")
    pushed = Pushed(registry)
    disk.remount("ro")
    everything_is_refused(registry, 503)
    with Wire(registry.url) as wire:
        refused(wire.http.delete("/v2/kept/manifests/v1"), 503)
    pushed.check()
    disk.remount("rw")
    pushes_work(registry)


def test_a_disk_that_is_unmounted(start_registry: Start, disk: Disk) -> None:
    """What is left, an empty directory, is neither an empty registry nor a place to write to."""
    registry = start_registry(root=disk.path)
    pushed = Pushed(registry)
    disk.unmount()
    vanished(registry, disk.path)
    disk.mount()
    pushed.check()
    pushes_work(registry)


def test_a_directory_that_vanishes(start_registry: Start, short_dir: Path) -> None:
    root = short_dir / "data"
    registry = start_registry(root=root)
    pushed = Pushed(registry)
    away = short_dir / "away"
    root.rename(away)
    vanished(registry, root)
    away.rename(root)
    pushed.check()
    pushes_work(registry)


def vanished(registry: Registry, root: Path) -> None:
    wrong = answers_other_than_503(registry)
    assert not wrong, "\n".join(wrong)
    assert not root.exists() or not any(root.iterdir()), "something was written there"


def answers_other_than_503(registry: Registry) -> list[str]:
    """Every answer that is not a 503; a 404 would tell clients that the content never existed."""
    wrong = []
    data = b"refused"
    with httpx.Client(base_url=registry.url, timeout=60, trust_env=False) as http:
        asked = {
            "GET tag": http.get("/v2/kept/manifests/v1"),
            "GET manifest": http.get(f"/v2/kept/manifests/{sha256(image(CONFIG, [LAYER]))}"),
            "GET blob": http.get(f"/v2/kept/blobs/{sha256(LAYER)}"),
            "HEAD blob": http.head(f"/v2/kept/blobs/{sha256(LAYER)}"),
            "GET tags": http.get("/v2/kept/tags/list"),
            "GET catalog": http.get("/v2/_catalog"),
            "GET referrers": http.get(f"/v2/kept/referrers/{sha256(LAYER)}"),
            "POST": http.post("/v2/kept/blobs/uploads/"),
            "POST whole": http.post(
                "/v2/kept/blobs/uploads/", params={"digest": sha256(data)}, content=data
            ),
            "PUT manifest": http.put(
                "/v2/kept/manifests/v2",
                content=image(CONFIG, [LAYER]),
                headers={"Content-Type": OCI_MANIFEST},
            ),
            "DELETE tag": http.delete("/v2/kept/manifests/v1"),
            "DELETE blob": http.delete(f"/v2/kept/blobs/{sha256(LAYER)}"),
        }
        for what, answer in asked.items():
            if answer.status_code != 503:
                wrong.append(f"{what}: {answer.status_code} {answer.text}")
    return wrong


# -- not allowed ---------------------------------------------------------------------------


def wrapped_python(directory: Path, *prefix: str) -> str:
    """A command that starts Python by another one."""
    path = directory / "python"
    path.write_text(f'#!/bin/sh\nexec {" ".join(prefix)} {sys.executable} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def program(name: str) -> str:
    """A program of util-linux, which every Debian has."""
    path = shutil.which(name)
    if path is None:
        absent(f"{name} is not installed: apt-get install --no-install-recommends util-linux")
    return path


def test_a_directory_without_permission(start_registry: Start, short_dir: Path) -> None:
    """As for any user but root, whom permissions do not stop."""
    if os.geteuid() == 0:
        drop = "-dac_override,-dac_read_search"
        python = wrapped_python(short_dir, program("setpriv"), f"--bounding-set={drop}")
    else:
        python = sys.executable
    root = short_dir / "data"
    registry = start_registry(root=root, python=python)
    pushed = Pushed(registry)
    directories = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for path in directories:
        path.chmod(0o555)
    everything_is_refused(registry, 503)
    pushed.check()
    for path in directories:
        path.chmod(0o755)
    pushes_work(registry)
    [secret] = root.rglob(f"{sha256(LAYER)[7:]}/data")
    secret.chmod(0)
    answer = httpx.get(f"{registry.url}/v2/kept/blobs/{sha256(LAYER)}", trust_env=False)
    refused(answer, 503)
    secret.chmod(0o644)
    with Wire(registry.url) as wire:
        assert wire.blob("kept", sha256(LAYER)) == LAYER


def test_a_process_without_descriptors(start_registry: Start, short_dir: Path) -> None:
    limit = 64
    python = wrapped_python(short_dir, program("prlimit"), f"--nofile={limit}:{limit}")
    registry = start_registry(root=short_dir / "data", python=python, workers=1)
    pushed = Pushed(registry)
    data = noise(200_000, "descriptors")
    host, _, port = registry.address.partition(":")
    with (
        httpx.Client(base_url=registry.url, timeout=60, trust_env=False) as http,
        ExitStack() as idle,
    ):
        assert http.get("/v2/").status_code == 200  # the connection stays
        for _ in range(2 * limit):
            idle.enter_context(socket.create_connection((host, int(port))))

        def exhausted() -> bool:
            return http.get(f"/v2/kept/blobs/{sha256(LAYER)}").status_code == 503

        until(exhausted, seconds=20, what="the process to run out of descriptors")
        refused(http.get(f"/v2/kept/blobs/{sha256(LAYER)}"), 503)
        refused(http.post("/v2/kept/blobs/uploads/"), 503)
        assert http.get("/v2/").status_code == 200
        # The last: with a body that nobody wanted the connection may be over.
        query = {"digest": sha256(data)}
        refused(http.post("/v2/kept/blobs/uploads/", params=query, content=data), 503)
    until(
        lambda: answers(f"{registry.url}/v2/kept/blobs/{sha256(LAYER)}"),
        seconds=20,
        what="descriptors to be free again",
    )
    pushed.check()
    pushes_work(registry)
