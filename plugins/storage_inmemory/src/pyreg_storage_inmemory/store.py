"""What is stored: objects, an index of their keys, and unfinished uploads."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyreg.hooks import Entry, ObjectInfo, Page

Chunks = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """An object: what is known of it, and its bytes, which never change."""

    info: ObjectInfo
    chunks: Chunks


@dataclass(frozen=True, slots=True)
class Version:
    """What an upload holds after one `append`.

    A version says what it adds to the one before, of which it may keep only the beginning. So
    an `append` costs what it adds, and what was acknowledged stays as it was.

    Attributes:
        before: The version that it goes on from.
        offset: How many bytes of that one are kept.
        chunks: What follows.
        size: All bytes.
    """

    before: Version | None
    offset: int
    chunks: Chunks
    size: int

    def content(self) -> Chunks:
        """All chunks."""
        parts: list[Chunks] = []
        version: Version | None = self
        limit = self.size
        while version is not None:
            kept: list[bytes] = []
            room = limit - version.offset
            for chunk in version.chunks:
                if room <= 0:
                    break
                kept.append(chunk if len(chunk) <= room else chunk[:room])
                room -= len(chunk)
            parts.append(tuple(kept))
            limit = min(limit, version.offset)
            version = version.before
        return tuple(itertools.chain.from_iterable(reversed(parts)))


EMPTY = Version(None, 0, (), 0)


@dataclass(slots=True)
class Upload:
    """An unfinished upload: its versions, and whether somebody appends to it."""

    versions: list[Version] = field(default_factory=lambda: [EMPTY])
    busy: bool = False


class InMemoryStore:
    """Objects that any number of drivers share, all of them in one event loop."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, Upload] = {}
        self._keys: list[str] = []
        self._count = itertools.count(1)

    def set(self, key: str, chunks: Chunks) -> ObjectInfo:
        """Make or replace an object."""
        size = sum(map(len, chunks))
        info = ObjectInfo(size, f"{next(self._count):x}", time.time())
        self._set(key, Object(info, chunks))
        return info

    def move(self, src: str, dst: str) -> None:
        """Give an object, which has to exist, another key."""
        found = self.objects[src]
        self.remove(src)
        self._set(dst, found)

    def _set(self, key: str, item: Object) -> None:
        if key not in self.objects:
            insort(self._keys, key)
        self.objects[key] = item

    def remove(self, key: str) -> None:
        """Remove an object, if there is one."""
        if self.objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def page(self, prefix: str, delimited: bool, after: str, limit: int) -> Page:
        """See `StorageDriver.list`."""
        entries: list[Entry] = []
        for key in self._walk(prefix, delimited, after):
            if len(entries) == limit:
                return Page(entries, entries[-1].key)
            common = delimited and key.endswith("/")
            entries.append(Entry(key, None if common else self.objects[key].info))
        return Page(entries, None)

    def _walk(self, prefix: str, delimited: bool, after: str) -> Iterator[str]:
        keys = self._keys
        index = max(bisect_left(keys, prefix), bisect_right(keys, after))
        while index < len(keys) and keys[index].startswith(prefix):
            key = keys[index]
            slash = key.find("/", len(prefix)) if delimited else -1
            if slash < 0:
                yield key
                index += 1
                continue
            common = key[: slash + 1]
            if common > after:
                yield common
            index = bisect_left(keys, common[:-1] + "0")  # "0" follows "/"
