"""The Python API: everything that HTTP can do, with the same checks."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import hypercorn
import pytest

from pyreg import Registry
from pyreg.content.rules import Rules
from pyreg.errors import PluginError, RegistryError, StorageError
from pyreg.hooks import ObjectInfo
from pyreg_storage_filesystem.driver import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore
from tests.fixtures.wire import OCI_MANIFEST
from tests.protocol.live import digest_of

pytestmark = pytest.mark.anyio


def client(registry: Registry) -> httpx.AsyncClient:
    """HTTP to a registry in this process."""
    transport = httpx.ASGITransport(app=registry)
    return httpx.AsyncClient(transport=transport, base_url="http://registry.test")


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def document(config: str, size: int, **more: Any) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/x", "digest": config, "size": size},
            "layers": [],
            **more,
        }
    ).encode()


async def code(call: Any) -> str:
    """The code of the error that a call must end with."""
    with pytest.raises(RegistryError) as caught:
        await call
    return caught.value.code.code


async def test_everything() -> None:
    """Push and pull, list and delete, beside HTTP on the same registry."""
    async with Registry(storage=InMemoryStorage()) as registry, client(registry) as http:
        ubuntu = registry.repository("library/ubuntu")
        config = await ubuntu.blobs.put(b"{}")
        assert config == digest_of(b"{}")
        assert await ubuntu.blobs.get(config) == b"{}"
        body = document(config, 2)
        pushed = await ubuntu.manifests.put(body, "22.04", tag=["jammy", "latest"])
        assert pushed.digest == digest_of(body)
        assert pushed.tags == ("22.04", "jammy", "latest")
        got = await ubuntu.manifests.get("jammy")
        assert (got.payload, got.media_type, got.tag) == (body, OCI_MANIFEST, "jammy")
        assert (await ubuntu.manifests.get(pushed.digest)).tag == ""
        await ubuntu.tags.put("lts", pushed.digest)
        assert (await ubuntu.tags.list()).names == ("22.04", "jammy", "latest", "lts")
        assert (await ubuntu.tags.list(limit=2, last="22.04")).names == ("jammy", "latest")
        assert await ubuntu.tags.get("lts") == pushed.digest
        assert [name async for name in registry.repositories()] == ["library/ubuntu"]

        over_http = await http.get("/v2/library/ubuntu/manifests/lts")
        assert over_http.content == body
        assert (await http.get(f"/v2/library/ubuntu/blobs/{config}")).content == b"{}"

        subject = {"mediaType": OCI_MANIFEST, "digest": pushed.digest, "size": len(body)}
        referrer = await ubuntu.manifests.put(document(config, 2, subject=subject))
        assert referrer.subject == pushed.digest
        page = await ubuntu.referrers.list(pushed.digest)
        assert [item["digest"] for item in page.descriptors] == [referrer.digest]

        mine = registry.repository("mine")
        assert await mine.blobs.mount(config, source="library/debian") is None
        assert await mine.blobs.mount(config, source="library/ubuntu") is not None

        await ubuntu.tags.delete("lts")
        await ubuntu.manifests.delete(pushed.digest)
        assert (await ubuntu.tags.list()).names == ()
        assert (await http.get("/v2/library/ubuntu/manifests/jammy")).status_code == 404
        await ubuntu.blobs.delete(config)
        assert await code(ubuntu.blobs.stat(config)) == "BLOB_UNKNOWN"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", None])
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
async def test_streams(tmp_path: Path, algorithm: str | None, size: int) -> None:
    """Pieces in, pieces out, with the digest told before, or found out."""
    data = bytes(range(250)) * (size // 250) + bytes(size % 250)
    async with Registry(FilesystemStorage(str(tmp_path))) as registry:
        blobs = registry.repository("x").blobs
        digest = digest_of(data, algorithm or "sha256")
        assert await blobs.put(pieces(data), digest=digest if algorithm else None) == digest
        assert (await blobs.stat(digest)).size == size
        async with blobs.open(digest) as stream:
            assert b"".join([piece async for piece in stream]) == data
        async with blobs.open(digest, start=1, stop=3) as stream:
            assert b"".join([piece async for piece in stream]) == data[1:3]
        assert [each async for each in blobs.list()] == [digest]


async def test_a_stream_that_breaks_off() -> None:
    """An error of the caller's own comes back to it, and nothing is left."""
    store = InMemoryStore()

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise KeyError("the caller's own trouble")

    async with Registry(InMemoryStorage(store)) as registry:
        blobs = registry.repository("x").blobs
        for digest in (None, digest_of(b"half and more")):
            with pytest.raises(KeyError, match="own trouble"):
                await blobs.put(broken(), digest=digest)
        assert await code(blobs.put(b"data", digest=digest_of(b"other"))) == "DIGEST_INVALID"
        assert [each async for each in blobs.list()] == []
    assert not store.objects
    assert not store.uploads


