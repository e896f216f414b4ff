"""Storage that is slow, fails, hangs or forgets, as services do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pyreg.errors import StorageUnavailable
from pyreg.hooks import ANY, Condition, ObjectInfo, Page, StorageDriver, StoredObject
from pyreg.instrument import Instrumented
from pyreg_storage_inmemory import InMemoryStorage

FAIL, HANG = "fail", "hang"

Trouble = Callable[[str, str], str | None]
"""Given an operation and a key, says `FAIL`, `HANG`, or nothing."""


class Service(Instrumented):
    """Each call lets others run.

    Args:
        inner: What is behind it.
        etags: Whether it tells etags.

    Attributes:
        trouble: What goes wrong.
        hidden: What listings do not show.
    """

    def __init__(self, inner: StorageDriver | None = None, *, etags: bool = True) -> None:
        super().__init__(inner or InMemoryStorage())
        self.trouble: Trouble = lambda operation, key: None
        self.hidden: Callable[[str], bool] = lambda key: False
        self._etags = etags

    async def _turn(self, operation: str, key: str) -> None:
        await asyncio.sleep(0.002)
        found = self.trouble(operation, key)
        if found == HANG:
            await asyncio.sleep(3600)
        elif found:
            raise StorageUnavailable("not now")

    def _shown(self, info: ObjectInfo) -> ObjectInfo:
        return info if self._etags else replace(info, etag=None)

    async def stat(self, key: str) -> ObjectInfo:
        await self._turn("stat", key)
        return self._shown(await super().stat(key))

    async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
        await self._turn("get", key)
        found = await super().get(key, unless=unless)
        return found and replace(found, info=self._shown(found.info))

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        await self._turn("put", key)
        return self._shown(await super().put(key, data, when=when, durable=durable))

    async def delete(self, key: str, *, durable: bool = True) -> None:
        await self._turn("delete", key)
        await super().delete(key, durable=durable)

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        await self._turn("delete", keys[0] if keys else "")
        await super().delete_many(keys, durable=durable)

    async def list(self, prefix: str, **options: Any) -> Page:
        await self._turn("list", prefix)
        page = await super().list(prefix, **options)
        return Page([entry for entry in page.entries if not self.hidden(entry.key)], page.after)
