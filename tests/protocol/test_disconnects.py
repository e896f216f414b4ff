"""Clients that go away: at every byte of an exchange, and while they are being answered."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyreg.app import Registry
from pyreg.content.purge import Purger
from pyreg_storage_filesystem.driver import FilesystemStorage
from tests.protocol.live import SERVERS, Live, digest_of, error
from tests.protocol.material import encoded, image
from tests.protocol.raw import Raw, head
from tests.servers.process import until

DATA = b"0123456789abcdef"
DIGEST = digest_of(DATA)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory, and every directory but the driver's own."""
    found = {}
    for directory, _, files in os.walk(root):  # unlike rglob, this bears with what vanishes
        if "+pyreg" not in directory:
            found[directory] = b""
            for name in files:
                path = Path(directory, name)
                with suppress(FileNotFoundError):
                    found[str(path)] = path.read_bytes()
    temporary = root / "+pyreg" / "tmp"
    return found | {str(path): b"" for path in temporary.iterdir()}


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory; in memory where the system has one: nothing here tests the disk's patience."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


@pytest.fixture(params=SERVERS)
def disk(request: pytest.FixtureRequest, root: Path) -> Iterator[tuple[Live, Path]]:
    """A registry on a directory that has a blob."""
    registry = Registry(FilesystemStorage(str(root)), idle=5.0)
    with Live(registry, request.param) as server:
        server.blob("x", b"kept")
        yield server, root


def purge(server: Live) -> int:
    """Throw away every unfinished upload, however young."""
    return server.run(Purger(age=-10.0, interval=1.0).purge(server.registry.site.uploads))


def hang_up(sock: socket.socket, *, reset: bool) -> None:
    """Close a connection, orderly or with a reset."""
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def quiet(server: Live) -> None:
    """Wait until no request is under way; each of ours ends at once when its client is gone."""
    uploads = server.registry.site.uploads
    until(lambda: not uploads._busy, seconds=5, what="uploads to be let go")


def settled(server: Live, root: Path) -> dict[str, bytes]:
    """The tree when nothing moves any more and what was unfinished has been purged."""
    quiet(server)
    while purge(server):
        pass
    return tree(root)


