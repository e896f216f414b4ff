"""Whether a write of which only the intent is known has happened."""

from __future__ import annotations

from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.errors import ObjectNotFound
from pyreg.hooks.events import Event
from pyreg.hooks.storage import StorageDriver

SKEW = 300.0
"""Seconds by which the clock of a storage service may differ from that of a registry."""


async def committed(driver: StorageDriver, event: Event) -> bool:
    """Look at the store for what an event tells of.

    Args:
        driver: Where the registry's content is.
        event: Of a push, mount or delete; its `timestamp` is from before the write.

    Returns:
        For a push or mount, whether what it makes visible is there and was written since; for
        a delete, whether it is gone.

    Raises:
        StorageError: it cannot be told now.
    """
    since = event.timestamp
    if not driver.capabilities.local:  # a local driver takes this machine's clock
        since -= SKEW
    name = event.repository
    if event.kind == "tag":
        return not await _written(driver, layout.tag_link(name, event.tag), None)
    digest = Digest.parse(event.target.digest)
    if event.kind == "blob":
        key = layout.layer_link(name, digest)
    elif event.tag and event.action != "delete":
        # Somebody may have moved the tag since; its index remembers where it pointed.
        if await _written(driver, layout.tag_index_link(name, event.tag, digest), since):
            return True
        key = layout.tag_link(name, event.tag)
        if await _content(driver, key) != digest:
            return False
    else:
        key = layout.revision_link(name, digest)
    if event.action == "delete":
        return not await _written(driver, key, None)
    return await _written(driver, key, since)


async def _written(driver: StorageDriver, key: str, since: float | None) -> bool:
    try:
        info = await driver.stat(key)
    except ObjectNotFound:
        return False
    return since is None or info.modified >= since


async def _content(driver: StorageDriver, key: str) -> str:
    try:
        found = await driver.get(key)
    except ObjectNotFound:
        return ""
    assert found is not None
    return found.data.decode("ascii", "replace").strip()
