"""Every link inside the documentation leads somewhere."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS, Document, pages, read
from tests.fixtures.project import CORE, ROOT

PAGES = list(pages())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_internal_links_resolve(page: Document) -> None:
    broken = []
    for line, link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            assert parts.scheme in ("https", "mailto"), f"{page.name}:{line}: {link}"
            continue
        target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
        if not (target.exists() and target.is_relative_to(ROOT)):
            broken.append(f"{page.name}:{line}: {link}: there is no such file")
        elif parts.fragment and (
            target.suffix != ".md" or unquote(parts.fragment) not in read(target).anchors
        ):
            broken.append(f"{page.name}:{line}: {link}: there is no such heading")
    assert not broken, "\n".join(broken)


def test_every_page_is_reached_from_the_index() -> None:
    index = DOCS / "index.md"
    reached, todo = {index}, [index]
    while todo:
        page = read(todo.pop())
        for _, link in page.links:
            path = urlsplit(link).path
            target = (page.path.parent / unquote(path)).resolve()
            if path.endswith(".md") and target.is_relative_to(DOCS) and target not in reached:
                reached.add(target)
                todo.append(target)
    missing = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {
        path.relative_to(DOCS).as_posix() for path in reached
    }
    assert not missing, f"docs/index.md does not lead to {sorted(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_source_that_is_mentioned_exists(page: Document) -> None:
    own = {block.title for block in page.blocks} | {"settings.py", "urls.py", "asgi.py"}
    for line, text in page.spans:
        if re.fullmatch(r"[\w/]+\.py", text) and text not in own:
            places = (ROOT, CORE, page.path.parent / "src")
            assert any((place / text).exists() for place in places), (
                f"{page.name}:{line}: there is no {text}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_one_title(page: Document) -> None:
    assert [level for level, _ in page.headings].count(1) == 1
    assert page.headings[0][0] == 1
    for (above, _), (below, text) in zip(page.headings, page.headings[1:], strict=False):
        assert below <= above + 1, f"{page.name}: the heading {text!r} skips a level"
