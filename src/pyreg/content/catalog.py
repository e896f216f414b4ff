"""The names of all repositories, in the order of their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from pyreg.content import layout
from pyreg.content.names import MAX_NAME, is_component
from pyreg.content.order import children
from pyreg.content.store import Store
from pyreg.content.tags import NamePage


async def repositories(
    store: Store, *, last: str = "", batch: int = 100, uploads: bool = False
) -> AsyncIterator[str]:
    """Every repository, from behind `last` on.

    A repository is listed if it has a manifest or a tag.

    Args:
        store: Where to look.
        last: Only names behind this one.
        batch: How many to ask the driver for at once.
        uploads: List those that have an upload under way instead.
    """
    marker = "_uploads/" if uploads else "_manifests/"
    async for name in _below(store, "", last, min(max(batch, 1), 1000), marker):
        yield name


async def _below(
    store: Store, parent: str, last: str, batch: int, marker: str
) -> AsyncIterator[str]:
    """Repositories whose names begin with `parent`; `last` is relative to it."""
    prefix = layout.REPOSITORIES + parent

    async def is_repository(component: str) -> bool:
        page = await store.driver.list(f"{prefix}{component}/{marker}", limit=1)
        return bool(page.entries)

    first, slash, rest = last.partition("/")
    async for component, below in children(
        store.driver,
        prefix,
        last=last,
        # With a "/" in `last`, whatever only goes on the first component has been shown.
        after=first + ".~" if slash else first,
        batch=batch,
        valid=is_component,
        exists=is_repository,
    ):
        name = parent + component
        if not below:
            if len(name) <= MAX_NAME and await is_repository(component):
                yield name
        elif len(name) < MAX_NAME:
            inner = rest if slash and component == first else ""
            async for found in _below(store, name + "/", inner, batch, marker):
                yield found


async def page(
    store: Store,
    *,
    limit: int,
    last: str = "",
    shows: Callable[[str], Awaitable[bool]] | None = None,
) -> NamePage:
    """One page of the catalog.

    Args:
        store: Where to look.
        limit: At most so many names.
        last: Only names behind this one; need not be a repository.
        shows: Whether the caller sees a repository; None shows all. A page is as full as it can
            be, so that neither its size nor the next one's address tells of what is hidden.
    """
    names: list[str] = []
    if limit > 0:
        async for name in repositories(store, last=last, batch=min(limit + 1, 1000)):
            if shows is not None and not await shows(name):
                await asyncio.sleep(0)  # a long way past hidden names must not stop the others
                continue
            names.append(name)
            if len(names) > limit:
                break
    return NamePage(tuple(names[:limit]), len(names) > limit)
