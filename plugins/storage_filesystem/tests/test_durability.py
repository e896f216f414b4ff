"""What is on stable storage when a call returns: seen by following the system calls."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyreg.testing.storage.harness import pieces
from pyreg_storage_filesystem import FilesystemStorage

pytestmark = pytest.mark.anyio


@pytest.fixture
def synced(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths below the root that are synced, in order; the real calls are made."""
    paths: list[str] = []

    def note(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}")).relative_to(root)
        paths.append("TEMPORARY" if path.parts[:2] == ("+pyreg", "tmp") else str(path))

    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def call(fd: int, real: object = real) -> None:
            note(fd)
            real(fd)  # type: ignore[operator]

        monkeypatch.setattr(os, name, call)
    return paths


async def test_put(driver: FilesystemStorage, synced: list[str]) -> None:
    await driver.put("a/b/c", b"x")
    assert synced == ["TEMPORARY", "a/b", "a", "."]
    synced.clear()
    await driver.put("a/b/d", b"x")
    assert synced == ["TEMPORARY", "a/b"]
    synced.clear()
    await driver.put("a/new/d", b"x")
    assert synced == ["TEMPORARY", "a/new", "a"]
    synced.clear()
    await driver.put("a/x/y", b"x", durable=False)
    assert synced == []


async def test_a_directory_that_another_process_made(
    driver: FilesystemStorage, root: Path, synced: list[str]
) -> None:
    """It may not have come to sync it: so we do."""
    (root / "a/b").mkdir(parents=True)
    await driver.put("a/b/c", b"x")
    assert synced == ["TEMPORARY", "a/b", "a", "."]


async def test_a_directory_that_was_made_anew(
    driver: FilesystemStorage, root: Path, synced: list[str]
) -> None:
    """It may well have the inode of the old one."""
    for _ in range(5):
        await driver.put("a/b/c", b"x")
        await driver.delete("a/b/c")
        synced.clear()
        await driver.put("a/b/c", b"x")
        assert synced == ["TEMPORARY", "a/b", "a", "."]
        await driver.delete("a/b/c")


async def test_uploads(driver: FilesystemStorage, synced: list[str]) -> None:
    await driver.put("r/x", b"x")
    synced.clear()
    state = await driver.begin_upload("r/u/data")
    state, offset = await driver.append(state, 0, pieces(b"x"))
    assert synced[0].startswith("r/u/data+")
    assert synced[1:] == ["r/u", "r"]
    synced.clear()
    state, offset = await driver.append(state, offset, pieces(b"x"))
    assert synced[1:] == ["r/u"]
    synced.clear()
    await driver.finish(state, key="blobs/data")
    assert synced == ["blobs", "."]
    synced.clear()
    await driver.finish(state, key="blobs/data")
    assert synced == ["blobs"], "who asks again may ask because the first answer was lost"


async def test_an_upload_that_is_finished_at_once(
    driver: FilesystemStorage, synced: list[str]
) -> None:
    """Nothing is written out twice, and nothing is forgotten."""
    await driver.put("blobs/x", b"x")
    synced.clear()
    state = await driver.begin_upload("r/u/data")
    state, offset = await driver.append(state, 0, pieces(b"x"), durable=False)
    state, _ = await driver.append(state, offset, pieces(b"y"), durable=False)
    assert synced == []
    await driver.finish(state, key="blobs/data")
    assert synced[0].startswith("r/u/data+")
    assert synced[1:] == ["blobs"]
    synced.clear()
    state, offset = await driver.append(
        await driver.begin_upload("r/u/data"), 0, pieces(b"x"), durable=False
    )
    state, _ = await driver.append(state, offset, pieces(b"y"))
    assert synced[0].startswith("r/u/data+")
    assert synced[1:] == ["r/u", "r", "."]
    synced.clear()
    await driver.finish(state, key="blobs/data")
    assert synced == ["blobs"]


async def test_an_empty_upload(driver: FilesystemStorage, synced: list[str]) -> None:
    await driver.finish(await driver.begin_upload("u/data"), key="blobs/data")
    assert synced[0].startswith("u/data+")
    assert synced[1:] == ["blobs", "."]


async def test_delete(driver: FilesystemStorage, synced: list[str]) -> None:
    for key in ("a/b/c", "a/b/d", "a/e/f"):
        await driver.put(key, b"x")
    synced.clear()
    await driver.delete("a/b/c")
    assert synced == ["a/b"]
    synced.clear()
    await driver.delete("a/b/d")
    assert synced == ["a"], "the directory went with its last object"
    synced.clear()
    await driver.delete("a/b/d")
    assert synced == ["a"], "who deleted it may not be done yet"
    synced.clear()
    for key in ("x/1", "x/2", "x/3"):
        await driver.put(key, b"")
    synced.clear()
    await driver.delete_many(["x/1", "a/e/f", "x/2"])
    assert synced == ["x", "."], "each directory once"
    synced.clear()
    await driver.delete("x/3", durable=False)
    await driver.delete_many(["x/3", "y"], durable=False)
    assert synced == []


async def test_rename_and_copy(driver: FilesystemStorage, synced: list[str]) -> None:
    await driver.put("a/b", b"x")
    await driver.put("a/c", b"x")
    synced.clear()
    await driver.rename("a/b", "d/e")
    assert synced == ["d", ".", "a"]
    synced.clear()
    await driver.copy("d/e", "f/g")
    assert synced == ["TEMPORARY", "f", "."]
