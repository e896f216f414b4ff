"""The driver keeps the contract of `pyreg.hooks.storage`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pyreg.hooks import StorageDriver
from pyreg.testing import StorageContract
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore


class TestInMemory(StorageContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[Callable[[], StorageDriver]]:
        store = InMemoryStore()
        yield lambda: InMemoryStorage(store)
