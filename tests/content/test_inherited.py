"""What other registries, and power cuts, leave behind in the layout."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pyreg import Registry
from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.content.purge import Purger
from pyreg.content.rules import Rules
from pyreg.hooks import StorageDriver
from pyreg_storage_filesystem import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore
from tests.fixtures.in_process import client_of, image, post_blob, put_manifest
from tests.fixtures.wire import OCI_MANIFEST, sha256

pytestmark = pytest.mark.anyio

CONFIG = b"{}"
DATA = bytes(range(256)) * 4_000


@pytest.fixture
def driver() -> StorageDriver:
    return InMemoryStorage()


@pytest.fixture
async def client(driver: StorageDriver) -> AsyncIterator[httpx.AsyncClient]:
    async with Registry(storage=driver) as registry, client_of(registry) as client:
        yield client


async def push(client: httpx.AsyncClient, tag: str, **more: Any) -> Digest:
    """An image with a tag."""
    assert (await post_blob(client, "a", CONFIG)).status_code == 201
    body = image(CONFIG, **more)
    assert (await put_manifest(client, "a", tag, body)).status_code == 201
    return Digest.of(body)


@pytest.mark.parametrize("left", [b"", b"sha256:", b"\xff" * 71], ids=["empty", "torn", "junk"])
async def test_a_tag_that_points_nowhere_harms_no_other(
    client: httpx.AsyncClient, driver: StorageDriver, left: bytes
) -> None:
    """The Docker registry does not sync its links, so a power cut may leave one empty."""
    one = await push(client, "v1")
    two = await push(client, "v2", annotations={"n": "2"})
    for tag in ("bad", "worse"):
        await driver.put(layout.tag_link("a", tag), left)
    listed = await client.get("/v2/a/tags/list")
    assert listed.json()["tags"] == ["bad", "v1", "v2", "worse"]
    assert (await client.get("/v2/a/manifests/bad")).status_code == 503
    assert (await client.delete("/v2/a/manifests/bad")).status_code == 202
    assert (await client.get("/v2/a/manifests/bad")).status_code == 404
    # Deleting a manifest looks at every tag.
    assert (await client.delete(f"/v2/a/manifests/{two}")).status_code == 202
    assert (await client.get("/v2/a/tags/list")).json()["tags"] == ["v1", "worse"]
    # A push mends it.
    assert (await put_manifest(client, "a", "worse", image(CONFIG))).status_code == 201
    answer = await client.get("/v2/a/manifests/worse", headers={"Accept": OCI_MANIFEST})
    assert answer.headers["docker-content-digest"] == one


async def test_a_manifest_that_was_linked_as_a_layer(
    client: httpx.AsyncClient, driver: StorageDriver
) -> None:
    """As the Docker registry 2.1.0 did; a layer that is no manifest does not become one."""
    assert (await post_blob(client, "a", CONFIG)).status_code == 201
    body = image(CONFIG)
    digest = Digest.of(body)
    await driver.put(layout.blob_data(digest), body)
    await driver.put(layout.layer_link("a", digest), digest.encode())
    await driver.put(layout.tag_link("a", "old"), digest.encode())
    for reference in ("old", digest):
        answer = await client.get(f"/v2/a/manifests/{reference}", headers={"Accept": OCI_MANIFEST})
        assert (answer.status_code, answer.content) == (200, body)
    for data in (CONFIG, b"no JSON", bytes(5 << 20)):  # the last one is larger than any manifest
        assert (await post_blob(client, "a", data)).status_code == 201
        assert (await client.get(f"/v2/a/manifests/{sha256(data)}")).status_code == 404


async def test_referrers_that_nobody_may_index() -> None:
    store = InMemoryStore()
    driver = InMemoryStorage(store)
    async with Registry(storage=driver) as registry, client_of(registry) as client:
        subject = await push(client, "v1")
        about = {"mediaType": OCI_MANIFEST, "digest": subject, "size": len(image(CONFIG))}
        referrers = sorted(
            [
                await push(
                    client,
                    f"r{n}",
                    subject=about,
                    artifactType=f"t/{n % 2}",
                    annotations={"n": str(n)},
                )
                for n in range(4)
            ]
        )
        page = await driver.list(layout.REPOSITORIES + "a/_referrers/")
        await driver.delete_many([entry.key for entry in page.entries])
    rules = Rules(readonly=True, max_referrers=3)
    async with (
        Registry(storage=InMemoryStorage(store), rules=rules) as registry,
        client_of(registry) as client,
    ):
        path = f"/v2/a/referrers/{subject}"
        first = await client.get(path)
        assert first.status_code == 200
        rest = await client.get(first.links["next"]["url"])
        found = [item["digest"] for page in (first, rest) for item in page.json()["manifests"]]
        assert found == referrers
        ones = (await client.get(path, params={"artifactType": "t/1"})).json()["manifests"]
        assert len(ones) == 2
        assert {item["artifactType"] for item in ones} == {"t/1"}
    assert not (await driver.list(layout.REPOSITORIES + "a/_referrers/")).entries


def begun_by_the_docker_registry(root: Path) -> tuple[str, Path]:
    """An upload with bytes, as it leaves one: its address and its directory."""
    number = str(uuid.uuid4())
    directory = root / layout.upload_directory("a", number)
    directory.mkdir(parents=True)
    (directory / "startedat").write_text("2026-01-02T03:04:05Z")
    (directory / "data").write_bytes(DATA)
    return f"/v2/a/blobs/uploads/{number}", directory


async def test_asking_for_an_upload_of_another_registry_changes_nothing(tmp_path: Path) -> None:
    address, directory = begun_by_the_docker_registry(tmp_path)
    registries = [Registry(storage=FilesystemStorage(str(tmp_path))) for _ in range(3)]
    async with registries[0], registries[1], registries[2]:
        clients = [client_of(registry) for registry in registries]
        answers = await asyncio.gather(*(client.get(address) for client in clients))
        for answer in answers:
            assert (answer.status_code, answer.headers["range"]) == (204, f"0-{len(DATA) - 1}")
        assert sorted(path.name for path in directory.iterdir()) == ["data", "startedat"]
        done = await clients[0].put(address, params={"digest": sha256(DATA)})
        assert done.status_code == 201
    assert not directory.exists()


async def test_racing_for_an_upload_of_another_registry_leaves_no_copies(tmp_path: Path) -> None:
    registries = [Registry(storage=FilesystemStorage(str(tmp_path))) for _ in range(3)]
    async with registries[0], registries[1], registries[2]:
        clients = [client_of(registry) for registry in registries]
        for _ in range(5):
            address, directory = begun_by_the_docker_registry(tmp_path)
            answers = await asyncio.gather(
                *(client.patch(address, content=b"more") for client in clients)
            )
            # Whoever took it over and appended first has won.
            assert sorted(answer.status_code for answer in answers) == [202, 416, 416]
            partial = [path.name for path in directory.iterdir() if "+" in path.name]
            assert len(partial) == 1, partial
            done = await clients[0].put(address, params={"digest": sha256(DATA + b"more")})
            assert done.status_code == 201
            assert not directory.exists()


async def test_the_purge_finds_what_a_killed_process_copied(tmp_path: Path) -> None:
    _, directory = begun_by_the_docker_registry(tmp_path)
    (directory / f"data+{'0' * 16}").write_bytes(DATA[:5])
    async with Registry(storage=FilesystemStorage(str(tmp_path))) as registry:
        assert await Purger(age=0.0, interval=1.0).purge(registry.site.uploads) == 1
    assert not directory.exists()
