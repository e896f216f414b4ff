"""The store that all repositories of a registry share, and what is remembered of it."""

from __future__ import annotations

from pyreg.content import layout
from pyreg.content.digest import Digest, same
from pyreg.content.journal import Journal
from pyreg.content.manifest import sniff
from pyreg.content.memory import Memory
from pyreg.content.rules import Rules
from pyreg.errors import MANIFEST_UNKNOWN, ObjectNotFound, RegistryError, StorageError
from pyreg.hooks.storage import ABSENT, ANY, Condition, Match, ObjectInfo, StorageDriver

SMALL_BLOB = 64 * 1024
"""Blobs up to this many bytes (configurations, mostly) are remembered whole."""

_LINK_COST = 700  # a key, an etag, a digest and their places in the map, measured


class DamagedContent(StorageError):
    """What is stored under a digest does not have that digest."""


class Store:
    """Content by digest, links and tags, over one driver.

    Immutable things are remembered, within a budget: the bytes under a digest, the digest in a
    link as long as the link's etag stays. Whether a link (a tag, a revision, a layer) is still
    there, and the same, is asked anew each time; drivers answer that without reading it.

    Args:
        driver: An open driver.
        rules: What the operator allows.
        journal: Who takes part in writes.
        memory: Bytes to remember, over all kinds.
    """

    def __init__(
        self, driver: StorageDriver, rules: Rules, journal: Journal, *, memory: int = 32 << 20
    ) -> None:
        self.driver = driver
        self.rules = rules
        self.journal = journal
        self._contents: Memory[Digest, bytes] = Memory(memory // 2)
        self._types: Memory[Digest, str] = Memory(memory // 4)
        self._links: Memory[str, tuple[str, Digest]] = Memory(memory // 4)

    async def link(self, key: str) -> Digest | None:
        """The digest that a link holds now; None if there is no link.

        Raises:
            DamagedContent: it holds something else.
        """
        known = self._links.get(key)
        try:
            found = await self.driver.get(key, unless=known[0] if known else None)
        except ObjectNotFound:
            if known:
                self._links.forget(key)
            return None
        if found is None:
            assert known is not None
            return known[1]
        try:
            digest = Digest.parse(found.data[:256].decode("ascii").strip())
        except (RegistryError, UnicodeDecodeError):
            raise DamagedContent("a link that holds no digest", key=key) from None
        if found.info.etag is not None:
            self._links.put(key, (found.info.etag, digest), _LINK_COST)
        return digest

    async def has_link(self, key: str) -> bool:
        """Whether there is a link, whatever it holds."""
        try:
            await self.driver.stat(key)
        except ObjectNotFound:
            return False
        return True

    async def link_condition(self, key: str) -> Condition:
        """The condition under which a link is as it is now; asked before `link`."""
        try:
            etag = (await self.driver.stat(key)).etag
        except ObjectNotFound:
            return ABSENT
        return ANY if etag is None else Match(etag)

    async def put_link(self, key: str, digest: Digest, when: Condition = ANY) -> None:
        """Point a link at a digest, durably.

        Raises:
            PreconditionFailed: the link is not as `when` wants it.
        """
        await self.driver.put(key, digest.encode("ascii"), when=when)

    async def manifest(self, digest: Digest) -> tuple[bytes, str] | None:
        """The bytes and media type of a stored manifest, verified; None if they are gone.

        Raises:
            DamagedContent: what is stored has another digest.
            RegistryError: MANIFEST_UNKNOWN for one that another registry took and that this one
                cannot serve, such as Docker's schema 1.
        """
        data = await self.content(digest)
        if data is None:
            return None
        media_type = self._types.get(digest)
        if media_type is None:
            try:
                media_type = sniff(data)
            except RegistryError as error:
                raise RegistryError(
                    MANIFEST_UNKNOWN, error.message, detail={"digest": digest}
                ) from None
            self._types.put(digest, media_type, _LINK_COST)
        return data, media_type

    async def content(self, digest: Digest) -> bytes | None:
        """The bytes of small content, verified; None if they are gone.

        Raises:
            DamagedContent: what is stored has another digest.
        """
        known = self._contents.get(digest)
        if known is not None:
            return known
        key = layout.blob_data(digest)
        try:
            found = await self.driver.get(key)
        except ObjectNotFound:
            return None
        assert found is not None
        if not same(Digest.of(found.data, digest.algorithm), digest):
            raise DamagedContent("the stored bytes do not have this digest", key=key)
        self._contents.put(digest, found.data, len(found.data) + _LINK_COST)
        return found.data

    async def blob_info(self, digest: Digest) -> ObjectInfo | None:
        """Size and age of content; None if there is none."""
        try:
            return await self.driver.stat(layout.blob_data(digest))
        except ObjectNotFound:
            return None

    async def put_content(self, digest: Digest, data: bytes) -> None:
        """Store small content whose digest has been verified, durably.

        Also when it is there already: what another program wrote may be torn, or not yet on
        stable storage.
        """
        await self.driver.put(layout.blob_data(digest), data)
