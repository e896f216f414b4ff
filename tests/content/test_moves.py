"""What a guard has seen of a tag is what is committed: nobody moves it in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from pyreg import Registry
from pyreg.errors import DENIED, Refused, RegistryError, StorageUnavailable
from pyreg.hooks import Event, Operation, StorageDriver, hookimpl
from pyreg_storage_filesystem import FilesystemStorage
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore

pytestmark = pytest.mark.anyio

Look = Callable[[Operation], Awaitable[None]]


def index(number: int) -> bytes:
    """A manifest that refers to nothing."""
    return json.dumps(
        {"schemaVersion": 2, "manifests": [], "annotations": {"n": str(number)}}
    ).encode()


class Guard:
    """Notes what it is shown, and does what a test wants."""

    def __init__(self, look: Look | None = None) -> None:
        self.look = look
        self.seen: list[Operation] = []
        self.events: list[Event] = []

    @hookimpl
    async def pyreg_guard(self, operation: Operation) -> None:
        self.seen.append(operation)
        if self.look is not None:
            await self.look(operation)

    @hookimpl
    async def pyreg_observe(self, event: Event) -> None:
        self.events.append(event)


async def test_a_guard_sees_where_tags_point() -> None:
    guard = Guard()
    async with Registry(storage=InMemoryStorage(), plugins=[guard]) as registry:
        manifests = registry.repository("a").manifests
        old = (await manifests.put(index(1), "v1")).digest
        new = (await manifests.put(index(2), "v1", tag=["v2", "v3"])).digest
        await registry.repository("a").tags.put("v4", new)
        await manifests.delete("v2")
        await manifests.delete(new)
        await manifests.delete(old)
    shown = [(item.action, item.kind, item.tags, dict(item.current)) for item in guard.seen]
    assert shown == [
        ("push", "manifest", ("v1",), {}),
        ("push", "manifest", ("v1", "v2", "v3"), {"v1": old}),
        ("push", "manifest", ("v4",), {}),
        ("delete", "tag", ("v2",), {"v2": new}),
        ("delete", "manifest", ("v1", "v3", "v4"), {"v1": new, "v3": new, "v4": new}),
        ("delete", "manifest", (), {}),
    ]
    # The deletion of a manifest is an event, and that of each tag that goes with it.
    assert [(event.action, event.kind, event.tag) for event in guard.events[-5:]] == [
        ("delete", "manifest", ""),
        ("delete", "tag", "v1"),
        ("delete", "tag", "v3"),
        ("delete", "tag", "v4"),
        ("delete", "manifest", ""),
    ]


@pytest.mark.parametrize("name", ["filesystem", "inmemory"])
async def test_a_guard_is_asked_again_when_the_tag_was_moved_meanwhile(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory, store = tmp_path_factory.mktemp("root"), InMemoryStore()

    def storage() -> StorageDriver:
        if name == "filesystem":
            return FilesystemStorage(str(directory))
        return InMemoryStorage(store)

    # Another replica, which moves the tag while the guard of the first one thinks.
    async with Registry(storage=storage()) as other:
        theirs = [
            (await other.repository("a").manifests.put(index(number))).digest for number in (10, 11)
        ]
        moves = iter(theirs)

        async def move(_: Operation) -> None:
            digest = next(moves, None)
            if digest is not None:
                await other.repository("a").tags.put("latest", digest)

        guard = Guard(move)
        async with Registry(storage=storage(), plugins=[guard]) as registry:
            ours = (await registry.repository("a").manifests.put(index(1), "latest")).digest
            assert await registry.repository("a").tags.get("latest") == ours
    assert [dict(item.current) for item in guard.seen] == [
        {},
        {"latest": theirs[0]},
        {"latest": theirs[1]},
    ]
    assert [event.tag for event in guard.events] == ["latest"]


async def test_one_of_many_gets_an_immutable_tag() -> None:
    async def immutable(operation: Operation) -> None:
        await asyncio.sleep(0.001)
        if any(digest != operation.target.digest for digest in operation.current.values()):
            raise Refused("the tag cannot be moved")

    store = InMemoryStore()
    registries = [
        Registry(storage=InMemoryStorage(store), plugins=[Guard(immutable)]) for _ in range(2)
    ]
    async with registries[0], registries[1]:
        done = await asyncio.gather(
            *(
                registries[number % 2].repository("a").manifests.put(index(number), "v1")
                for number in range(20)
            ),
            return_exceptions=True,
        )
        won = [item.digest for item in done if not isinstance(item, BaseException)]
        lost = [item for item in done if isinstance(item, RegistryError)]
        assert len(won) == 1
        assert len(lost) == 19
        assert {error.code for error in lost} == {DENIED}
        assert await registries[0].repository("a").tags.get("v1") == won[0]


async def test_a_tag_that_never_rests_is_given_up() -> None:
    store = InMemoryStore()
    async with Registry(storage=InMemoryStorage(store)) as other:
        for number in range(2):
            await other.repository("a").manifests.put(index(10 + number), f"n{number}")
        times = 0

        async def move(_: Operation) -> None:
            nonlocal times
            times += 1
            repository = other.repository("a")
            await repository.tags.put("latest", await repository.tags.get(f"n{times % 2}"))

        async with Registry(storage=InMemoryStorage(store), plugins=[Guard(move)]) as registry:
            with pytest.raises(StorageUnavailable, match="others keep moving the tags"):
                await registry.repository("a").manifests.put(index(1), "latest")
        assert times == 20