async def test_a_cancelled_push() -> None:
    """Cancelled in the middle, a push leaves nothing."""
    store = InMemoryStore()
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"half"
        reached.set()
        await asyncio.Event().wait()

    async with Registry(InMemoryStorage(store)) as registry:
        push = asyncio.create_task(registry.repository("x").blobs.put(endless()))
        await reached.wait()
        push.cancel()
        with pytest.raises(asyncio.CancelledError):
            await push
    assert not store.objects
    assert not store.uploads


async def test_the_same_checks() -> None:
    """What HTTP refuses, Python refuses, with the same code."""
    async with Registry(InMemoryStorage(), rules=Rules(max_manifest=1000)) as registry:
        x = registry.repository("x")
        config = await x.blobs.put(b"{}")
        good = document(config, 2)
        digest = (await x.manifests.put(good)).digest
        other = digest_of(b"other")
        for call, expected in (
            (x.manifests.put(b"nonsense"), "MANIFEST_INVALID"),
            (x.manifests.put(b" " * 1001), "MANIFEST_INVALID"),
            (x.manifests.put(good, "-bad"), "TAG_INVALID"),
            (x.manifests.put(good, tag="-bad"), "TAG_INVALID"),
            (x.manifests.put(good, other), "DIGEST_INVALID"),
            (x.manifests.put(good, media_type="text/html"), "MANIFEST_INVALID"),
            (x.manifests.put(document(other, 5)), "MANIFEST_BLOB_UNKNOWN"),
            (x.manifests.get("none"), "MANIFEST_UNKNOWN"),
            (x.manifests.get("sha256:x"), "DIGEST_INVALID"),
            (x.manifests.delete(digest), "UNSUPPORTED"),
            (x.tags.put("-bad", digest), "TAG_INVALID"),
            (x.tags.put("good", digest_of(b"other")), "MANIFEST_UNKNOWN"),
            (x.tags.delete("v1"), "UNSUPPORTED"),
            (x.blobs.put(b"", digest="sha256:x"), "DIGEST_INVALID"),
            (x.blobs.get(other), "BLOB_UNKNOWN"),
            (x.blobs.delete(config), "UNSUPPORTED"),
            (x.referrers.list("x"), "DIGEST_INVALID"),
            (registry.repository("y").tags.list(), "NAME_UNKNOWN"),
        ):
            assert await code(call) == expected
        for name in ("UPPER", "", "a//b", "..", "a" * 256):
            with pytest.raises(RegistryError, match="repository name"):
                registry.repository(name)


async def test_readonly() -> None:
    store = InMemoryStore()
    async with Registry(InMemoryStorage(store)) as registry:
        config = await registry.repository("x").blobs.put(b"{}")
    async with Registry(
        InMemoryStorage(store), rules=Rules(readonly=True, delete=True)
    ) as registry:
        x = registry.repository("x")
        assert await x.blobs.get(config) == b"{}"
        for call in (
            x.blobs.put(b"{}"),
            x.blobs.mount(config),
            x.blobs.delete(config),
            x.manifests.put(document(config, 2)),
            x.manifests.delete("v1"),
            x.tags.put("v1", config),
            x.tags.delete("v1"),
        ):
            assert await code(call) == "UNSUPPORTED"


