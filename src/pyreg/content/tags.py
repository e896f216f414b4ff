"""Tags of one repository."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.content.journal import Caller
from pyreg.content.names import check_tag, is_tag
from pyreg.content.order import children
from pyreg.content.store import DamagedContent, Store
from pyreg.errors import (
    MANIFEST_UNKNOWN,
    NAME_UNKNOWN,
    PreconditionFailed,
    RegistryError,
    StorageUnavailable,
)
from pyreg.hooks.events import Descriptor, Operation
from pyreg.hooks.storage import ANY, Condition

log = logging.getLogger("pyreg.content")

_ATTEMPTS = 20  # to move a tag that others move, too


@dataclass(frozen=True, slots=True)
class NamePage:
    """Part of a list of names.

    Attributes:
        names: In the order of their bytes.
        more: Whether names follow; ask again with `last` set to the last of these.
    """

    names: tuple[str, ...]
    more: bool


class Tags:
    """The tags of one repository; see `Repository.tags`."""

    __slots__ = ("_caller", "_name", "_store")

    def __init__(self, store: Store, name: str, caller: Caller) -> None:
        self._store = store
        self._name = name
        self._caller = caller

    async def get(self, tag: str) -> Digest:
        """The digest that a tag points at.

        Raises:
            RegistryError: TAG_INVALID, MANIFEST_UNKNOWN.
        """
        digest = await self._store.link(layout.tag_link(self._name, check_tag(tag)))
        if digest is None:
            raise unknown_tag(tag)
        return digest

    async def list(self, *, limit: int | None = None, last: str = "") -> NamePage:
        """Tags in the order of their bytes (OCI distribution specification, "Listing Tags").

        Args:
            limit: At most so many; never more than `tags.maxtags`, which is also the default.
            last: Only tags behind this one.

        Raises:
            RegistryError: NAME_UNKNOWN, if the repository has neither manifests nor blobs.
        """
        most = self._store.rules.max_tags
        limit = most if limit is None else min(limit, most)
        names: list[str] = []
        if limit > 0:

            async def there(tag: str) -> bool:
                return await self._store.has_link(layout.tag_link(self._name, tag))

            async for tag, below in children(
                self._store.driver,
                layout.tags(self._name),
                last=last,
                after=last,
                batch=min(limit + 1, 1000),
                valid=is_tag,
                exists=there,
            ):
                # A process that was killed may have left a tag's index without the tag itself.
                # Where a look costs nothing, it is not even listed.
                if not below and (not self._store.driver.capabilities.local or await there(tag)):
                    names.append(tag)
                    if len(names) > limit:
                        break
        if not names and not await exists(self._store, self._name):
            raise RegistryError(NAME_UNKNOWN, detail={"name": self._name})
        return NamePage(tuple(names[:limit]), len(names) > limit)

    async def put(self, tag: str, digest: str) -> None:
        """Point a tag at a manifest of the repository, durably.

        Raises:
            RegistryError: TAG_INVALID, DIGEST_INVALID, MANIFEST_UNKNOWN, UNSUPPORTED while
                read-only, or whatever a guard refuses with.
        """
        check_tag(tag)
        target = Digest.parse(digest)
        self._store.rules.require_writable()
        stored = await self._store.manifest(target)
        revision = await self._store.link(layout.revision_link(self._name, target))
        if stored is None or revision is None:
            raise RegistryError(MANIFEST_UNKNOWN, detail={"digest": target})
        data, media_type = stored
        operation = Operation(
            "push",
            "manifest",
            self._name,
            Descriptor(media_type, target, len(data)),
            tags=(tag,),
        )
        async for move in moves(self._store, operation):
            with move:
                async with self._store.journal.writing(move.operation, self._caller) as intent:
                    await intent.recorded()
                    await move.point(tag, target)

    async def delete(self, tag: str) -> None:
        """Delete a tag; the manifest stays.

        Raises:
            RegistryError: TAG_INVALID, MANIFEST_UNKNOWN if there is no such tag, UNSUPPORTED
                where deletes are disabled, or whatever a guard refuses with.
        """
        self._store.rules.require_deletable()
        current: dict[str, str] = {}
        try:
            current[tag] = await self.get(tag)
        except DamagedContent as error:
            log.warning("%s is deleted: %s", error.key, error.message)
        operation = Operation(
            "delete",
            "tag",
            self._name,
            Descriptor("", current.get(tag, ""), 0),
            tags=(tag,),
            current=current,
        )
        async with self._store.journal.writing(operation, self._caller) as intent:
            await intent.recorded()
            await remove(self._store, self._name, tag)


class Move:
    """One attempt to point tags at a manifest; see `moves`.

    Used as a context manager, it notes when somebody else was faster.

    Attributes:
        operation: For the guards, with where the tags point now.
        done: Whether nobody was faster.
    """

    def __init__(
        self, store: Store, operation: Operation, conditions: Mapping[str, Condition]
    ) -> None:
        self.operation = operation
        self.done = False
        self._store = store
        self._conditions = conditions

    async def point(self, tag: str, digest: Digest) -> None:
        """Move a tag. `current` is what makes it visible; the index only remembers.

        Raises:
            PreconditionFailed: it is not where the guards were told that it is.
        """
        store, name = self._store, self.operation.repository
        current, index = layout.tag_link(name, tag), layout.tag_index_link(name, tag, digest)
        await store.put_link(current, digest, self._conditions.get(tag, ANY))
        await store.put_link(index, digest)
        if await store.link(current) is None:
            # Deleted by another request, before the index was there to be deleted with it.
            await store.driver.delete(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.done = kind is None
        return kind is not None and issubclass(kind, PreconditionFailed)


async def moves(
    store: Store, operation: Operation, *, looking: bool = False
) -> AsyncIterator[Move]:
    """Attempts to point the tags of an operation at its target, until one is done.

    What a guard has allowed must be what is committed: where guards are asked, a tag moves only
    from where they were told that it points, and whenever another request was faster, they are
    asked again.

    Args:
        store: Where the tags are.
        operation: The push.
        looking: Do so without guards, too, since the client has a condition.

    Raises:
        StorageUnavailable: others keep moving the tags.
    """
    looking = looking or store.journal.guarded
    name = operation.repository
    for _ in range(_ATTEMPTS):
        conditions: dict[str, Condition] = {}
        current: dict[str, str] = {}
        for tag in operation.tags if looking else ():
            key = layout.tag_link(name, tag)
            conditions[tag] = await store.link_condition(key)
            try:
                digest = await store.link(key)
            except DamagedContent:
                continue  # a push is what mends it
            if digest is not None:
                current[tag] = digest
        move = Move(store, replace(operation, current=current), conditions)
        yield move
        if move.done:
            return
    raise StorageUnavailable("others keep moving the tags", key=layout.tags(name))


async def remove(store: Store, name: str, tag: str) -> None:
    """Delete everything about a tag, its visible part last, so that it never half exists."""
    current = layout.tag_link(name, tag)
    await _clear(store, name, tag)
    await store.driver.delete(current)
    if await store.link(current) is None:
        # Once more, for the index of a push whose `current` was deleted just now.
        await _clear(store, name, tag)


async def _clear(store: Store, name: str, tag: str) -> None:
    """Delete what a tag's index remembers."""
    directory, current = layout.tag_directory(name, tag), layout.tag_link(name, tag)
    after: str | None = ""
    while after is not None:
        page = await store.driver.list(directory, after=after)
        await store.driver.delete_many(
            [entry.key for entry in page.entries if entry.key != current]
        )
        after = page.after


