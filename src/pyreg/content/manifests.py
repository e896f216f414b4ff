"""Manifests of one repository."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from pyreg.content import layout, tags
from pyreg.content.digest import Digest, same
from pyreg.content.journal import Caller
from pyreg.content.listing import entries
from pyreg.content.manifest import Manifest, parse
from pyreg.content.names import check_tag, parse_reference
from pyreg.content.referrers import Referrers
from pyreg.content.store import DamagedContent, Store
from pyreg.errors import (
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_TOO_LARGE,
    MANIFEST_UNKNOWN,
    PRECONDITION_FAILED,
    ErrorItem,
    RegistryError,
)
from pyreg.hooks.events import Descriptor, Operation

log = logging.getLogger("pyreg.content")

_LARGE = 128 * 1024  # bytes of a manifest that is not read between other requests
_TURN = 50  # references that are looked up before others get their turn


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as a client gets it.

    Attributes:
        digest: Its name.
        media_type: For the Content-Type.
        payload: Exactly the bytes that were pushed.
        tag: The tag that it was found by, or "".
    """

    digest: Digest
    media_type: str
    payload: bytes
    tag: str = ""


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """What became of a push.

    Attributes:
        digest: The manifest's name.
        tags: The tags that now point at it.
        subject: The digest of its subject, or None.
    """

    digest: Digest
    tags: tuple[str, ...]
    subject: Digest | None