async def test_two_registries_in_one_process() -> None:
    """Nothing is shared but what they are given."""
    async with Registry(InMemoryStorage()) as one, Registry(InMemoryStorage()) as two:
        digest = await one.repository("x").blobs.put(b"only in one")
        assert await code(two.repository("x").blobs.get(digest)) == "BLOB_UNKNOWN"
        async with client(one) as http_one, client(two) as http_two:
            path = f"/v2/x/blobs/{digest}"
            assert (await http_one.get(path)).status_code == 200
            assert (await http_two.get(path)).status_code == 404
            assert (
                await http_two.post("/v2/x/blobs/uploads/", params={"mount": digest})
            ).status_code == 202


class Counting(InMemoryStorage):
    """Counts how often it is opened and closed."""

    opened = closed = 0
    failure: Exception | None = None

    async def open(self) -> None:
        self.opened += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.closed += 1


async def test_start_and_stop_are_idempotent() -> None:
    """Many starts at once open the storage once; a stopped registry can start again."""
    driver = Counting()
    registry = Registry(driver)
    await registry.stop()
    await asyncio.gather(*(registry.start() for _ in range(5)))
    assert (driver.opened, driver.closed) == (1, 0)
    async with registry:
        assert driver.opened == 1
    assert driver.closed == 1
    await registry.stop()
    assert driver.closed == 1
    async with registry:
        await registry.repository("x").blobs.put(b"again")
    assert (driver.opened, driver.closed) == (2, 2)


