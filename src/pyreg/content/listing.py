"""Whole listings, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pyreg.hooks.storage import Entry, StorageDriver


async def entries(
    driver: StorageDriver, prefix: str, *, delimiter: str | None = None
) -> AsyncIterator[Entry]:
    """Everything below a prefix, in the order of the bytes of the keys.

    Args:
        driver: Where.
        prefix: As for `StorageDriver.list`.
        delimiter: Likewise.
    """
    after: str | None = ""
    while after is not None:
        page = await driver.list(prefix, delimiter=delimiter, after=after)
        for entry in page.entries:
            yield entry
        after = page.after
