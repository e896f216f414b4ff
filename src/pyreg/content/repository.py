"""A repository: manifests, tags, blobs, referrers and uploads under one name."""

from __future__ import annotations

from pyreg.content.blobs import Blobs
from pyreg.content.journal import NOBODY, Caller
from pyreg.content.manifests import Manifests
from pyreg.content.referrers import Referrers
from pyreg.content.store import Store
from pyreg.content.tags import Tags
from pyreg.content.uploads import Uploads


class Repository:
    """One repository, on behalf of one caller. Cheap to make; it need not exist yet.

    Args:
        store: Where it lies.
        all_uploads: The uploads of the store.
        name: A checked name.
        caller: On whose behalf; guards and events see it.
    """

    __slots__ = ("_caller", "_store", "_uploads", "name")

    def __init__(
        self, store: Store, all_uploads: Uploads, name: str, caller: Caller = NOBODY
    ) -> None:
        self.name = name
        self._store = store
        self._uploads = all_uploads
        self._caller = caller

    @property
    def manifests(self) -> Manifests:
        """Its manifests."""
        return Manifests(self._store, self.name, self._caller)

    @property
    def tags(self) -> Tags:
        """Its tags."""
        return Tags(self._store, self.name, self._caller)

    @property
    def blobs(self) -> Blobs:
        """Its blobs."""
        return Blobs(self._store, self._uploads, self.name, self._caller)

    @property
    def referrers(self) -> Referrers:
        """Which manifests refer to which."""
        return Referrers(self._store, self.name)