class Manifests:
    """The manifests of one repository; see `Repository.manifests`."""

    __slots__ = ("_caller", "_name", "_store")

    def __init__(self, store: Store, name: str, caller: Caller) -> None:
        self._store = store
        self._name = name
        self._caller = caller

    async def get(self, reference: str) -> StoredManifest:
        """A manifest by tag or digest.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, DIGEST_INVALID, TAG_INVALID.
        """
        store, name = self._store, self._name
        parsed = parse_reference(reference)
        if isinstance(parsed, Digest):
            digest, tag = parsed, ""
        else:
            found = await store.link(layout.tag_link(name, parsed))
            if found is None:
                raise tags.unknown_tag(parsed)
            digest, tag = found, parsed
        if not await self._has_revision(digest):
            raise _unknown(digest)
        stored = await store.manifest(digest)
        if stored is None:
            raise _unknown(digest)
        payload, media_type = stored
        if store.journal.wants_pulls:
            self._pulled(Descriptor(media_type, digest, len(payload)), tag, payload)
        return StoredManifest(digest, media_type, payload, tag)

    def _pulled(self, target: Descriptor, tag: str, payload: bytes) -> None:
        references: tuple[Descriptor, ...] = ()
        if self._store.journal.wants_references and len(payload) <= _LARGE:
            try:
                references = parse(payload, target.media_type).references
            except RegistryError as error:  # stored by another registry, and served as it is
                log.debug("%s: what it refers to cannot be told: %s", target.digest, error)
        operation = Operation(
            "pull", "manifest", self._name, target, (tag,) if tag else (), references=references
        )
        self._store.journal.pulled(operation, self._caller)

    async def put(
        self,
        payload: bytes,
        reference: str | None = None,
        *,
        media_type: str | None = None,
        tag: str | Sequence[str] = (),
        expected: Callable[[str | None], bool] | None = None,
    ) -> PushedManifest:
        """Store a manifest, durably, and point tags at it.

        OCI distribution specification, "Pushing Manifests".

        Args:
            payload: Its bytes, which are kept as they are.
            reference: A tag, or the digest that the bytes must have; None for neither.
            media_type: The Content-Type; None if the manifest itself says what it is.
            tag: Tags besides the reference.
            expected: Asked with the digest that the reference leads to at the moment of the
                commit, or None; False refuses the push.

        Raises:
            RegistryError: MANIFEST_INVALID (413 if too large), DIGEST_INVALID, TAG_INVALID,
                MANIFEST_BLOB_UNKNOWN for each missing reference, UNSUPPORTED while read-only,
                PRECONDITION_FAILED, or whatever a guard refuses with.
        """
        store, name, rules = self._store, self._name, self._store.rules
        rules.require_writable()
        parsed = None if reference is None else parse_reference(reference)
        extra = [check_tag(item) for item in ([tag] if isinstance(tag, str) else tag)]
        if len(payload) > rules.max_manifest:
            raise RegistryError(
                MANIFEST_TOO_LARGE, f"a manifest has at most {rules.max_manifest} bytes"
            )
        if len(payload) > _LARGE:
            manifest = await asyncio.to_thread(parse, payload, media_type)
        else:
            manifest = parse(payload, media_type)
        if isinstance(parsed, Digest):
            digest = Digest.of(payload, parsed.algorithm)
            if not same(digest, parsed):
                raise RegistryError(
                    DIGEST_INVALID,
                    "the manifest has another digest",
                    detail={"digest": parsed, "computed": digest},
                )
        else:
            digest = Digest.of(payload)
            if parsed is not None:
                extra.insert(0, parsed)
        names = tuple(dict.fromkeys(extra))
        await self._check_references(manifest)
        operation = Operation(
            "push",
            "manifest",
            name,
            Descriptor(
                manifest.media_type,
                digest,
                len(payload),
                artifact_type=manifest.artifact_type,
                annotations=manifest.annotations,
            ),
            tags=names,
            manifest=manifest.document,
            references=manifest.references,
        )
        async for move in tags.moves(store, operation, looking=expected is not None):
            with move:
                if expected is not None:
                    await self._check_expected(expected, parsed, move.operation)
                async with store.journal.writing(move.operation, self._caller) as intent:
                    # In this order, each step durable: whatever is visible is whole.
                    await store.put_content(digest, payload)
                    await intent.recorded()
                    if manifest.subject:
                        await Referrers(store, name).add(manifest, digest)
                    await store.put_link(layout.revision_link(name, digest), digest)
                    for item in names:
                        await move.point(item, digest)
                    if await store.link(layout.revision_link(name, digest)) is None:
                        # Deleted at the same time; what is acknowledged last is the push.
                        await store.put_link(layout.revision_link(name, digest), digest)
        subject = Digest(manifest.subject.digest) if manifest.subject else None
        return PushedManifest(digest, names, subject)

    async def delete(self, reference: str) -> None:
        """Delete a manifest and the tags that point at it; or, by tag, that tag alone.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, DIGEST_INVALID, TAG_INVALID, UNSUPPORTED where
                deletes are disabled, or whatever a guard refuses with.
        """
        store, name = self._store, self._name
        store.rules.require_deletable()
        digest = parse_reference(reference)
        if not isinstance(digest, Digest):
            await tags.Tags(store, name, self._caller).delete(digest)
            return
        revision = layout.revision_link(name, digest)
        if await store.link(revision) is None:
            raise _unknown(digest)
        manifest = await self._decoded(digest)
        going = [tag async for tag in tags.pointing_at(store, name, digest)]
        operation = Operation(
            "delete",
            "manifest",
            name,
            Descriptor(
                manifest.media_type if manifest else "",
                digest,
                len(manifest.payload) if manifest else 0,
            ),
            tags=tuple(going),
            current=dict.fromkeys(going, str(digest)),
        )
        async with store.journal.writing(operation, self._caller) as intent:
            await intent.recorded()
            # Tags first: a tag in the list must always lead to a manifest.
            for tag in going:
                if await tags.leads_to(store, name, tag, digest):  # not moved meanwhile
                    await tags.remove(store, name, tag)
            await store.driver.delete(revision)
            async for tag in tags.pointing_at(store, name, digest):
                if await store.link(revision) is None:  # not pushed again meanwhile
                    await tags.remove(store, name, tag)
            if manifest and manifest.subject:
                await Referrers(store, name).remove(Digest(manifest.subject.digest), digest)

    async def _decoded(self, digest: Digest) -> Manifest | None:
        """A stored manifest; None for one that cannot be read. It can still be deleted."""
        try:
            stored = await self._store.manifest(digest)
            return parse(stored[0]) if stored else None
        except (DamagedContent, RegistryError):
            return None

    async def list(self) -> AsyncIterator[Digest]:
        """Every manifest of the repository, by algorithm and digits."""
        prefix = layout.revisions(self._name)
        async for entry in entries(self._store.driver, prefix):
            digest = layout.parse_link(prefix, entry.key)
            if digest is not None:
                yield digest

    async def _check_expected(
        self,
        expected: Callable[[str | None], bool],
        reference: Digest | str | None,
        operation: Operation,
    ) -> None:
        current: str | None
        if isinstance(reference, Digest):
            current = reference if await self._has_revision(reference) else None
        else:
            current = None if reference is None else operation.current.get(reference)
        if not expected(current):
            raise RegistryError(PRECONDITION_FAILED, detail={"current": current})

    async def _check_references(self, manifest: Manifest) -> None:
        name, rules = self._name, self._store.rules
        if not rules.validate:
            return
        rules.check_urls(manifest.references)
        missing: list[ErrorItem] = []
        wanted = {item.digest: item for item in manifest.references}
        for number, (digest, descriptor) in enumerate(wanted.items(), 1):
            if number % _TURN == 0:
                await asyncio.sleep(0)  # local drivers answer without a pause
            child = bool(manifest.manifests)
            if not (rules.required_child if child else rules.required)(descriptor):
                continue
            if not await self._has(Digest(digest), manifest=child):
                missing.append(
                    ErrorItem(
                        MANIFEST_BLOB_UNKNOWN,
                        f"{'manifest' if child else 'blob'} unknown to {name}",
                        {"digest": digest, "mediaType": descriptor.media_type},
                    )
                )
        if missing:
            first, *more = missing[:100]
            raise RegistryError(first.code, first.message, detail=first.detail, more=more)

    async def _has(self, digest: Digest, *, manifest: bool) -> bool:
        link = layout.revision_link if manifest else layout.layer_link
        stored = await self._store.link(link(self._name, digest))
        return stored is not None and await self._store.blob_info(stored) is not None

    async def _has_revision(self, digest: Digest) -> bool:
        """Whether the repository has a manifest.

        The Docker registry 2.1.0 linked manifests where layers are linked; its successors find
        them there, too.
        """
        store, name = self._store, self._name
        if await store.link(layout.revision_link(name, digest)) is not None:
            return True
        if await store.link(layout.layer_link(name, digest)) != digest:
            return False
        info = await store.blob_info(digest)
        return info is not None and info.size <= store.rules.max_manifest


def _unknown(digest: Digest) -> RegistryError:
    return RegistryError(MANIFEST_UNKNOWN, detail={"digest": digest})
