"""Uploads that the Docker registry began, and that pyreg is to go on with."""

from __future__ import annotations

from pyreg.content import layout
from pyreg.content.digest import CANONICAL, Hasher
from pyreg.content.hashing import Hashed
from pyreg.content.progress import Progress, Upload
from pyreg.hooks.storage import StorageDriver


async def adopt(driver: StorageDriver, upload: Upload) -> tuple[Progress, Hasher]:
    """Copy what was received into an upload of the driver's own, which can be gone on with.

    Returns:
        How far it is, and a hasher that stands there. Nothing is recorded yet.
    """
    hasher = Hasher(CANONICAL)
    async with driver.read(upload.key) as reader:
        state = await driver.begin_upload(upload.key)
        hashed = Hashed(aiter(reader), hasher)
        state, offset = await driver.append(state, 0, aiter(hashed))
        await hashed.settled()
    return Progress(offset, CANONICAL, hasher.digest(), state), hasher


async def forget_hash_states(driver: StorageDriver, upload: Upload) -> None:
    """Delete the digests so far in the Docker registry's form, which only Go can read."""
    states = await driver.list(layout.upload_hash_states(upload.repository, upload.id))
    await driver.delete_many([entry.key for entry in states.entries])
