"""Real disks in real trouble: full, read-only, failing. Needs root, to mount them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pyreg.errors import (
    ObjectNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from pyreg.hooks import ABSENT
from pyreg.testing.storage.harness import MIB, content, keys, noise, pieces
from pyreg_storage_filesystem import FilesystemStorage

pytestmark = pytest.mark.anyio


def run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"cannot mount here: {' '.join(command)}: {reason.strip()}")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "none", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 MiB on a disk that fails when 16 MiB of it are used."""
    backing, place = tmp_path / "backing", tmp_path / "failing"
    backing.mkdir()
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=16m", "none", str(backing))
    try:
        image = backing / "disk"
        with image.open("wb") as file:
            file.truncate(64 * MIB)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", "-J", "size=4", str(image))
        run("mount", "-o", "loop", str(image), str(place))
        yield place
        subprocess.run(["umount", "-l", str(place)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(backing)], check=True)


async def opened(root: Path) -> AsyncIterator[FilesystemStorage]:
    driver = FilesystemStorage(str(root))
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
async def on_small(anyio_backend: str, small: Path) -> AsyncIterator[FilesystemStorage]:
    async for driver in opened(small / "registry"):
        yield driver


@pytest.fixture
async def on_failing(anyio_backend: str, failing: Path) -> AsyncIterator[FilesystemStorage]:
    async for driver in opened(failing / "registry"):
        yield driver


async def test_a_full_disk(on_small: FilesystemStorage) -> None:
    driver = on_small
    await driver.put("a/b", b"old")
    state = await driver.begin_upload("u/data")
    state, offset = await driver.append(state, 0, pieces(noise(MIB)))
    with pytest.raises(StorageFull):
        await driver.append(state, offset, pieces(noise(8 * MIB)))
    with pytest.raises(StorageFull):
        await driver.put("a/b", noise(4 * MIB))
    with pytest.raises(StorageFull):
        await driver.put("a/c", noise(4 * MIB), when=ABSENT)
    assert await content(driver, "a/b") == b"old"
    assert await keys(driver) == ["a/b"]
    state, _ = await driver.append(state, offset, pieces(noise(MIB, 2)))
    await driver.finish(state)
    with pytest.raises(StorageFull):
        await driver.copy("u/data", "v/data")
    assert await keys(driver) == ["a/b", "u/data"]
    await driver.delete("u/data")
    await driver.put("a/c", noise(3 * MIB))
    assert await content(driver, "a/c") == noise(3 * MIB)


async def test_no_inodes_left(on_small: FilesystemStorage) -> None:
    driver = on_small

    async def fill() -> None:
        for count in range(300):
            await driver.put(f"k/{count:03d}", b"x", durable=False)

    with pytest.raises(StorageFull):
        await fill()
    names = await keys(driver)
    assert names == [f"k/{count:03d}" for count in range(len(names))]
    await driver.delete("k/000")
    await driver.put("k/new", b"x")


async def test_a_read_only_disk(on_small: FilesystemStorage, small: Path) -> None:
    await on_small.put("a/b", b"x")
    await on_small.close()
    run("mount", "-o", "remount,ro", str(small))
    async for driver in opened(small / "registry"):
        assert await content(driver, "a/b") == b"x"
        assert await keys(driver) == ["a/b"]
        with pytest.raises(ObjectNotFound):
            await driver.stat("a/c")
        for call in (
            driver.put("a/b", b"y"),
            driver.put("c/d", b"y", when=ABSENT),
            driver.delete("a/b"),
            driver.copy("a/b", "c"),
            driver.rename("a/b", "c"),
            driver.append(await driver.begin_upload("a/d"), 0, pieces(b"x")),
        ):
            with pytest.raises(StorageDenied):
                await call
    run("mount", "-o", "remount,rw", str(small))


async def test_an_unmounted_disk(on_small: FilesystemStorage, small: Path) -> None:
    (small / "registry" / "old").write_bytes(b"x")
    subprocess.run(["umount", "-l", str(small)], check=True)
    try:
        with pytest.raises(StorageUnavailable):
            await on_small.get("old")
        with pytest.raises(StorageUnavailable):
            await on_small.put("new", b"x")
        assert list(small.iterdir()) == []
    finally:
        run("mount", "-t", "tmpfs", "none", str(small))


async def test_a_failing_disk(on_failing: FilesystemStorage, failing: Path) -> None:
    driver = on_failing
    await driver.put("a/b", noise(100_000))

    async def fill() -> None:
        while True:
            state = await driver.begin_upload("u/data")
            await driver.append(state, 0, pieces(noise(8 * MIB)))

    with pytest.raises(StorageError) as caught:
        await fill()
    assert isinstance(caught.value, StorageUnavailable | StorageFull | StorageDenied)
    assert await keys(driver) == ["a/b"]
    os.truncate(failing.parent / "backing" / "disk", MIB)
    fd = os.open(failing / "registry/a/b", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    with pytest.raises(StorageUnavailable, match="EIO"):
        await driver.get("a/b")
    with pytest.raises(StorageUnavailable, match="EIO"):
        await content(driver, "a/b")
