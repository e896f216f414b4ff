"""Listings of directories: big ones, strange ones, linked ones."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.testing.storage.harness import keys, pages
from pyreg_storage_filesystem import FilesystemStorage, listing
from pyreg_storage_filesystem.listing import Names

pytestmark = pytest.mark.anyio


def fill(directory: Path, count: int) -> list[str]:
    directory.mkdir(parents=True)
    names = sorted(f"tag-{number}" for number in range(count))
    for name in names:
        (directory / name).touch()
    return names


@given(st.lists(st.text("abc-./", max_size=5), unique=True).map(sorted))
def test_compact_names(names: list[str]) -> None:
    assert list(Names(names)) == names
    assert Names(names)[1:3] == names[1:3]


async def test_strange_names_are_not_listed(driver: FilesystemStorage, root: Path) -> None:
    await driver.put("a/b", b"x")
    for name in ("with space", "a+b", "ümlaut", "~", "#x#", "colon:"):
        (root / "a" / name).write_bytes(b"x")
        (root / name).mkdir()
        (root / name / "below").write_bytes(b"x")
    (root / "a" / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    (root / "socket").symlink_to("/dev/null")
    assert await keys(driver) == ["a/b"]
    assert await keys(driver, "", "/") == ["a/"]


async def test_what_has_no_objects_is_no_prefix(driver: FilesystemStorage, root: Path) -> None:
    (root / "empty/er/and/emptier").mkdir(parents=True)
    (root / "partial").mkdir()
    (root / "partial/data+0123456789abcdef").write_bytes(b"x")
    assert await keys(driver, "", "/") == []
    (root / "empty/er/object").write_bytes(b"x")
    assert await keys(driver, "", "/") == ["empty/"]
    assert await keys(driver) == ["empty/er/object"]


async def test_links(driver: FilesystemStorage, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "object").write_bytes(b"x")
    (root / "linked").symlink_to(outside)
    (root / "file").symlink_to(outside / "object")
    (root / "nowhere").symlink_to(tmp_path / "missing")
    (root / "itself").symlink_to(root / "itself")
    assert await keys(driver) == ["file", "linked/object"]
    assert await keys(driver, "", "/") == ["file", "linked/"]


async def test_links_in_circles(driver: FilesystemStorage, root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    for name, target in (("up", root / "a"), ("top", root), ("self", Path("."))):
        (root / "a/b" / name).symlink_to(target)
    assert await keys(driver) == []
    assert await keys(driver, "", "/") == []
    (root / "a/b/object").write_bytes(b"x")
    assert await keys(driver) == ["a/b/object"]
    assert await keys(driver, "", "/") == ["a/"]


@pytest.fixture(params=["kept", "too big to keep"])
def budget(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "kept":
        monkeypatch.setattr(listing, "BUDGET", 1_000)


@pytest.mark.usefixtures("budget")
async def test_big_directories(driver: FilesystemStorage, root: Path) -> None:
    names = fill(root / "tags", 2_000)
    for name in names[::7]:
        (root / "tags" / name).unlink()
        (root / "tags" / name / "current").mkdir(parents=True)
        if names.index(name) % 2:
            (root / "tags" / name / "current" / "link").touch()
    expected = sorted(
        f"tags/{name}" if number % 7 else f"tags/{name}/"
        for number, name in enumerate(names)
        if number % 7 or number % 2
    )
    time.sleep(0.15)  # so that the directory may be kept
    for _ in range(2):
        found = await pages(driver, "tags/", delimiter="/", limit=300)
        assert [entry.key for entry in found] == expected
        flat = [key + "current/link" if key.endswith("/") else key for key in expected]
        assert [entry.key for entry in await pages(driver, limit=300)] == sorted(flat)
    after = "tags/" + names[1_000]
    found = await pages(driver, "tags/", delimiter="/", after=after, limit=10)
    assert [entry.key for entry in found] == [key for key in expected if key > after]


@pytest.mark.usefixtures("budget")
async def test_a_kept_directory_that_changes(driver: FilesystemStorage, root: Path) -> None:
    names = fill(root / "tags", 1_000)
    for turn in range(30):
        time.sleep(0.11 if turn % 10 == 0 else 0)
        assert len(await keys(driver, "tags/")) == 1_000
        (root / "tags" / names[0]).rename(root / "tags" / "aaa")
        assert (await driver.list("tags/", limit=1)).entries[0].key == "tags/aaa"
        (root / "tags" / "aaa").rename(root / "tags" / names[0])
        assert (await driver.list("tags/", limit=1)).entries[0].key == f"tags/{names[0]}"


async def test_a_change_within_the_same_tick(driver: FilesystemStorage, root: Path) -> None:
    """Where times tick slowly, a directory can change without a change of its time."""
    fill(root / "tags", 1_000)
    moment = (root / "tags").stat().st_mtime_ns
    assert len(await keys(driver, "tags/")) == 1_000
    (root / "tags" / "new").touch()
    os.utime(root / "tags", ns=(moment, moment))
    assert len(await keys(driver, "tags/")) == 1_001


async def test_the_kept_names_stay_within_the_budget(
    driver: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "BUDGET", 40_000)
    for number in range(8):
        fill(root / f"d{number}", 1_000)
    time.sleep(0.15)
    for _ in range(2):
        for number in range(8):
            assert len(await keys(driver, f"d{number}/")) == 1_000
    kept = driver._lister._kept
    assert 0 < kept._weight <= 40_000
    assert kept._weight == sum(names.weight for _, names in kept._names.values())


async def test_a_page_costs_the_same_anywhere(driver: FilesystemStorage, root: Path) -> None:
    """Once its directory is known, the time and memory of a page depend on the page."""
    for count in (1_000, 20_000):
        fill(root / f"d{count}", count)
    time.sleep(0.15)
    best = {}
    for count in (1_000, 20_000):
        await driver.list(f"d{count}/")
        times = []
        for _ in range(15):
            began = time.perf_counter()
            page = await driver.list(f"d{count}/", after=f"d{count}/tag-5", limit=100)
            times.append(time.perf_counter() - began)
            assert len(page.entries) == 100
        best[count] = min(times)
    assert best[20_000] < 3 * best[1_000] + 0.001
    tracemalloc.start()
    await driver.list("d20000/", after="d20000/tag-5", limit=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000