async def test_the_first_requests_start_it() -> None:
    """Without a lifespan, whoever comes first starts the registry, once."""
    driver = Counting()
    registry = Registry(driver)
    async with client(registry) as http:
        answers = await asyncio.gather(*(http.get("/v2/") for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert driver.opened == 1
    await registry.stop()


async def test_a_start_that_fails() -> None:
    """The error comes through, and a later start may succeed."""
    driver = Counting()
    driver.failure = StorageError("no such bucket")
    registry = Registry(driver)
    for _ in range(2):
        with pytest.raises(StorageError, match="no such bucket"):
            await registry.start()
    driver.failure = None
    async with registry, client(registry) as http:
        assert (await http.get("/v2/")).status_code == 200


async def test_lifespan() -> None:
    """The ASGI lifespan starts and stops it, and says so when it cannot."""
    for failure in (None, StorageError("no such bucket")):
        driver = Counting()
        driver.failure = failure
        registry = Registry(driver)
        waiting = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent: list[dict[str, Any]] = []

        async def receive(waiting: Any = waiting) -> dict[str, Any]:
            return next(waiting)

        async def send(message: Any, sent: Any = sent) -> None:
            sent.append(message)

        await registry({"type": "lifespan"}, receive, send)
        if failure is None:
            assert [message["type"] for message in sent] == [
                "lifespan.startup.complete",
                "lifespan.shutdown.complete",
            ]
            assert driver.closed == 1
        else:
            assert sent == [
                {"type": "lifespan.startup.failed", "message": str(failure)},
            ]


async def test_a_registry_needs_storage() -> None:
    with pytest.raises(PluginError, match="storage"):
        Registry()


async def test_reindex(tmp_path: Path) -> None:
    """`Registry.reindex` finds subjects again after the index was lost."""
    async with Registry(FilesystemStorage(str(tmp_path))) as registry:
        told = []
        for name in ("a", "a/b"):
            repository = registry.repository(name)
            config = await repository.blobs.put(b"{}")
            subject = {"mediaType": OCI_MANIFEST, "digest": config, "size": 2}
            await repository.manifests.put(document(config, 2, subject=subject))
            await repository.manifests.put(document(config, 2))
        for path in tmp_path.glob("**/_referrers"):
            for file in [each for each in path.rglob("*") if each.is_file()]:
                file.unlink()
        assert (await registry.repository("a/b").referrers.list(config)).descriptors != ()
        assert await registry.reindex(["a"], progress=lambda *args: told.append(args)) == 1
        assert await registry.reindex(progress=lambda *args: told.append(args)) == 2
        assert told == [("a", 1), ("a", 1), ("a/b", 1)]
        page = await registry.repository("a").referrers.list(config)
        assert len(page.descriptors) == 1


async def test_damaged_content(tmp_path: Path) -> None:
    """A small blob or a manifest whose bytes have changed on the disk is never served."""
    async with Registry(FilesystemStorage(str(tmp_path)), memory=0) as registry:
        x = registry.repository("x")
        config = await x.blobs.put(b"{}")
        body = document(config, 2)
        await x.manifests.put(body, "v1")
        for path in tmp_path.glob("docker/registry/v2/blobs/*/*/*/data"):
            path.write_bytes(path.read_bytes()[:-1] + b"!")
        async with client(registry) as http:
            for path_ in ("manifests/v1", f"blobs/{config}"):
                answer = await http.get(f"/v2/x/{path_}")
                assert answer.status_code == 503
                assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"
        # Pushing it again mends it.
        await x.blobs.put(b"{}")
        await x.manifests.put(body, "v1")
        assert (await x.manifests.get("v1")).payload == body


async def test_a_driver_that_takes_no_small_chunks() -> None:
    """OCI-Chunk-Min-Length tells clients; and blobs are copied to their place without rename."""
    from pyreg.hooks import Capabilities

    class Coarse(InMemoryStorage):
        capabilities = Capabilities(min_part=5 << 20)

        async def rename(self, src: str, dst: str) -> None:
            raise AssertionError("this driver cannot rename")

    async with Registry(Coarse()) as registry, client(registry) as http:
        begun = await http.post("/v2/x/blobs/uploads/")
        assert begun.headers["oci-chunk-min-length"] == str(5 << 20)
        data = b"0123456789" * 600_000
        chunk = await http.patch(begun.headers["location"], content=data)
        done = await http.put(
            chunk.headers["location"], params={"digest": digest_of(data, "sha512")}
        )
        assert done.status_code == 201
        assert (await http.get(done.headers["location"])).content == data


async def test_redirects() -> None:
    """Blobs come from the storage service where it and the configuration allow it."""
    from pyreg.hooks import Capabilities

    class Elsewhere(InMemoryStorage):
        capabilities = Capabilities(rename=True, redirect=True)

        async def redirect_url(
            self, key: str, *, method: str = "GET", expires: float = 1200.0
        ) -> str | None:
            return f"https://storage.test/{key}?method={method}"

        async def put(self, key: str, data: bytes, **more: Any) -> ObjectInfo:
            return await super().put(key, data, **more)

    for allowed in (True, False):
        async with Registry(Elsewhere(), redirect=allowed) as registry, client(registry) as http:
            digest = await registry.repository("x").blobs.put(b"blob")
            for method in ("GET", "HEAD"):
                answer = await http.request(method, f"/v2/x/blobs/{digest}")
                assert answer.status_code == (307 if allowed else 200)
                assert answer.headers["docker-content-digest"] == digest
                if allowed:
                    assert answer.headers["location"].startswith("https://storage.test/docker/")
                    assert answer.headers["location"].endswith(f"/data?method={method}")


@pytest.mark.parametrize("certified", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
async def test_health_says_that_nobody_needs_credentials(certified: bool, exposed: bool) -> None:
    async with Registry(storage=InMemoryStorage()) as registry:
        config = hypercorn.Config()
        config.exposed = exposed  # type: ignore[attr-defined]
        config.verify_mode = ssl.CERT_REQUIRED if certified else None
        registry.configure_server(config)
        async with client(registry) as http:
            answer = await http.get("/debug/health")
    assert answer.status_code == 200
    assert list(answer.json().get("notes", {})) == (["access"] if exposed and not certified else [])


async def test_health_when_the_storage_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with (
        Registry(storage=FilesystemStorage(str(root))) as registry,
        client(registry) as http,
    ):
        assert (await http.get("/debug/health")).status_code == 200
        root.rename(tmp_path / "away")
        answer = await http.get("/debug/health")
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["storage"]
        assert str(tmp_path) not in answer.text
