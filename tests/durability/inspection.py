"""What must be true of a registry at a moment at which nobody changes it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from pyreg import Registry
from pyreg.content.purge import Purger
from pyreg_storage_filesystem import FilesystemStorage
from tests.durability.ledger import Key, Ledger
from tests.fixtures.wire import OCI_MANIFEST, sha256

_PATHS = {"blob": "blobs", "manifest": "manifests", "tag": "manifests"}
_OLD = 200  # things without news that are read again each time, of each kind


class Inspector:
    """Compares what a server shows with what a ledger knows.

    Args:
        url: Of the server.
        ledger: What clients were told.
        chance: Chooses among what is to be looked at again.
    """

    def __init__(self, url: str, ledger: Ledger, chance: random.Random) -> None:
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)
        self._ledger = ledger
        self._chance = chance

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def inspect(self, *, everything: bool = False) -> None:
        """Compare; nothing may be under way.

        Args:
            everything: Read again whatever there ever was; otherwise what clients had to do with
                since the last time, and some of the rest.

        Raises:
            AssertionError: with what was lost, damaged, half there, or came back.
        """
        keys = [key for kind in _PATHS for key in self._chosen(kind, everything)]
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(self._look, keys):
                pass
        self._ledger.settle()
        present = {
            kind: [key for key in self._ledger.keys(kind) if self._present(key)] for kind in _PATHS
        }
        self._check_lists(present["manifest"], present["tag"])
        self._check_references(present["manifest"], present["blob"])

    def _chosen(self, kind: str, everything: bool) -> list[Key]:
        """All that clients had to do with since the last time, and some of the rest."""
        keys = self._ledger.keys(kind)
        touched = [key for key in keys if self._ledger.touched(key)]
        others = keys[len(touched) :]
        return touched + (
            others if everything else self._chance.sample(others, min(_OLD, len(others)))
        )

    def _present(self, key: Key) -> bool:
        return self._ledger.values(key) != {None}

    def _look(self, key: Key) -> None:
        """Read one thing, every byte of it, and tell the ledger."""
        operation = self._ledger.begin(key, None, kind="read", note="inspection")
        path = f"/v2/{key.repository}/{_PATHS[key.kind]}/{key.name}"
        answer = self._http.get(path, headers={"Accept": OCI_MANIFEST})
        if answer.status_code == 404:
            self._ledger.saw(key, operation, None)
            return
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text}"
        digest = answer.headers["docker-content-digest"]
        known = digest in self._ledger.contents
        assert known, f"{path} leads to {digest}, which nobody ever sent"
        assert sha256(answer.content) == digest, f"{path} was damaged"
        self._ledger.saw(key, operation, digest)

    def _check_lists(self, manifests: list[Key], tags: list[Key]) -> None:
        """The catalog and the tags are what is there, in order, in pages of every size."""
        repositories = {key.repository for key in [*manifests, *tags]}
        assert self._pages("/v2/_catalog", "repositories") == sorted(repositories)
        for name in {key.repository for key in self._ledger.keys("tag")}:
            wanted = sorted(key.name for key in tags if key.repository == name)
            path = f"/v2/{name}/tags/list"
            if self._http.get(path).status_code == 404:
                assert not wanted, f"{name} has the tags {wanted}, and is unknown"
            else:
                found = self._pages(path, "tags")
                assert found == wanted, f"the tags of {name} are {wanted}, listed are {found}"

    def _pages(self, path: str, field: str) -> list[str]:
        names: list[str] = []
        url = f"{path}?n={self._chance.randint(1, 4)}"
        while True:
            answer = self._http.get(url)
            assert answer.status_code == 200, f"GET {url}: {answer.status_code} {answer.text}"
            names += answer.json()[field]
            following = answer.links.get("next")
            if following is None:
                return names
            url = following["url"]

    def _check_references(self, manifests: list[Key], blobs: list[Key]) -> None:
        """Whatever a visible manifest names is there."""
        there = {(key.repository, key.name) for key in blobs}
        for key in manifests:
            document = json.loads(self._ledger.contents[key.name].bytes())
            for part in [document["config"], *document["layers"]]:
                assert (key.repository, part["digest"]) in there, (
                    f"the manifest {key.name} of {key.repository} is there, and its blob "
                    f"{part['digest']} is not"
                )


_HEX = "(?P<hex>[0-9a-f]{64})"
_NAME = r"repositories/(?P<name>[a-z0-9/]+)"
_LAYOUT = re.compile(
    rf"blobs/sha256/(?P<two>[0-9a-f]{{2}})/{_HEX}/data"
    rf"|{_NAME}/_layers/sha256/(?P<layer>[0-9a-f]{{64}})/link"
    r"|repositories/[a-z0-9/]+/_manifests/revisions/sha256/(?P<revision>[0-9a-f]{64})/link"
    r"|repositories/[a-z0-9/]+/_manifests/tags/[a-z0-9.-]+/current/(?P<current>link)"
    r"|repositories/[a-z0-9/]+/_manifests/tags/[a-z0-9.-]+/index/sha256/(?P<index>[0-9a-f]{64})/link"
)


def tidy_up(root: Path) -> int:
    """Do what time does to a directory: remove dead writers' files and unfinished uploads.

    Args:
        root: A directory that no server uses.

    Returns:
        How many unfinished uploads there were.
    """

    async def purge() -> int:
        async with Registry(storage=FilesystemStorage(str(root))) as registry:
            return await Purger(age=0, interval=1).purge(registry.site.uploads)

    hour_ago = time.time() - 3600
    for path in (root / "+pyreg").rglob("*"):
        os.utime(path, (hour_ago, hour_ago))
    return asyncio.run(purge())


def check_directory(root: Path) -> None:
    """Check every file of a directory at rest: only what the layout names, and all of it whole.

    A directory may be empty: who was to put something there, or took it away, was killed.

    Raises:
        AssertionError: with everything that should not be there, or is damaged.
    """
    base = root / "docker" / "registry" / "v2"
    wrong = [str(path) for path in _files(root / "+pyreg" / "tmp")]
    for path in _files(root):
        if (root / "+pyreg") in path.parents:
            continue
        match = _LAYOUT.fullmatch(str(path.relative_to(base)))
        if match is None:
            wrong.append(f"{path} has no business there")
        elif match["hex"]:
            if _digest(path) != match["hex"] or not match["hex"].startswith(match["two"]):
                wrong.append(f"{path} has other bytes")
        else:
            text = path.read_text()
            name = match["layer"] or match["revision"] or match["index"] or text[7:]
            data = base / "blobs" / "sha256" / name[:2] / name / "data"
            # The link of a blob may come first; it shows nothing until the blob is there, too.
            missing = not match["layer"] and not data.is_file()
            if text != f"sha256:{name}" or missing:
                wrong.append(f"{path} leads to {text!r}")
    assert not wrong, "\n".join(wrong[:50])


def _files(directory: Path) -> Iterable[Path]:
    return (path for path in directory.rglob("*") if not path.is_dir())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