async def exists(store: Store, name: str) -> bool:
    """Whether a repository has manifests or blobs."""
    for prefix in (layout.manifests(name), layout.layers(name)):
        if (await store.driver.list(prefix, limit=1)).entries:
            return True
    return False


def unknown_tag(tag: str) -> RegistryError:
    """The error for a tag that is not there."""
    return RegistryError(MANIFEST_UNKNOWN, detail={"tag": tag[:128]})


async def leads_to(store: Store, name: str, tag: str, digest: Digest) -> bool:
    """Whether a tag points at a manifest now."""
    try:
        return await store.link(layout.tag_link(name, tag)) == digest
    except DamagedContent as error:  # it points at nothing, so not at this manifest
        log.warning("%s is passed over: %s", error.key, error.message)
        return False


async def pointing_at(store: Store, name: str, digest: Digest) -> AsyncIterator[str]:
    """Every tag that points at a manifest; the layout has no shorter way than to ask each."""
    prefix = layout.tags(name)
    after: str | None = ""
    while after is not None:
        page = await store.driver.list(prefix, delimiter="/", after=after)
        for entry in page.entries:
            tag = entry.key[len(prefix) : -1]
            if is_tag(tag) and await leads_to(store, name, tag, digest):
                yield tag
        await asyncio.sleep(0)  # local drivers answer without a pause, others want a turn
        after = page.after
