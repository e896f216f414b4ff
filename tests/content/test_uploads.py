"""Uploads that race with their own end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyreg.app import Registry
from pyreg.content.hashing import in_pieces
from pyreg.errors import RegistryError
from pyreg_storage_filesystem.driver import FilesystemStorage

pytestmark = pytest.mark.anyio


class Held(FilesystemStorage):
    """Holds an `append` up until it is let go, before it has made anything."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()

    async def append(
        self, state: str, offset: int, pieces: AsyncIterator[bytes], *, durable: bool = True
    ) -> tuple[str, int]:
        self.reached.set()
        await self.let_go.wait()
        return await super().append(state, offset, pieces, durable=durable)


def files(root: Path) -> set[str]:
    """Every file of the registry's, and of the driver's, but its locks."""
    return {
        str(Path(directory, name))
        for directory, _, names in os.walk(root)
        if not directory.endswith("locks")
        for name in names
    }


async def test_cancelled_before_the_first_byte_is_stored(tmp_path: Path) -> None:
    """The chunk comes to nothing, and no file that nobody knows of stays behind."""
    driver = Held(tmp_path)
    async with Registry(driver) as registry:
        clean = files(tmp_path)
        uploads = registry.site.uploads
        upload = await uploads.begin("x")
        chunk = asyncio.create_task(uploads.append(upload, in_pieces(b"chunk")))
        await driver.reached.wait()
        await uploads.cancel(upload)
        driver.let_go.set()
        with pytest.raises(RegistryError) as caught:
            await chunk
        assert caught.value.code.code == "BLOB_UPLOAD_UNKNOWN"
        assert files(tmp_path) == clean


async def test_two_processes_append(tmp_path: Path) -> None:
    """One wins; the other is told where the upload is, and takes nothing from the winner."""
    driver = Held(tmp_path)
    async with Registry(driver) as slow, Registry(FilesystemStorage(str(tmp_path))) as fast:
        upload = await slow.site.uploads.begin("x")
        loser = asyncio.create_task(slow.site.uploads.append(upload, in_pieces(b"slow")))
        await driver.reached.wait()
        await fast.site.uploads.append(upload, in_pieces(b"fast, and first"))
        driver.let_go.set()
        with pytest.raises(RegistryError) as caught:
            await loser
        assert caught.value.code.code == "RANGE_INVALID"
        assert caught.value.detail == {"offset": 15}
        blobs = fast.repository("x").blobs
        digest = await blobs.put(b"fast, and first")
        caller = blobs._caller
        assert await fast.site.uploads.finish(upload, digest, caller) == digest
        assert await blobs.get(digest) == b"fast, and first"
