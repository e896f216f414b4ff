"""What the operator allows, as plain values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from pyreg.content.media_types import FOREIGN_LAYERS
from pyreg.errors import MANIFEST_INVALID, UNSUPPORTED, RegistryError
from pyreg.hooks.events import Descriptor

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits and switches; the defaults are those of the Docker registry.

    Attributes:
        delete: Whether manifests, tags and blobs may be deleted.
        readonly: Whether every write is refused.
        validate: Whether a manifest's references must be in the repository.
        index_platforms: Which children of an index must be: `all`, `none`, or those of
            `platforms` (`list`).
        platforms: (os, architecture) pairs for `list`.
        url_allow: A descriptor's addresses must match one of these; with neither allow nor deny
            there may be no addresses at all.
        url_deny: ... and none of these.
        max_manifest: Bytes.
        max_tags: Tags in one page.
        max_repositories: Repositories in one page of the catalog.
        max_referrers: Descriptors in one page of referrers.
    """

    delete: bool = False
    readonly: bool = False
    validate: bool = True
    index_platforms: Literal["all", "none", "list"] = "all"
    platforms: frozenset[tuple[str, str]] = frozenset()
    url_allow: tuple[re.Pattern[str], ...] = field(default=())
    url_deny: tuple[re.Pattern[str], ...] = field(default=())
    max_manifest: int = 4 * MIB
    max_tags: int = 1000
    max_repositories: int = 1000
    max_referrers: int = 1000

    def require_writable(self) -> None:
        """Raises RegistryError (UNSUPPORTED, 405) while the registry is read-only."""
        if self.readonly:
            raise RegistryError(UNSUPPORTED, "the registry is read-only for maintenance")

    def require_deletable(self) -> None:
        """Raises RegistryError (UNSUPPORTED, 405) unless deletes are allowed."""
        self.require_writable()
        if not self.delete:
            raise RegistryError(
                UNSUPPORTED, "deletes are disabled; storage.delete.enabled: true allows them"
            )

    def required(self, descriptor: Descriptor) -> bool:
        """Whether what a descriptor of an image names must be in the repository."""
        return not (descriptor.urls and descriptor.media_type in FOREIGN_LAYERS)

    def required_child(self, descriptor: Descriptor) -> bool:
        """Whether what a descriptor of an index names must be in the repository."""
        if self.index_platforms != "list":
            return self.index_platforms == "all"
        platform = descriptor.platform or {}
        return (platform.get("os"), platform.get("architecture")) in self.platforms

    def check_urls(self, descriptors: Sequence[Descriptor]) -> None:
        """Raises RegistryError (MANIFEST_INVALID) for an address that is not allowed."""
        for descriptor in descriptors:
            for url in descriptor.urls:
                if not self._allowed(url):
                    raise RegistryError(
                        MANIFEST_INVALID,
                        "the manifest names an address that validation.manifests.urls does not "
                        "allow",
                        detail={"digest": descriptor.digest, "url": url[:512]},
                    )

    def _allowed(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment:
            return False
        if not self.url_allow and not self.url_deny:
            return False
        if self.url_allow and not any(pattern.search(url) for pattern in self.url_allow):
            return False
        return not any(pattern.search(url) for pattern in self.url_deny)
