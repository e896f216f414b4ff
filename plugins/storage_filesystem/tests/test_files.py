"""What lies in the directory, and what happens to it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from pyreg.errors import (
    ObjectNotFound,
    OffsetMismatch,
    PreconditionFailed,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from pyreg.hooks import ABSENT, Match
from pyreg.testing.storage.harness import content, keys, noise, pieces
from pyreg_storage_filesystem import FilesystemPlugin, FilesystemStorage, Options, tree

pytestmark = pytest.mark.anyio


def files(root: Path) -> list[str]:
    """All files, save the locks."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[:2] != ("+pyreg", "locks"))


def directories(root: Path) -> list[str]:
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_dir())
    return sorted(str(path) for path in found if path.parts[0] != "+pyreg")


# -- the layout ------------------------------------------------------------------------------


async def test_a_key_is_a_path(driver: FilesystemStorage, root: Path) -> None:
    await driver.put("docker/registry/v2/blobs/sha256/ab/ab12/data", b"hello")
    assert files(root) == ["docker/registry/v2/blobs/sha256/ab/ab12/data"]
    assert (root / files(root)[0]).read_bytes() == b"hello"


async def test_files_of_others_are_served(driver: FilesystemStorage, root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/c").write_bytes(b"theirs")
    assert await content(driver, "a/b/c") == b"theirs"
    info = await driver.stat("a/b/c")
    (root / "a/b/c").write_bytes(b"longer than before")
    found = await driver.get("a/b/c", unless=info.etag)
    assert found is not None
    assert found.data == b"longer than before"


async def test_beginning_an_upload_writes_nothing(driver: FilesystemStorage, root: Path) -> None:
    await driver.begin_upload("r/_uploads/id/data")
    assert directories(root) == []


async def test_the_partial_file_lies_beside_its_object(
    driver: FilesystemStorage, root: Path
) -> None:
    state = await driver.begin_upload("r/_uploads/id/data")
    state, _ = await driver.append(state, 0, pieces(b"12345"))
    (partial,) = files(root)
    assert partial.startswith("r/_uploads/id/data+")
    await driver.finish(state, key="blobs/data")
    assert files(root) == ["blobs/data"]
    assert directories(root) == ["blobs"], "what is empty goes"


async def test_abort_leaves_nothing(driver: FilesystemStorage, root: Path) -> None:
    state = await driver.begin_upload("r/_uploads/id/data")
    one, _ = await driver.append(state, 0, pieces(b"12345"))
    await driver.append(state, 0, pieces(b"6789"))
    assert len(files(root)) == 2, "the second began before the end of the first, so in a copy"
    await driver.abort(one)
    assert files(root) == []
    assert directories(root) == []


async def test_both_of_two_versions_are_whole(driver: FilesystemStorage, root: Path) -> None:
    state = await driver.begin_upload("a/data")
    state, offset = await driver.append(state, 0, pieces(b"same"))
    one, _ = await driver.append(state, offset, pieces(b"-one"))
    two, _ = await driver.append(state, offset, pieces(b"-two, longer"))
    assert sorted(path.read_bytes() for path in (root / "a").iterdir()) == [
        b"same-one",
        b"same-two, longer",
    ]
    await driver.finish(one)
    assert await content(driver, "a/data") == b"same-one"
    assert files(root) == ["a/data"]
    with pytest.raises(StorageError):
        await driver.append(two, 16, pieces(b"more"))


async def test_appends_exclude_each_other(root: Path) -> None:
    first, second = FilesystemStorage(str(root)), FilesystemStorage(str(root))
    await first.open()
    await second.open()
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"slow"
        begun.set()
        await go.wait()

    state = await first.begin_upload("a/data")
    task = asyncio.create_task(first.append(state, 0, slow()))
    await begun.wait()
    for driver in (first, second):
        with pytest.raises(OffsetMismatch):
            await driver.append(state, 0, pieces(b"fast"))
    with pytest.raises(OffsetMismatch):
        await second.finish(state)
    go.set()
    state, offset = await task
    assert offset == 4
    await second.finish(state)
    assert await content(first, "a/data") == b"slow"
    await first.close()
    await second.close()


async def test_a_failed_append_takes_its_bytes_back(driver: FilesystemStorage, root: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield noise(1_000_000)
        raise ConnectionResetError

    state = await driver.begin_upload("a/data")
    state, offset = await driver.append(state, 0, pieces(b"kept"))
    with pytest.raises(ConnectionResetError):
        await driver.append(state, offset, failing())
    (partial,) = (root / "a").iterdir()
    assert partial.read_bytes() == b"kept"
    await driver.append(state, offset, pieces(b"more"))
    assert partial.read_bytes() == b"keptmore", "no copy was needed"


async def test_what_a_killed_process_left_is_not_published(
    driver: FilesystemStorage, root: Path
) -> None:
    state = await driver.begin_upload("a/data")
    state, _ = await driver.append(state, 0, pieces(b"kept"))
    (partial,) = (root / "a").iterdir()
    with partial.open("ab") as file:
        file.write(b"torn")
    assert (await driver.finish(state)).size == 4
    assert await content(driver, "a/data") == b"kept"


async def test_bytes_that_went_missing_are_noticed(driver: FilesystemStorage, root: Path) -> None:
    state = await driver.begin_upload("a/data")
    state, _ = await driver.append(state, 0, pieces(b"kept"))
    (partial,) = (root / "a").iterdir()
    os.truncate(partial, 2)
    with pytest.raises(OffsetMismatch) as caught:
        await driver.finish(state)
    assert caught.value.offset == 2


# -- etags and conditions --------------------------------------------------------------------


async def test_no_two_contents_share_an_etag(driver: FilesystemStorage, root: Path) -> None:
    etags = [(await driver.put("a", b"%04d" % n, durable=False)).etag for n in range(500)]
    assert len(set(etags)) == len(etags)


async def test_a_condition_waits_for_no_reader_but_for_writers(
    driver: FilesystemStorage, root: Path
) -> None:
    """While somebody compares and replaces, nobody else replaces or deletes; reads go on."""
    info = await driver.put("a", b"old")
    state = await driver.begin_upload("b")
    state, _ = await driver.append(state, 0, pieces(b"upload"))
    with driver._tree.locked("a", alone=True):
        writers = [
            asyncio.create_task(driver.put("a", b"any")),
            asyncio.create_task(driver.put("a", b"match", when=Match(info.etag or ""))),
            asyncio.create_task(driver.delete("a")),
            asyncio.create_task(driver.finish(state, key="a")),
        ]
        _, waiting = await asyncio.wait(writers, timeout=0.2)
        assert len(waiting) == len(writers)
        assert await content(driver, "a") == b"old"
        with pytest.raises(PreconditionFailed):
            await driver.put("a", b"absent", when=ABSENT)
    for outcome in await asyncio.gather(*writers, return_exceptions=True):
        assert not isinstance(outcome, Exception) or isinstance(outcome, PreconditionFailed)


# -- leftovers -------------------------------------------------------------------------------


async def test_temporary_files_of_dead_writers_are_removed(root: Path) -> None:
    driver = FilesystemStorage(str(root))
    await driver.open()
    await driver.close()
    place = root / "+pyreg" / "tmp"
    for name in ("dead", "alive", "young"):
        (place / name).write_bytes(b"x")
    long_ago = time.time() - tree.STALE - 10
    for name in ("dead", "alive"):
        os.utime(place / name, (long_ago, long_ago))
    with (place / "alive").open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_SH)
        await driver_opened(root)
        assert sorted(path.name for path in place.iterdir()) == ["alive", "young"]
    await driver_opened(root)
    assert sorted(path.name for path in place.iterdir()) == ["young"]


async def driver_opened(root: Path) -> None:
    driver = FilesystemStorage(str(root))
    await driver.open()
    await driver.close()


# -- opening, and trouble --------------------------------------------------------------------


async def test_the_root_directory_is_made(tmp_path: Path) -> None:
    driver = FilesystemStorage(str(tmp_path / "a" / "b" / "c"))
    await driver.open()
    await driver.put("k", b"x")
    assert (tmp_path / "a/b/c/k").read_bytes() == b"x"
    await driver.close()


async def test_a_linked_root_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    driver = FilesystemStorage(str(tmp_path / "link"))
    await driver.open()
    await driver.put("a/b", b"x")
    assert await keys(driver) == ["a/b"]
    await driver.delete("a/b")
    assert directories(tmp_path / "real") == []
    await driver.close()


async def test_a_file_in_the_place_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in ("file", "file/below"):
        driver = FilesystemStorage(str(tmp_path / place))
        with pytest.raises(StorageError, match="rootdirectory"):
            await driver.open()
        await driver.close()


async def test_a_closed_driver_says_so(root: Path) -> None:
    driver = FilesystemStorage(str(root))
    await driver.open()
    await driver.close()
    await driver.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await driver.put("a", b"x")


async def test_a_vanished_root(driver: FilesystemStorage, root: Path) -> None:
    await driver.put("a/b", b"x")
    state = await driver.begin_upload("u/data")
    state, offset = await driver.append(state, 0, pieces(b"x"))
    root.rename(root.with_name("elsewhere"))

    async def check() -> None:
        for call in (
            driver.stat("a/b"),
            driver.get("a/b"),
            content(driver, "a/b"),
            keys(driver),
            driver.put("a/b", b"y"),
            driver.put("new/key", b"y", when=ABSENT),
            driver.delete("a/b"),
            driver.copy("a/b", "c"),
            driver.rename("a/b", "c"),
            driver.append(state, offset, pieces(b"y")),
            driver.finish(state),
            driver.abort(state),
        ):
            with pytest.raises(StorageUnavailable):
                await call

    await check()
    assert not root.exists(), "it is not made anew"
    root.mkdir()
    await check()
    assert list(root.iterdir()) == [], "an empty mount point is not written to"
    root.rmdir()
    root.with_name("elsewhere").rename(root)
    assert await content(driver, "a/b") == b"x"
    await driver.finish(state)


async def test_objects_and_directories_do_not_mix(driver: FilesystemStorage) -> None:
    await driver.put("a/b", b"x")
    for key in ("a/b/c", "a/b/c/d"):
        with pytest.raises(ObjectNotFound):
            await driver.stat(key)
        with pytest.raises(StorageUnavailable, match="part of the key is an object"):
            await driver.put(key, b"y")
        with pytest.raises(StorageUnavailable, match="part of the key is an object"):
            await driver.put(key, b"y", when=ABSENT)
        await driver.delete(key)
    for when in ("any", ABSENT):
        with pytest.raises(StorageUnavailable, match="stored below this key"):
            await driver.put("a", b"y", when=when)
    assert await content(driver, "a/b") == b"x"


async def test_names_that_are_too_long(driver: FilesystemStorage) -> None:
    key = "a/" + "x" * 300
    with pytest.raises(ObjectNotFound):
        await driver.stat(key)
    with pytest.raises(ObjectNotFound):
        await driver.get(key)
    await driver.delete(key)
    with pytest.raises(StorageUnavailable, match="names this long"):
        await driver.put(key, b"x")


async def test_permissions(driver: FilesystemStorage, root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to become somebody else")
    await driver.put("a/b", b"x")
    await driver.put("c", b"x")
    for directory in [*root.parents][:-2]:
        directory.chmod(directory.stat().st_mode | 0o011)
    (root / "c").chmod(0o600)
    os.seteuid(65534)
    try:
        other = FilesystemStorage(str(root))
        await other.open()
        assert await content(other, "a/b") == b"x"
        for call in (
            other.put("a/b", b"y"),
            other.put("d", b"y"),
            other.delete("a/b"),
            other.get("c"),
            other.append(await other.begin_upload("a/d"), 0, pieces(b"x")),
        ):
            with pytest.raises(StorageDenied):
                await call
        await other.close()
        nowhere = FilesystemStorage(str(root / "new"))
        with pytest.raises(StorageDenied, match="rootdirectory"):
            await nowhere.open()
        await nowhere.close()
    finally:
        os.seteuid(0)
    assert await content(driver, "a/b") == b"x"


async def test_a_fifo_stops_nobody(driver: FilesystemStorage, root: Path) -> None:
    os.mkfifo(root / "fifo")
    for call in (driver.stat("fifo"), driver.get("fifo"), content(driver, "fifo")):
        with pytest.raises(ObjectNotFound):
            await call
    assert await keys(driver) == []


def test_the_plugin() -> None:
    plugin = FilesystemPlugin(Options(rootdirectory="/somewhere"))
    assert isinstance(plugin.pyreg_storage(), FilesystemStorage)
    options = TypeAdapter(Options)
    assert options.validate_python({}) == Options("/var/lib/registry", 100)
    for wrong in ({"maxthreads": 24}, {"rootdirectory": ""}):
        with pytest.raises(ValidationError):
            options.validate_python(wrong)