def exchange(server: Live) -> list[bytes]:
    """The requests of a push: POST, PATCH, PATCH, PUT; the first one has been sent already."""
    upload = server.begin("x").removeprefix(f"http://{server.address}")
    half = len(DATA) // 2
    return [
        head("PATCH", upload, {"Content-Length": str(half), "Content-Range": f"0-{half - 1}"})
        + DATA[:half],
        head(
            "PATCH",
            upload,
            {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"},
        )
        + b"3\r\n"
        + DATA[half : half + 3]
        + b"\r\n1\r\n"
        + DATA[half + 3 : half + 4]
        + b"\r\n0\r\n\r\n",
        head("PUT", f"{upload}?digest={DIGEST}", {"Content-Length": str(half - 4)})
        + DATA[half + 4 :],
    ]


def test_at_every_byte_of_a_push(disk: tuple[Live, Path]) -> None:
    """POST, two PATCHes and PUT, cut after each byte: nothing is visible, nothing stays on disk.

    What the server reports afterwards can be gone on with, and gives the blob.
    """
    server, root = disk
    clean = settled(server, root)
    path = f"/v2/x/blobs/{DIGEST}"
    total = sum(map(len, exchange(server)))
    assert settled(server, root) == clean
    # Every byte where Hypercorn reads it; the others only have to end requests in the same way.
    for cut in range(0, total, 1 if server.server in ("hypercorn", "shipped") else 7):
        requests = exchange(server)
        upload = requests[0].split(b" ")[1].decode()
        left = cut
        with Raw(server.port) as raw:
            for request in requests:
                raw.send(request[:left])
                left -= len(request)
                if left < 0:
                    break
                assert raw.answer().status == 202
            hang_up(raw.socket, reset=cut % 2 == 1)
        assert server.http.head(path).status_code == 404, f"visible after {cut} bytes"
        if cut % 3 == 0:
            quiet(server)
            resume(server, upload, cut)
            assert server.http.delete(path).status_code == 202
            os.remove(root / _data_of(DIGEST))
            _prune(root / _data_of(DIGEST), root)
        if cut % 40 == 0:
            assert settled(server, root) == clean, f"something stayed after {cut} bytes"
    assert settled(server, root) == clean
    assert server.http.get(f"/v2/x/blobs/{digest_of(b'kept')}").content == b"kept"


def resume(server: Live, upload: str, cut: int) -> None:
    """Go on where the server says that the upload is."""
    deadline = time.monotonic() + 5
    while True:
        status = server.http.get(upload)
        assert status.status_code == 204, f"the upload is lost after {cut} bytes"
        have = int(status.headers["range"].split("-")[1]) + 1
        if have == 1:
            have = 0  # "0-0" is said of no byte and of one; nobody sends one byte here
        done = server.finish(
            upload, DIGEST, DATA[have:], **{"Content-Range": f"{have}-{len(DATA) - 1}"}
        )
        if done.status_code == 201:
            break
        # The request that was cut may still be on its way to its end.
        assert done.status_code == 416, done.text
        assert time.monotonic() < deadline
    assert server.http.get(f"/v2/x/blobs/{DIGEST}").content == DATA


def _data_of(digest: str) -> str:
    algorithm, _, encoded_ = digest.partition(":")
    return f"docker/registry/v2/blobs/{algorithm}/{encoded_[:2]}/{encoded_}/data"


def _prune(path: Path, root: Path) -> None:
    for parent in path.parents:
        if parent == root or any(parent.iterdir()):
            return
        parent.rmdir()


@pytest.mark.parametrize("body", ["blob", "manifest"])
def test_at_every_byte_of_one_request(disk: tuple[Live, Path], body: str) -> None:
    """A single POST and a manifest, cut after each byte: no trace at all."""
    server, root = disk
    if body == "blob":
        request = head("POST", f"/v2/x/blobs/uploads/?digest={DIGEST}", {"Content-Length": "16"})
        request += DATA
        path = f"/v2/x/blobs/{DIGEST}"
    else:
        data = encoded(image(server, "x"))
        request = head("PUT", "/v2/x/manifests/v1", {"Content-Length": str(len(data))}) + data
        path = "/v2/x/manifests/v1"
    clean = settled(server, root)
    step = 1 if body == "blob" else 3
    for cut in range(0, len(request), step):
        with Raw(server.port) as raw:
            raw.send(request[:cut])
            hang_up(raw.socket, reset=cut % 2 == 1)
        assert server.http.head(path).status_code == 404
    until(lambda: tree(root) == clean, seconds=5, what="the tree to be as before")
    assert purge(server) == 0
    with Raw(server.port) as raw:
        raw.send(request)
        assert raw.answer().status == 201
    assert server.http.head(path).status_code == 200


def test_while_being_answered(disk: tuple[Live, Path]) -> None:
    """A client that stops to read a blob, and one that hangs up in the middle."""
    server, _ = disk
    data = os.urandom(1 << 20) * 24
    digest = server.blob("x", data)
    for reset in (False, True):
        for read in (0, 1, 500_000):
            with Raw(server.port) as raw:
                raw.send(head("GET", f"/v2/x/blobs/{digest}"))
                left = read
                while left > 0:
                    left -= len(raw.socket.recv(left))
                hang_up(raw.socket, reset=reset)
    assert server.http.get(f"/v2/x/blobs/{digest}").content == data


@pytest.mark.parametrize("disk", ["hypercorn", "shipped"], indirect=True)
def test_half_closed_connections(disk: tuple[Live, Path]) -> None:
    """A client that has sent everything and says so: its push counts, answered or not.

    uvicorn and granian throw away what has come by then, so that there is nothing to promise.
    """
    server, _ = disk
    with Raw(server.port) as raw:
        raw.send(head("POST", f"/v2/x/blobs/uploads/?digest={DIGEST}", {"Content-Length": "16"}))
        raw.send(DATA)
        raw.socket.shutdown(socket.SHUT_WR)
        try:
            assert raw.answer().status == 201
        except ConnectionError:
            pass  # "sends no more" is taken for "is gone" by some servers
    # Either way the blob has come whole, with its digest.
    until(
        lambda: server.http.head(f"/v2/x/blobs/{DIGEST}").status_code == 200,
        seconds=5,
        what="the blob",
    )


def test_pipelined_requests(disk: tuple[Live, Path]) -> None:
    """RFC 9112, section 9.3.2: answers come in the order of the requests."""
    server, _ = disk
    with Raw(server.port) as raw:
        raw.send(
            head("POST", f"/v2/x/blobs/uploads/?digest={DIGEST}", {"Content-Length": "16"})
            + DATA
            + head("GET", f"/v2/x/blobs/{DIGEST}", {"Connection": "close"})
        )
        first = raw.answer()
        assert first.status == 201
        assert raw.rest().endswith(DATA)


def test_two_chunks_at_once(disk: tuple[Live, Path]) -> None:
    """Of two racing PATCHes one wins, and the other gets 416; nothing is mixed."""
    server, _ = disk
    upload = server.begin("x").removeprefix(f"http://{server.address}")
    with Raw(server.port) as slow:
        slow.send(head("PATCH", upload, {"Content-Length": "16", "Content-Range": "0-15"}))
        slow.send(DATA[:4])
        until(lambda: bool(server.registry.site.uploads._busy), seconds=5, what="the first PATCH")
        error(server.patch(upload, b"x" * 16, 0), 416, "RANGE_INVALID")
        error(server.finish(upload, DIGEST, DATA), 416, "RANGE_INVALID")
        slow.send(DATA[4:])
        assert slow.answer().status == 202
    assert server.finish(upload, DIGEST).status_code == 201


def test_cancel_during_a_chunk(disk: tuple[Live, Path]) -> None:
    """The cancelled upload is gone, and its chunk comes to nothing."""
    server, root = disk
    clean = settled(server, root)
    upload = server.begin("x").removeprefix(f"http://{server.address}")
    with Raw(server.port) as slow:
        slow.send(head("PATCH", upload, {"Content-Length": "16"}) + DATA[:4])
        until(lambda: bool(server.registry.site.uploads._busy), seconds=5, what="the PATCH")
        assert server.http.delete(upload).status_code == 204
        slow.send(DATA[4:])
        assert slow.answer().status in (202, 404)
    server.http.delete(upload)
    error(server.http.get(upload), 404, "BLOB_UPLOAD_UNKNOWN")
    assert settled(server, root) == clean


def test_a_restart_in_the_middle(root: Path, start: Callable[..., Live]) -> None:
    """Another process goes on with an upload, also of sha512, and verifies all of it."""
    first = start(FilesystemStorage(str(root)))
    data = os.urandom(100_000)
    uploads = {}
    for algorithm in ("sha256", "sha512"):
        location = first.begin("x", **{"digest-algorithm": algorithm})
        assert first.patch(location, data[:60_000], 0).status_code == 202
        uploads[algorithm] = location.removeprefix(f"http://{first.address}")
    second = start(FilesystemStorage(str(root)))
    for algorithm, location in uploads.items():
        assert second.http.get(location).headers["range"] == "0-59999"
        assert second.patch(location, data[60_000:], 60_000).status_code == 202
        digest = digest_of(data, algorithm)
        assert first.http.get(location).headers["range"] == "0-99999"
        done = first.finish(location, digest)
        assert done.status_code == 201, done.text
        assert second.http.get(f"/v2/x/blobs/{digest}").content == data
    location = first.begin("x").removeprefix(f"http://{first.address}")
    first.patch(location, data[:60_000], 0)
    second.patch(location, data[60_000:], 60_000)
    error(second.finish(location, digest_of(b"other")), 400, "DIGEST_INVALID")
    error(first.http.get(location), 404, "BLOB_UPLOAD_UNKNOWN")


def test_the_purger_leaves_the_young(root: Path) -> None:
    """ "the server SHOULD eventually timeout unfinished uploads", those that do not move."""

    async def purged(age: float, *, dry_run: bool = False) -> int:
        async with Registry(FilesystemStorage(str(root))) as registry:
            purger = Purger(age=age, interval=1.0, dry_run=dry_run)
            return await purger.purge(registry.site.uploads)

    with Live(Registry(FilesystemStorage(str(root)))) as server:
        location = server.begin("x")
        server.patch(location, DATA)
        assert asyncio.run(purged(60.0)) == 0
        assert asyncio.run(purged(-10.0, dry_run=True)) == 1
        assert server.http.get(location).status_code == 204
        assert asyncio.run(purged(-10.0)) == 1
        error(server.http.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
