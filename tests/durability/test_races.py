"""Two requests at once, held at the very moment at which they could do harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pyreg.hooks import ANY, Condition, ObjectInfo, StorageDriver, hookimpl
from pyreg.instrument import Instrumented
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.in_process import image, post_blob, put_manifest, serving

pytestmark = pytest.mark.anyio


class Held(Instrumented):
    """A driver that holds a `put` before it happens.

    Args:
        driver: The driver.
        part: Part of the key of what is held.
    """

    def __init__(self, driver: StorageDriver, part: str) -> None:
        super().__init__(driver)
        self.part = part
        self.armed = False
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    @hookimpl
    def pyreg_storage(self) -> StorageDriver:
        return self

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        if self.armed and self.part in key:
            self.reached.set()
            await self.released.wait()
        return await self.driver.put(key, data, when=when, durable=durable)

    @asynccontextmanager
    async def meanwhile(self) -> AsyncIterator[None]:
        """The body runs while the `put` is held."""
        await self.reached.wait()
        yield
        self.released.set()


async def test_a_tag_that_is_deleted_while_it_is_moved_is_there_or_not() -> None:
    storage = Held(InMemoryStorage(), "/index/")
    async with serving(storage=storage) as client:
        await post_blob(client, "a", b"{}")
        await put_manifest(client, "a", "v1", image(b"{}"))
        storage.armed = True
        moved = image(b"{}", annotations={"moved": "yes"})
        moving = asyncio.create_task(put_manifest(client, "a", "v1", moved))
        async with storage.meanwhile():
            assert (await client.delete("/v2/a/manifests/v1")).status_code == 202
        assert (await moving).status_code == 201
        there = (await client.get("/v2/a/manifests/v1")).status_code == 200
        listed = (await client.get("/v2/a/tags/list")).json()["tags"]
        assert listed == (["v1"] if there else [])
        left = [entry.key for entry in (await storage.list("")).entries if "/tags/" in entry.key]
        assert not left, "nothing is left of a deleted tag"


async def test_a_tag_of_which_only_the_index_is_left_is_not_listed() -> None:
    storage = InMemoryStorage()
    async with serving(storage=storage) as client:
        await post_blob(client, "a", b"{}")
        for tag in ("v1", "v2", "v2-rc"):
            await put_manifest(client, "a", tag, image(b"{}"))
        await storage.delete("docker/registry/v2/repositories/a/_manifests/tags/v2/current/link")
        assert (await client.get("/v2/a/manifests/v2")).status_code == 404
        assert (await client.get("/v2/a/tags/list")).json()["tags"] == ["v1", "v2-rc"]
        page = await client.get("/v2/a/tags/list?n=1&last=v1")
        assert page.json()["tags"] == ["v2-rc"]
