"""Random walks through the protocol, against a model; on memory and on a disk."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyreg.app import Registry
from pyreg.content.purge import Purger
from pyreg.errors import RegistryError
from pyreg.hooks.storage import StorageDriver
from pyreg_storage_filesystem.driver import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore
from tests.fixtures.wire import OCI_MANIFEST
from tests.protocol.live import digest_of
from tests.protocol.material import CONFIG, LAYER, Document, descriptor, index

T = TypeVar("T")

NAMES = ["a", "a/b", "a-b"]
TAGS = ["1", "1.0", "1.0-rc", "latest"]
ALGORITHMS = ["sha256", "sha512"]


def content(number: int) -> bytes:
    """One of a few, named by number so that Hypothesis does not print them."""
    return [b"", b"one", b"two" * 1000, b"three" * 20_000][number]


names, tags = st.sampled_from(NAMES), st.sampled_from(TAGS)
contents, algorithms = st.integers(0, 3).map(content), st.sampled_from(ALGORITHMS)


class Machine(RuleBasedStateMachine):
    """A registry that may be replaced by another process at any time.

    Attributes:
        storage: Which driver.
    """

    storage: ClassVar[str] = "inmemory"

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self._root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self._store = InMemoryStore()
        self._runner = asyncio.Runner()
        self._registries: list[Registry] = []
        self.another_process()

    def driver(self) -> StorageDriver:
        """A driver on the one store."""
        if self.storage == "filesystem":
            return FilesystemStorage(str(self._root))
        return InMemoryStorage(self._store)

    @rule()
    def another_process(self) -> None:
        """From now on, another one answers; it knows nothing but what is stored."""
        self.registry = Registry(self.driver())
        self.run(self.registry.start())
        self._registries.append(self.registry)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run to the end."""
        return self._runner.run(call)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request to the ASGI application."""

        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.registry)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.request(method, path, **more)

        return self.run(request())

    def teardown(self) -> None:
        """Stop what was started."""
        for registry in self._registries:
            self.run(registry.stop())
        self._runner.close()
        shutil.rmtree(self._root)


class RepositoryMachine(Machine):
    """Pushes, tags, mounts, deletes and lists, in three repositories whose names begin alike."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, dict[str, bytes]] = {name: {} for name in NAMES}
        self.manifests: dict[str, dict[str, bytes]] = {name: {} for name in NAMES}
        self.tags: dict[str, dict[str, str]] = {name: {} for name in NAMES}
        self.stored: set[str] = set()  # bytes stay when the last repository lets go of them

    def refused(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> str:
        """The code of the error that a call must end with."""
        with pytest.raises(RegistryError) as caught:
            self.run(call())
        return caught.value.code.code

    @rule(name=names, data=contents, algorithm=algorithms)
    def push_blob(self, name: str, data: bytes, algorithm: str) -> None:
        digest = digest_of(data, algorithm)
        assert self.run(self.registry.repository(name).blobs.put(data, digest=digest)) == digest
        self.blobs[name][digest] = data
        self.stored.add(digest)

    @rule(name=names, source=names | st.none(), data=contents, algorithm=algorithms)
    def mount(self, name: str, source: str | None, data: bytes, algorithm: str) -> None:
        digest = digest_of(data, algorithm)
        there = digest in (self.stored if source is None else self.blobs[source])
        found = self.run(self.registry.repository(name).blobs.mount(digest, source=source))
        assert (found is not None) == there
        if there:
            self.blobs[name][digest] = data

    @rule(name=names, data=contents, algorithm=algorithms)
    def delete_blob(self, name: str, data: bytes, algorithm: str) -> None:
        digest = digest_of(data, algorithm)
        blobs = self.registry.repository(name).blobs
        if self.blobs[name].pop(digest, None) is None:
            assert self.refused(lambda: blobs.delete(digest)) == "BLOB_UNKNOWN"
        else:
            self.run(blobs.delete(digest))

    @rule(
        name=names,
        config=contents,
        layers=st.lists(st.tuples(contents, algorithms), max_size=2),
        subject=contents | st.none(),
        reference=tags | algorithms,
        also=st.lists(tags, max_size=2),
    )
    def push_image(
        self,
        name: str,
        config: bytes,
        layers: list[tuple[bytes, str]],
        subject: bytes | None,
        reference: str,
        also: list[str],
    ) -> None:
        document: Document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, CONFIG),
            "layers": [descriptor(data, LAYER, algorithm) for data, algorithm in layers],
        }
        if subject is not None:
            document["subject"] = descriptor(subject, OCI_MANIFEST)
        needed = {document["config"]["digest"], *(item["digest"] for item in document["layers"])}
        self.push(name, document, needed <= set(self.blobs[name]), reference, also)

    @rule(name=names, reference=tags | algorithms, pick=st.randoms(use_true_random=False))
    def push_index(self, name: str, reference: str, pick: Any) -> None:
        known = sorted({digest for each in self.manifests.values() for digest in each})
        children = pick.sample(known, min(len(known), 2))
        document = index(
            *({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1} for digest in children)
        )
        self.push(name, document, set(children) <= set(self.manifests[name]), reference, [])

    def push(
        self, name: str, document: Document, complete: bool, reference: str, also: list[str]
    ) -> None:
        body = json.dumps(document).encode()
        digest = digest_of(body, reference if reference in ALGORITHMS else "sha256")
        target = digest if reference in ALGORITHMS else reference
        manifests = self.registry.repository(name).manifests
        if not complete:
            code = self.refused(lambda: manifests.put(body, target, tag=also))
            assert code == "MANIFEST_BLOB_UNKNOWN"
            return
        pushed = self.run(manifests.put(body, target, tag=also))
        assert pushed.digest == digest
        self.manifests[name][digest] = body
        for tag in [*also, *([] if target == digest else [target])]:
            self.tags[name][tag] = digest

    @rule(name=names, tag=tags)
    def delete_tag(self, name: str, tag: str) -> None:
        manifests = self.registry.repository(name).manifests
        if self.tags[name].pop(tag, None) is None:
            assert self.refused(lambda: manifests.delete(tag)) == "MANIFEST_UNKNOWN"
        else:
            self.run(manifests.delete(tag))

    @rule(name=names, pick=st.randoms(use_true_random=False))
    def delete_manifest(self, name: str, pick: Any) -> None:
        known = sorted({digest for each in self.manifests.values() for digest in each})
        digest = pick.choice([*known, digest_of(b"unknown")])
        manifests = self.registry.repository(name).manifests
        if self.manifests[name].pop(digest, None) is None:
            assert self.refused(lambda: manifests.delete(digest)) == "MANIFEST_UNKNOWN"
        else:
            self.run(manifests.delete(digest))
            self.tags[name] = {
                tag: target for tag, target in self.tags[name].items() if target != digest
            }

    @rule(name=names, tag=tags)
    def pull_by_tag(self, name: str, tag: str) -> None:
        answer = self.ask("GET", f"/v2/{name}/manifests/{tag}")
        digest = self.tags[name].get(tag)
        assert answer.status_code == (404 if digest is None else 200)
        if digest is not None:
            assert answer.content == self.manifests[name][digest]
            assert answer.headers["docker-content-digest"] == digest

    @rule(name=names, count=st.integers(1, 3))
    def list_tags(self, name: str, count: int) -> None:
        found: list[str] = []
        url = f"/v2/{name}/tags/list?n={count}"
        while True:
            answer = self.ask("GET", url)
            if answer.status_code == 404:
                assert not self.blobs[name]
                assert not self.manifests[name]
                return
            found += answer.json()["tags"]
            if "next" not in answer.links:
                break
            url = answer.links["next"]["url"]
        assert found == sorted(self.tags[name], key=str.encode)

    @rule(name=names, data=contents)
    def list_referrers(self, name: str, data: bytes) -> None:
        subject = digest_of(data)
        page = self.run(self.registry.repository(name).referrers.list(subject))
        expected = {
            digest
            for digest, body in self.manifests[name].items()
            if json.loads(body).get("subject", {}).get("digest") == subject
        }
        assert {item["digest"] for item in page.descriptors} == expected
        assert len(page.descriptors) == len(expected)

    @invariant()
    def everything_is_there(self) -> None:
        async def look() -> None:
            catalog = [name async for name in self.registry.repositories()]
            full = [name for name in NAMES if self.manifests[name]]
            assert catalog == sorted(full, key=str.encode)
            for name in NAMES:
                repository = self.registry.repository(name)
                assert {each async for each in repository.blobs.list()} == set(self.blobs[name])
                listed = {each async for each in repository.manifests.list()}
                assert listed == set(self.manifests[name])
                for digest, data in self.blobs[name].items():
                    assert await repository.blobs.get(digest) == data
                for digest, body in self.manifests[name].items():
                    assert (await repository.manifests.get(digest)).payload == body

        self.run(look())


