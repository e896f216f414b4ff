"""Listings in the order of the keys' bytes.

A directory sorts as its name with a "/" behind, so `a-b` < `a/` < `a0`, as in a store that knows
no directories. A walk goes down only where keys behind `after` can be.

Big directories are what makes a page slow: tens of thousands of tags must not be read and
sorted for each page of a hundred. Their sorted names are kept in a compact form (`Names`), for
as long as the directory's time says that they are true. A directory that is too big even for
that is read in full for each page, but only the names of the page are held.
"""

from __future__ import annotations

import heapq
import os
import re
import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import overload

from pyreg.hooks import Entry, Page
from pyreg_storage_filesystem.failures import ABSENT
from pyreg_storage_filesystem.tree import Tree, info_of

BUDGET = 16 * 1024 * 1024
"""Bytes of names that are kept, and the most that one directory may take."""
WORTH = 512
"""Names from which on a directory is kept; smaller ones are read anew each time."""
LONGEST = 1024
"""Bytes in a key, by the contract; it also ends walks through linked directories."""

_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")
_Identity = tuple[int, int]


class Names(Sequence[str]):
    """Sorted names in one string: a few bytes each instead of some seventy."""

    def __init__(self, names: Sequence[str]) -> None:
        self._text = "".join(names)
        self._ends = array("I")
        end = 0
        for name in names:
            end += len(name)
            self._ends.append(end)

    @property
    def weight(self) -> int:
        """Bytes in memory."""
        return len(self._text) + self._ends.itemsize * len(self._ends)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._text[self._ends[index - 1] if index else 0 : self._ends[index]]


class _Kept:
    """The names of big directories, the longest unused forgotten first."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, tuple[tuple[int, int, int], Names]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, path: str, version: tuple[int, int, int]) -> Names | None:
        with self._lock:
            found = self._names.get(path)
            if found is None or found[0] != version:
                return None
            self._names.move_to_end(path)
            return found[1]

    def put(self, path: str, version: tuple[int, int, int], names: Names) -> None:
        with self._lock:
            old = self._names.pop(path, None)
            if old is not None:
                self._weight -= old[1].weight
            self._names[path] = (version, names)
            self._weight += names.weight
            while self._weight > BUDGET:
                self._weight -= self._names.popitem(last=False)[1][1].weight


class Lister:
    """Makes the pages of a tree. Every method may block.

    Args:
        tree: Which.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._kept = _Kept()

    def page(self, prefix: str, delimited: bool, after: str, limit: int) -> Page:
        """See `StorageDriver.list`."""
        directory = self._tree.path(prefix.removesuffix("/")) if prefix else self._tree.root
        if after.startswith(prefix):
            found = self._walk(directory, prefix, delimited, after[len(prefix) :], limit + 1, ())
        elif after < prefix:
            found = self._walk(directory, prefix, delimited, "", limit + 1, ())
        else:
            found = iter(())
        entries = list(islice(found, limit + 1))
        if not entries and not self._tree.present():
            raise self._tree.vanished()
        more = len(entries) > limit
        del entries[limit:]
        return Page(entries, entries[-1].key if more else None)

    def _walk(
        self,
        directory: str,
        prefix: str,
        delimited: bool,
        after: str,
        limit: int,
        above: tuple[_Identity, ...],
    ) -> Iterator[Entry]:
        """The entries below a directory.

        Args:
            directory: Where.
            prefix: The keys of everything below begin so.
            delimited: Whether to show a directory as a common prefix, or what is in it.
            after: Only what follows this string, behind the prefix.
            limit: How many entries are of interest.
            above: The directories on the way here; a link back to one of them is not followed.
        """
        try:
            status = os.stat(directory)
        except OSError as error:
            if error.errno in ABSENT:
                return
            raise
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        head, slash, rest = after.partition("/")
        inside = slash and not delimited
        for name in self._names(directory, head + slash if inside else after, bool(inside), limit):
            key = prefix + name
            if len(key) > LONGEST:
                continue
            path = f"{directory}/{name}"
            if not name.endswith("/"):
                try:
                    yield Entry(key, info_of(os.stat(path)))
                except FileNotFoundError:
                    continue  # deleted since
            elif not delimited:
                deeper = rest if inside and name == head + slash else ""
                yield from self._walk(path[:-1], key, False, deeper, limit, (*above, identity))
            elif self._occupied(path, len(key), {identity}):
                yield Entry(key, None)

    def _occupied(self, directory: str, depth: int, linked: set[_Identity]) -> bool:
        """Whether there is an object below a directory.

        Args:
            directory: Where.
            depth: The length of the keys so far.
            linked: The targets of the links that were followed, so that none is twice.
        """
        below = []
        for name, entry in _scan(directory):
            if depth + len(name) > LONGEST:
                continue
            if not name.endswith("/"):
                return True
            if entry.is_symlink():
                status = entry.stat()
                identity = (status.st_dev, status.st_ino)
                if identity in linked:
                    continue
                linked.add(identity)
            below.append(name)
        return any(
            self._occupied(f"{directory}/{name}", depth + len(name), linked) for name in below
        )

    def _names(self, directory: str, start: str, inclusive: bool, limit: int) -> Iterator[str]:
        """The sorted names in a directory that follow `start`, or equal it if that is asked."""
        while True:
            names = self._sorted(directory)
            if names is not None:
                first = (bisect_left if inclusive else bisect_right)(names, start)
                for index in range(first, len(names)):
                    yield names[index]
                return
            behind = (
                name
                for name, _ in _scan(directory)
                if name > start or (inclusive and name == start)
            )
            page = heapq.nsmallest(limit, behind)
            yield from page
            if len(page) < limit:
                return
            # The consumer skipped some of them: go on behind the last.
            start, inclusive = page[-1], False

    def _sorted(self, directory: str) -> Sequence[str] | None:
        """All names, sorted; None if there are too many to be held."""
        try:
            before = os.stat(directory)
        except OSError as error:
            if error.errno in ABSENT:
                return ()
            raise
        version = (before.st_dev, before.st_ino, before.st_mtime_ns)
        kept = self._kept.get(directory, version)
        if kept is not None:
            return kept
        began = time.time_ns()
        names: list[str] = []
        weight = 0
        for name, _ in _scan(directory):
            names.append(name)
            weight += len(name) + 4
            if weight > BUDGET:
                return None
        names.sort()
        if len(names) < WORTH:
            return names
        compact = Names(names)
        if began - before.st_mtime_ns > _tick(before.st_mtime_ns):
            self._kept.put(directory, version, compact)
        return compact


def _tick(mtime: int) -> int:
    """How long, in nanoseconds, a directory may change without a change of its time.

    Kernels tick every few milliseconds; old filesystems keep whole seconds, or two.
    """
    return 2_500_000_000 if mtime % 1_000_000_000 == 0 else 100_000_000


def _scan(directory: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The names that can be part of a key; directories with a "/" behind."""
    try:
        entries = os.scandir(directory)
    except OSError as error:
        if error.errno in ABSENT:
            return
        raise
    with entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) is None:
                continue
            try:
                if entry.is_dir():
                    yield entry.name + "/", entry
                elif entry.is_file():
                    yield entry.name, entry
            except OSError as error:  # a link in a circle, or to nowhere
                if error.errno not in ABSENT:
                    raise
