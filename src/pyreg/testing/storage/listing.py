# ruff: noqa: D102 - the name of a test says what it tests
"""Listings: order, prefixes, paging, and what must not show."""

from __future__ import annotations

from collections.abc import Sequence

from pyreg.hooks import StorageDriver
from pyreg.testing.storage.harness import Harness, keys, pages

NESTED = sorted(
    [
        "a-b/x",
        "a.b",
        "a/b",
        "a/b-c/d",
        "a/b.c",
        "a/b0",
        "a/c/d/e",
        "a/c/d0",
        "a/c0/d",
        "a0",
        "aa/b",
        "b/a",
        "B/a",
        "_b/a",
        "-b/a",
    ]
)


class Listing(Harness):
    """Listings."""

    async def test_an_empty_store(self, driver: StorageDriver) -> None:
        for prefix in ("", "a/", "a/b/"):
            for delimiter in (None, "/"):
                page = await driver.list(prefix, delimiter=delimiter)
                assert not page.entries
                assert page.after is None

    async def test_order_of_nested_keys(self, driver: StorageDriver) -> None:
        """`a-b` and `a.b` come before everything in `a/`, `a0` after it."""
        for key in reversed(NESTED):
            await driver.put(key, key.encode(), durable=False)
        for limit in (1, 2, 3, 7, len(NESTED), 1000):
            entries = await pages(driver, limit=limit)
            assert [entry.key for entry in entries] == NESTED
            for entry in entries:
                assert entry.info is not None
                assert entry.info.size == len(entry.key)
        for prefix in ("a/", "a/c/", "a-b/", "B/", "c/"):
            for limit in (1, 2, 1000):
                found = [entry.key for entry in await pages(driver, prefix, limit=limit)]
                assert found == [key for key in NESTED if key.startswith(prefix)]

    async def test_common_prefixes(self, driver: StorageDriver) -> None:
        for key in NESTED:
            await driver.put(key, b"x", durable=False)
        for prefix in ("", "a/", "a/c/", "missing/"):
            expected = delimited(NESTED, prefix)
            for limit in (1, 2, 3, 1000):
                entries = await pages(driver, prefix, delimiter="/", limit=limit)
                assert [entry.key for entry in entries] == expected
                for entry in entries:
                    assert (entry.info is None) == entry.key.endswith("/")

    async def test_after_need_not_be_a_key(self, driver: StorageDriver) -> None:
        for key in NESTED:
            await driver.put(key, b"x", durable=False)
        afters = ["", "0", "a", "a/", "a/b", "a/b-", "a/c/", "a/c/d/zzz", "a/c/e", "b", "zzz", "é"]
        for prefix in ("", "a/", "a/c/"):
            for after in (*afters, *NESTED):
                for delimiter in (None, "/"):
                    shown = delimited(NESTED, prefix) if delimiter else NESTED
                    expected = [
                        key
                        for key in shown
                        if key.startswith(prefix) and key.encode() > after.encode()
                    ]
                    found = await pages(driver, prefix, delimiter=delimiter, after=after, limit=3)
                    assert [entry.key for entry in found] == expected

    async def test_a_full_last_page_is_the_last(self, driver: StorageDriver) -> None:
        for name in "abc":
            await driver.put(f"x/{name}", b"", durable=False)
        assert (await driver.list("x/", limit=3)).after is None
        assert (await driver.list("x/", limit=2)).after == "x/b"
        assert (await driver.list("", delimiter="/", limit=1)).after is None

    async def test_more_than_one_page(self, driver: StorageDriver) -> None:
        names = sorted(f"tags/t{number}/link" for number in range(self.many))
        for name in names:
            await driver.put(name, b"x", durable=False)
        assert len((await driver.list("tags/")).entries) == min(1000, self.many)
        assert await keys(driver) == names
        shown = await keys(driver, "tags/", "/")
        assert shown == delimited(names, "tags/")

    async def test_a_deleted_object_takes_its_prefix_along(
        self, replicas: Sequence[StorageDriver]
    ) -> None:
        first, second = replicas
        await first.put("a/b/c/d", b"x")
        await first.put("a/e/f", b"x")
        assert await keys(second, "a/", "/") == ["a/b/", "a/e/"]
        await first.delete("a/b/c/d")
        assert await keys(second, "a/", "/") == ["a/e/"]
        await second.delete("a/e/f")
        assert await keys(first, "", "/") == []

    async def test_changes_show_at_once(self, replicas: Sequence[StorageDriver]) -> None:
        first, second = replicas
        for number in range(30):
            await first.put(f"a/{number:02d}", b"x", durable=False)
            assert len(await keys(second, "a/")) == number + 1
        for number in range(30):
            await second.delete(f"a/{number:02d}")
            assert len(await keys(first, "a/")) == 29 - number

    async def test_pages_while_keys_change(self, driver: StorageDriver) -> None:
        """Whatever is there all the time is listed exactly once."""
        stay = [f"d/{number:03d}/stay" for number in range(40)]
        for key in stay:
            await driver.put(key, b"x", durable=False)
        found: list[str] = []
        after: str | None = ""
        turn = 0
        while after is not None:
            page = await driver.list("d/", after=after, limit=7)
            found.extend(entry.key for entry in page.entries)
            after = page.after
            await driver.put(f"d/{turn:03d}/new", b"x", durable=False)
            await driver.put(f"d/{39 - turn:03d}/new", b"x", durable=False)
            await driver.delete(f"d/{turn:03d}/new")
            turn += 1
        assert [key for key in found if key.endswith("/stay")] == stay
        assert len(set(found)) == len(found)


def delimited(names: Sequence[str], prefix: str) -> list[str]:
    """What a listing with the delimiter "/" shows of sorted keys."""
    shown: dict[str, None] = {}
    for name in names:
        if name.startswith(prefix):
            head, slash, _ = name[len(prefix) :].partition("/")
            shown[prefix + head + slash] = None
    return list(shown)
