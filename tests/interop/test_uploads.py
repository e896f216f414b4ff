"""Uploads that the Docker registry left half-finished are resumed by pyreg, or purged."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures.images import noise
from tests.fixtures.wire import Wire, sha256
from tests.servers.process import until
from tests.servers.registries import Registry

Starter = Callable[..., Registry]
DATA = noise(6_000_000, "half an upload")
LONG_AGO = 1_577_836_800.0  # the same moment as below, in seconds since the epoch
OCTETS = {"Content-Type": "application/octet-stream"}


def target(location: str) -> str:
    """Path and query of an upload's address."""
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"


def begin(wire: Wire, repository: str, data: bytes) -> httpx.URL:
    """Begin an upload and send its first bytes. Returns where it goes on."""
    begun = wire.http.post(f"/v2/{repository}/blobs/uploads/")
    assert begun.status_code == 202
    sent = wire.http.patch(begun.headers["location"], content=data, headers=OCTETS)
    assert sent.status_code == 202
    return httpx.URL(sent.headers["location"])


def offset(wire: Wire, location: httpx.URL) -> int:
    """How many bytes of an upload the registry has."""
    answer = wire.http.get(location)
    assert answer.status_code == 204, answer.text
    return int(answer.headers["range"].partition("-")[2]) + 1


def resume(wire: Wire, repository: str, location: httpx.URL, at: int) -> None:
    """Send what is missing, finish, and compare."""
    sent = wire.http.patch(
        location,
        content=DATA[at:],
        headers={**OCTETS, "Content-Range": f"{at}-{len(DATA) - 1}"},
    )
    assert sent.status_code == 202, sent.text
    done = wire.http.put(
        httpx.URL(sent.headers["location"]).copy_merge_params({"digest": sha256(DATA)})
    )
    assert done.status_code == 201, done.text
    assert wire.blob(repository, sha256(DATA)) == DATA


def uploads(root: Path, repository: str) -> Path:
    return root / "docker/registry/v2/repositories" / repository / "_uploads"


def upload_directories(root: Path, repository: str) -> list[Path]:
    """The directory of each upload of a repository."""
    directory = uploads(root, repository)
    return sorted(directory.iterdir()) if directory.exists() else []


def left_behind(root: Path, repository: str) -> list[str]:
    """Everything below the uploads of a repository, some of which may vanish meanwhile."""
    return sorted(
        f"{directory}/{name}"
        for directory, directories, files in os.walk(uploads(root, repository))
        for name in (*directories, *files)
    )


def test_killed_between_two_patches(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter
) -> None:
    root = short_dir / "shared"
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        location = begin(wire, "half/done", DATA[:2_000_001])
    go.kill()

    pyreg = start_registry(root=root, address=go.address)
    with Wire(pyreg.url) as wire:
        assert offset(wire, location) == 2_000_001
        # Not where it goes on: refused, and nothing changes.
        wrong = wire.http.patch(location, content=b"x", headers={**OCTETS, "Content-Range": "5-5"})
        assert wrong.status_code == 416
        assert offset(wire, location) == 2_000_001
        resume(wire, "half/done", location, 2_000_001)
    assert left_behind(root, "half/done") == []


def test_killed_within_a_patch(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter
) -> None:
    root = short_dir / "shared"
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        location = begin(wire, "half/torn", DATA[:1_000_000])
    [directory] = upload_directories(root, "half/torn")
    host, _, port = go.address.partition(":")
    with socket.create_connection((host, int(port))) as sock:
        head = (
            f"PATCH {target(str(location))} HTTP/1.1\r\nHost: {go.address}\r\n"
            "Content-Type: application/octet-stream\r\n"
            f"Content-Length: {len(DATA) - 1_000_000}\r\n\r\n"
        )
        sock.sendall(head.encode() + DATA[1_000_000:4_000_000])
        until(
            lambda: (directory / "data").stat().st_size > 1_000_000,
            seconds=10,
            what="the Docker registry to write some of it",
        )
        go.kill()

    pyreg = start_registry(root=root, address=go.address)
    with Wire(pyreg.url) as wire:
        at = offset(wire, location)
        assert 1_000_000 <= at <= 4_000_000
        resume(wire, "half/torn", location, at)
    assert left_behind(root, "half/torn") == []


def test_finished_with_the_last_bytes_in_the_put(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter
) -> None:
    root = short_dir / "shared"
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        location = begin(wire, "half/put", DATA[:5_000_000])
    go.kill()

    pyreg = start_registry(root=root, address=go.address)
    with Wire(pyreg.url) as wire:
        # What is there is verified as well: a digest of other bytes is refused.
        other = location.copy_merge_params({"digest": sha256(b"other")})
        assert wire.http.put(other, content=b"", headers=OCTETS).status_code == 400
    go = start_go_registry(root=short_dir / "second")
    with Wire(go.url) as wire:
        location = begin(wire, "half/put", DATA[:5_000_000])
    go.kill()
    pyreg = start_registry(root=short_dir / "second", address=go.address)
    with Wire(pyreg.url) as wire:
        done = wire.http.put(
            location.copy_merge_params({"digest": sha256(DATA)}),
            content=DATA[5_000_000:],
            headers=OCTETS,
        )
        assert done.status_code == 201, done.text
        assert wire.blob("half/put", sha256(DATA)) == DATA


@pytest.mark.parametrize("dry", [False, True])
def test_purged_by_age(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter, dry: bool
) -> None:
    root = short_dir / "shared"
    go = start_go_registry(root=root)
    with Wire(go.url) as wire:
        begin(wire, "half/old", DATA[:1000])
        begin(wire, "half/young", DATA[:1000])
    go.kill()
    [aged] = upload_directories(root, "half/old")
    (aged / "startedat").write_text("2020-01-01T00:00:00Z")
    for path in aged.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))

    purging = {"enabled": True, "age": "168h", "interval": "1s", "dryrun": dry}
    pyreg = start_registry(
        root=root, config={"storage": {"maintenance": {"uploadpurging": purging}}}
    )
    assert pyreg.process is not None
    log = pyreg.process.log
    if dry:
        until(lambda: f"would remove upload {aged.name}" in log(), seconds=30, what="the search")
        assert upload_directories(root, "half/old") == [aged]
    else:
        until(lambda: not aged.exists(), seconds=30, what="the purge")
        assert left_behind(root, "half/old") == []
    [young] = upload_directories(root, "half/young")
    assert young.name not in log()
