"""Referrers of one repository: which manifests name another one as their subject.

OCI distribution specification, "Listing Referrers" and "Enabling the Referrers API". The Docker
registry stores manifests with a subject but keeps no list of them; `index` makes up for that,
by itself when a repository's referrers are first asked for, or at any time by `pyreg reindex`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.content.manifest import Manifest, parse
from pyreg.content.store import DamagedContent, Store
from pyreg.errors import ObjectNotFound, RegistryError, StorageDenied

MAX_PAGE_BYTES = 4 << 20
"""A page of referrers is an image index, which clients expect to stay below this."""


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Part of a referrers list.

    Attributes:
        descriptors: JSON-ready descriptors.
        last: Pass it as `last` for the next page; None when this is the last one.
    """

    descriptors: tuple[Mapping[str, Any], ...]
    last: str | None


class Referrers:
    """The referrers of one repository; see `Repository.referrers`."""

    __slots__ = ("_name", "_store")

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name

    async def list(
        self,
        digest: str,
        *,
        artifact_type: str | None = None,
        limit: int | None = None,
        last: str = "",
    ) -> ReferrersPage:
        """Manifests whose subject is a digest; the subject itself need not exist.

        Args:
            digest: The subject.
            artifact_type: Only those of this type.
            limit: At most so many; never more than the configured most.
            last: Go on behind this one (`ReferrersPage.last`).

        Raises:
            RegistryError: DIGEST_INVALID.
        """
        subject = Digest.parse(digest)
        indexed = await self._index_once()
        most = self._store.rules.max_referrers
        limit = most if limit is None else min(limit, most)
        found: list[Mapping[str, Any]] = []
        size = 0
        source = self._listed(subject, last) if indexed else self._searched(subject, last)
        async for descriptor in source:
            if artifact_type is not None and descriptor.get("artifactType") != artifact_type:
                continue
            size += len(json.dumps(descriptor))
            if len(found) >= limit or (found and size > MAX_PAGE_BYTES):
                return ReferrersPage(tuple(found), _name_of(found[-1]) if found else None)
            found.append(descriptor)
        return ReferrersPage(tuple(found), None)

    async def _listed(self, subject: Digest, last: str) -> AsyncIterator[Mapping[str, Any]]:
        """The descriptors of a subject's referrers, from the index."""
        prefix = layout.referrers(self._name, subject)
        after: str | None = prefix + last if last else ""
        while after is not None:
            page = await self._store.driver.list(prefix, after=after)
            for entry in page.entries:
                descriptor = await self._descriptor(entry.key)
                if descriptor is not None:
                    yield descriptor
            after = page.after

    async def _searched(self, subject: Digest, last: str) -> AsyncIterator[Mapping[str, Any]]:
        """The same where there is no index and none can be written: every manifest is read."""
        found: dict[str, Mapping[str, Any]] = {}
        async for manifest, digest in self._with_subject():
            assert manifest.subject is not None
            if manifest.subject.digest == subject:
                descriptor = _descriptor_of(manifest, digest)
                found[_name_of(descriptor)] = descriptor
        for name in sorted(found):
            if name > last:
                yield found[name]

    async def _descriptor(self, key: str) -> Mapping[str, Any] | None:
        """A descriptor, if the repository still has the manifest."""
        try:
            stored = await self._store.driver.get(key)
        except ObjectNotFound:
            return None
        assert stored is not None
        try:
            descriptor: dict[str, Any] = json.loads(stored.data)
            digest = Digest.parse(descriptor["digest"])
        except (ValueError, KeyError, TypeError, RegistryError):
            raise DamagedContent("no descriptor of a referrer", key=key) from None
        if await self._store.link(layout.revision_link(self._name, digest)) is None:
            return None
        return descriptor

    async def add(self, manifest: Manifest, digest: Digest) -> None:
        """Enter a manifest that has a subject, durably."""
        assert manifest.subject is not None
        await self._store.driver.put(
            layout.referrer(self._name, Digest(manifest.subject.digest), digest),
            json.dumps(_descriptor_of(manifest, digest), separators=(",", ":")).encode(),
        )

    async def remove(self, subject: Digest, digest: Digest) -> None:
        """Take a manifest out of its subject's list."""
        await self._store.driver.delete(layout.referrer(self._name, subject, digest))

    async def index(self) -> int:
        """Look through all manifests of the repository for subjects.

        Returns:
            How many have one.
        """
        count = 0
        async for manifest, digest in self._with_subject():
            await self.add(manifest, digest)
            count += 1
        await self._store.driver.put(layout.referrers_indexed(self._name), b"1")
        return count

    async def _with_subject(self) -> AsyncIterator[tuple[Manifest, Digest]]:
        """Every manifest of the repository that has a subject."""
        prefix = layout.revisions(self._name)
        after: str | None = ""
        while after is not None:
            page = await self._store.driver.list(prefix, after=after)
            for entry in page.entries:
                digest = layout.parse_link(prefix, entry.key)
                manifest = await self._decoded(digest) if digest is not None else None
                if digest is not None and manifest is not None and manifest.subject is not None:
                    yield manifest, digest
            await asyncio.sleep(0)  # local drivers answer without a pause, others want a turn
            after = page.after

    async def _decoded(self, digest: Digest) -> Manifest | None:
        try:
            stored = await self._store.manifest(digest)
            return parse(stored[0]) if stored else None
        except (DamagedContent, RegistryError):
            return None  # schema 1, or damaged: cannot be pulled, cannot refer to anything

    async def _index_once(self) -> bool:
        """Whether the index is complete; it is made now if need be, and if it may be written."""
        if await self._store.has_link(layout.referrers_indexed(self._name)):
            return True
        revisions = await self._store.driver.list(layout.revisions(self._name), limit=1)
        if not revisions.entries:
            return True  # and nothing is left behind for a name that nobody pushed to
        if self._store.rules.readonly:
            return False
        try:
            await self.index()
        except StorageDenied:  # a read-only medium
            return False
        return True


def _descriptor_of(manifest: Manifest, digest: Digest) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": len(manifest.payload),
    }
    if manifest.artifact_type:
        descriptor["artifactType"] = manifest.artifact_type
    if manifest.annotations:
        descriptor["annotations"] = manifest.annotations
    return descriptor


def _name_of(descriptor: Mapping[str, Any]) -> str:
    digest = Digest(descriptor["digest"])
    return f"{digest.algorithm}-{digest.encoded}"
