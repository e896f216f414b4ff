"""Two requests at once, held at the very moment at which they could do harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyreg.errors import StorageUnavailable
from pyreg.hooks import ANY, Condition, ObjectInfo, StorageDriver, hookimpl
from pyreg.instrument import Instrumented
from pyreg_storage_filesystem import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore
from tests.fixtures.in_process import image, post_blob, put_manifest, serving
from tests.fixtures.wire import sha256

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


class Dies(Instrumented):
    """A driver that does no more after one of its operations, as if its process was killed.

    Args:
        driver: The driver.
        after: The operation; for `put`, the first that begins with a digest, as links do.
    """

    def __init__(self, driver: StorageDriver, after: str) -> None:
        super().__init__(driver)
        self.after = after
        self.dead = False

    def end(self, operation: str) -> None:
        if self.dead or operation == self.after:
            self.dead = True
            raise StorageUnavailable("killed")

    async def put(
        self, key: str, data: bytes, *, when: Condition = ANY, durable: bool = True
    ) -> ObjectInfo:
        if self.dead:
            self.end("put")
        info = await self.driver.put(key, data, when=when, durable=durable)
        if data.startswith(b"sha256:"):
            self.end("put")
        return info

    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        if self.dead:
            self.end("finish")
        info = await self.driver.finish(state, key=key)
        self.end("finish")
        return info

    async def rename(self, src: str, dst: str) -> None:
        if self.dead:
            self.end("rename")
        await self.driver.rename(src, dst)
        self.end("rename")

    async def delete_many(self, keys: Sequence[str], *, durable: bool = True) -> None:
        self.end("delete")


@pytest.mark.parametrize("hops", [False, True], ids=["one process", "several processes"])
@pytest.mark.parametrize("after", ["finish", "rename", "put", "delete"])
async def test_a_closing_request_may_be_repeated_wherever_it_was_killed(
    tmp_path: Path, after: str, hops: bool
) -> None:
    """Also for an upload whose parts went to several processes, which is read back."""
    if after == "rename" and not hops:
        pytest.skip("what is not read back is not renamed")

    def store() -> FilesystemStorage:
        return FilesystemStorage(str(tmp_path))

    parts = [b"one " * 1000, b"two " * 1000]
    digest = sha256(b"".join(parts))
    async with serving(storage=store()) as first, serving(storage=store()) as second:
        location = (await first.post("/v2/a/blobs/uploads/")).headers["location"]
        for client, part in zip((first, second if hops else first), parts, strict=True):
            assert (await client.patch(location, content=part)).status_code == 202
    async with serving(storage=Dies(store(), after)) as dying:
        answer = await dying.put(location, params={"digest": digest})
        assert answer.status_code == 503
    async with serving(storage=store()) as third:
        status = await third.get(location)
        assert (status.status_code, status.headers["range"]) == (204, f"0-{8000 - 1}")
        answer = await third.put(location, params={"digest": digest})
        assert answer.status_code == 201, answer.text
        assert (await third.get(f"/v2/a/blobs/{digest}")).content == b"".join(parts)
        assert (await third.get(location)).status_code == 404
    assert not list(tmp_path.rglob("_uploads")), "nothing is left of the upload"


async def test_a_cancelled_upload_stays_cancelled() -> None:
    """By another request, between the look for the upload and its first record."""
    held = Held(InMemoryStorage(), "pyreg.json")
    async with serving(storage=held) as client:
        location = (await client.post("/v2/a/blobs/uploads/")).headers["location"]
        held.armed = True
        sending = asyncio.create_task(client.patch(location, content=b"too late"))
        async with held.meanwhile():
            assert (await client.delete(location)).status_code == 204
        assert (await sending).status_code == 404
        assert (await client.get(location)).status_code == 404
        page = await held.list("docker/registry/v2/repositories/a/_uploads/")
        assert not page.entries


class Full(Instrumented):
    """A driver that cannot bring an upload to its place."""

    @hookimpl
    def pyreg_storage(self) -> StorageDriver:
        return self

    async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
        raise StorageUnavailable("not now")


async def test_an_upload_that_fails_at_the_end_leaves_no_link() -> None:
    """It would show the blob as soon as another repository has it."""
    store = InMemoryStore()
    async with serving(storage=Full(InMemoryStorage(store))) as client:
        assert (await post_blob(client, "a", b"blob")).status_code == 503
    async with serving(storage=InMemoryStorage(store)) as client:
        assert (await post_blob(client, "b", b"blob")).status_code == 201
        assert (await client.head(f"/v2/b/blobs/{sha256(b'blob')}")).status_code == 200
        assert (await client.head(f"/v2/a/blobs/{sha256(b'blob')}")).status_code == 404
