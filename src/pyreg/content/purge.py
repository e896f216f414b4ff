"""Uploads that nobody finished, and their end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pyreg.content import catalog, layout
from pyreg.content.progress import Upload, decode
from pyreg.content.uploads import Uploads
from pyreg.errors import ObjectNotFound, RegistryError, StorageError
from pyreg.hooks.storage import StorageDriver

log = logging.getLogger("pyreg.purge")

_FIRST = 3600.0  # seconds; the first search comes within an hour, not in all replicas at once


@dataclass(frozen=True, slots=True)
class Purger:
    """Removes old uploads from time to time.

    Attributes:
        age: Seconds since an upload last moved.
        interval: Seconds between two searches.
        dry_run: Only log what would be removed.
    """

    age: float
    interval: float
    dry_run: bool = False

    async def run(self, uploads: Uploads) -> None:
        """Search for ever."""
        await asyncio.sleep(random.uniform(0, min(_FIRST, self.interval)))  # noqa: S311
        while True:
            try:
                count = await self.purge(uploads)
                if count:
                    log.info("%d unfinished uploads removed", count)
            except (StorageError, RegistryError) as error:
                log.warning("the search for unfinished uploads failed: %s", error)
            await asyncio.sleep(self.interval)

    async def purge(self, uploads: Uploads) -> int:
        """Search once.

        Returns:
            How many uploads were old enough.
        """
        count = 0
        async for name in catalog.repositories(uploads.store, uploads=True):
            async for upload, touched in _all(uploads, name):
                if time.time() - touched < self.age:
                    continue
                count += 1
                log.info(
                    "%s upload %s of %s",
                    "would remove" if self.dry_run else "removing",
                    upload.id,
                    name,
                )
                if not self.dry_run:
                    await _remove(uploads.store.driver, upload)
        return count


async def _all(uploads: Uploads, name: str) -> AsyncIterator[tuple[Upload, float]]:
    """Every upload of a repository, and when it last moved (seconds since the epoch)."""
    driver = uploads.store.driver
    prefix = layout.uploads(name)
    after: str | None = ""
    while after is not None:
        page = await driver.list(prefix, delimiter="/", after=after)
        for entry in page.entries:
            upload = Upload(name, entry.key[len(prefix) : -1])
            if entry.info is None and _is_id(upload.id):
                files = await driver.list(entry.key, limit=100)
                touched = [item.info.modified for item in files.entries if item.info]
                touched.append(await _started(uploads, upload))
                yield upload, max(touched)
        after = page.after


async def _remove(driver: StorageDriver, upload: Upload) -> None:
    """Throw an upload away, with everything that any registry left of it.

    Another worker may be at it, too; each step has happened or not.
    """
    try:
        record = await driver.get(layout.upload_state(upload.repository, upload.id))
    except ObjectNotFound:
        record = None
    # A record is empty if the machine lost power before anything was acknowledged.
    if record is not None and record.data and (state := decode(record.data).state):
        await driver.abort(state)
    await driver.delete(upload.key)  # also what was received and no record names
    directory = layout.upload_directory(upload.repository, upload.id)
    after: str | None = ""
    while after is not None:
        page = await driver.list(directory, after=after)
        await driver.delete_many([entry.key for entry in page.entries])
        after = page.after


async def _started(uploads: Uploads, upload: Upload) -> float:
    """When an upload began, by its own account."""
    try:
        found = await uploads.store.driver.get(layout.upload_started(upload.repository, upload.id))
    except ObjectNotFound:
        return 0.0
    assert found is not None
    try:
        moment = datetime.fromisoformat(found.data.decode("ascii").strip())
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
