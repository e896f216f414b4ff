"""Names in the order of their bytes, whatever the listing's own order."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pyreg.content import catalog, layout
from pyreg.content.digest import Digest
from pyreg.content.names import MAX_NAME, is_name, is_tag
from pyreg.content.order import children
from pyreg.content.rules import Rules
from pyreg.content.store import Store
from pyreg.hooks.storage import StorageDriver
from pyreg_storage_inmemory import InMemoryStorage

# Few characters, those around "/" among them, so that names often begin alike.
tags = st.text("01a_-.", min_size=1, max_size=5).filter(is_tag)
names = st.text("ab0_-./", min_size=1, max_size=8).filter(is_name)
anything = st.text("01ab_-./~ ü\x00", max_size=6)


async def filled(keys: list[str]) -> StorageDriver:
    driver = InMemoryStorage()
    for key in keys:
        await driver.put(key, b"")
    return driver


@given(st.sets(tags, max_size=12), anything, st.integers(1, 4))
@settings(max_examples=300)
def test_children(wanted: set[str], last: str, batch: int) -> None:
    """Each name once, in the order of sorted(), whatever the size of the driver's pages."""

    async def listed() -> list[str]:
        driver = await filled([f"p/{name}/current" for name in wanted] + ["p/file", "p/-x/y", "q"])
        found = []

        async def exists(name: str) -> bool:
            return name in wanted

        async for name, below in children(
            driver, "p/", last=last, after=last, batch=batch, valid=is_tag, exists=exists
        ):
            if not below:
                found.append(name)
        return found

    expected = [name for name in sorted(wanted, key=str.encode) if name.encode() > last.encode()]
    assert asyncio.run(listed()) == expected


@given(st.sets(names, max_size=10), anything, st.integers(1, 5))
@settings(max_examples=300)
def test_catalog(wanted: set[str], last: str, batch: int) -> None:
    """Repositories below repositories, too: a, a-b, a.b, a/b."""

    async def listed() -> list[str]:
        driver = await filled(
            [f"{layout.manifests(name)}tags/v1/current/link" for name in wanted]
            + [layout.layer_link("a/only-layers", _DIGEST)]
        )
        store: Any = _store(driver)
        return [name async for name in catalog.repositories(store, last=last, batch=batch)]

    expected = [name for name in sorted(wanted, key=str.encode) if name.encode() > last.encode()]
    assert asyncio.run(listed()) == expected


@given(st.sets(names, max_size=10), st.integers(1, 4))
def test_pages_of_the_catalog(wanted: set[str], limit: int) -> None:
    """Page after page, by the last name of each, gives everything once."""

    async def listed() -> list[str]:
        store = _store(await filled([layout.tag_link(name, "v1") for name in wanted]))
        found: list[str] = []
        while True:
            page = await catalog.page(store, limit=limit, last=found[-1] if found else "")
            found += page.names
            if not page.more:
                return found

    assert asyncio.run(listed()) == sorted(wanted, key=str.encode)


def test_directories_that_are_no_repositories() -> None:
    """Names that nobody could push to are passed over, at any depth."""

    async def listed() -> list[str]:
        deep = "/".join(["a"] * 128)
        assert len(deep) == MAX_NAME
        store = _store(
            await filled(
                [
                    layout.tag_link(name, "v1")
                    for name in ("good", "Bad", "good/Bad", "bad-", "good/x..y", deep, f"{deep}/a")
                ]
            )
        )
        return [name async for name in catalog.repositories(store)]

    assert asyncio.run(listed()) == ["/".join(["a"] * 128), "good"]


def _store(driver: StorageDriver) -> Store:
    return Store(driver, Rules(), journal=None)  # type: ignore[arg-type]


_DIGEST = Digest.of(b"")
