"""The driver keeps the contract of `pyreg.hooks.storage`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pyreg.hooks import StorageDriver
from pyreg.testing import StorageContract
from pyreg_storage_filesystem import FilesystemStorage


class TestFilesystem(StorageContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[Callable[[], StorageDriver]]:
        with tempfile.TemporaryDirectory() as root:
            yield lambda: FilesystemStorage(root)