class UploadMachine(Machine):
    """One upload after the other: chunks right and wrong, cancelled and finished anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.location = ""
        self.data = b""
        self.blobs: dict[str, bytes] = {}

    def open(self) -> bool:
        return bool(self.location)

    @precondition(lambda self: not self.location)
    @rule(algorithm=st.none() | algorithms)
    def begin(self, algorithm: str | None) -> None:
        query = {"digest-algorithm": algorithm} if algorithm else {}
        answer = self.ask("POST", "/v2/x/blobs/uploads/", params=query)
        assert answer.status_code == 202
        self.location = answer.headers["location"]
        self.data = b""

    @precondition(open)
    @rule(size=st.sampled_from([0, 1, 7, 40_000, 600_000]), ranged=st.booleans())
    def chunk(self, size: int, ranged: bool) -> None:
        piece = (bytes(range(251)) * (size // 251 + 1))[:size]
        headers = {}
        if ranged and size:
            headers["Content-Range"] = f"{len(self.data)}-{len(self.data) + size - 1}"
        answer = self.ask("PATCH", self.location, content=piece, headers=headers)
        assert answer.status_code == 202
        self.data += piece
        self.location = answer.headers["location"]
        assert answer.headers["range"] == f"0-{max(0, len(self.data) - 1)}"

    @precondition(open)
    @rule(distance=st.sampled_from([-1, 1, 100_000]), close=st.booleans())
    def chunk_elsewhere(self, distance: int, close: bool) -> None:
        start = len(self.data) + distance
        if start < 0:
            return
        method, query = ("PUT", {"digest": digest_of(self.data)}) if close else ("PATCH", {})
        answer = self.ask(
            method,
            self.location,
            params=query,
            content=b"wrong",
            headers={"Content-Range": f"{start}-{start + 4}"},
        )
        assert answer.status_code == 416
        assert answer.headers["range"] == f"0-{max(0, len(self.data) - 1)}"

    @precondition(open)
    @rule(more=st.sampled_from([4, 8]))
    def chunk_that_lies(self, more: int) -> None:
        """Another length than the range says; nothing is kept."""
        at = len(self.data)
        answer = self.ask(
            "PATCH",
            self.location,
            content=b"123456",
            headers={"Content-Range": f"{at}-{at + more}"},
        )
        assert answer.status_code == 400

    @precondition(open)
    @rule()
    def status(self) -> None:
        answer = self.ask("GET", self.location)
        assert answer.status_code == 204
        assert answer.headers["range"] == f"0-{max(0, len(self.data) - 1)}"

    @precondition(open)
    @rule(algorithm=algorithms, last=st.sampled_from([b"", b"the end"]))
    def finish(self, algorithm: str, last: bytes) -> None:
        whole = self.data + last
        digest = digest_of(whole, algorithm)
        answer = self.ask("PUT", self.location, params={"digest": digest}, content=last)
        assert answer.status_code == 201, answer.text
        self.blobs[digest] = whole
        self.gone()

    @precondition(open)
    @rule(algorithm=algorithms, last=st.sampled_from([b"", b"the end"]))
    def finish_wrongly(self, algorithm: str, last: bytes) -> None:
        digest = digest_of(b"something else", algorithm)
        answer = self.ask("PUT", self.location, params={"digest": digest}, content=last)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "DIGEST_INVALID"
        assert self.ask("HEAD", f"/v2/x/blobs/{digest}").status_code == 404
        self.gone()

    @precondition(open)
    @rule()
    def cancel(self) -> None:
        assert self.ask("DELETE", self.location).status_code == 204
        self.gone()

    @precondition(open)
    @rule()
    def purge(self) -> None:
        purger = Purger(age=-10.0, interval=1.0)
        assert self.run(purger.purge(self.registry.site.uploads)) == 1
        self.gone()

    def gone(self) -> None:
        """The upload has ended: nobody can go on with it, and nothing of it is left."""
        assert self.ask("GET", self.location).status_code == 404
        assert self.ask("PATCH", self.location, content=b"x").status_code == 404
        self.location = ""

        async def left() -> list[str]:
            prefix = "docker/registry/v2/repositories/x/_uploads/"
            return [entry.key for entry in (await self.registry.driver.list(prefix)).entries]

        assert self.run(left()) == []

    @invariant()
    def blobs_are_whole(self) -> None:
        for digest, data in self.blobs.items():
            answer = self.ask("GET", f"/v2/x/blobs/{digest}")
            assert answer.status_code == 200
            assert answer.content == data


def case(machine: type[Machine], driver: str, examples: int) -> Any:
    """A unittest case of one machine on one storage."""
    kind = type(f"{machine.__name__}_{driver}", (machine,), {"storage": driver})
    test: Any = kind.TestCase  # type: ignore[attr-defined]
    test.settings = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return test


TestRepositoryInMemory = case(RepositoryMachine, "inmemory", 40)
TestRepositoryOnDisk = case(RepositoryMachine, "filesystem", 15)
TestUploadInMemory = case(UploadMachine, "inmemory", 40)
TestUploadOnDisk = case(UploadMachine, "filesystem", 15)
