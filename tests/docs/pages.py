"""Pages of the documentation, taken apart: fenced blocks, headings, links, code spans.

What stands behind a block's language says what the tests do with it:

```
python                  run it in a namespace of its own
python continued        run it in the namespace of the Python block before it
python title="a.py"     write it to a file beside the page's other files, and run it
sh run                  run it with bash
sh serve                start it, wait until the registry answers, go on
sh                      check its syntax
text output             must be what the block before it printed; ... stands for anything
yaml                    must be a good configuration, or a part of one
yaml title="config.yml" likewise, and write it to a file
```

The blocks of one page are taken from top to bottom, in one directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.fixtures.project import ROOT

DOCS = ROOT / "docs"

_FENCE = re.compile(r"(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<info>[^`]*)")
_HEADING = re.compile(r"(#{1,6}) +(.+?)(?: +#+)?$")
_LINK = re.compile(
    r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+(?:\([^()]*\))?)>?(?: \"[^\"]*\")?\)"
)
_REFERENCE = re.compile(r"^\[[^\]]+\]: +<?(\S+?)>?$")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: The first word behind the fence.
        words: The others, `title="..."` excepted.
        title: The file that the block is.
        text: What is between the fences.
        line: Of the first line of `text`, counted from 1.
    """

    language: str
    words: frozenset[str]
    title: str
    text: str
    line: int


@dataclass
class Document:
    """A page.

    Attributes:
        path: Where it is.
        blocks: Its fenced blocks, in order.
        headings: Level and text of each heading, in order.
        links: Line and target of each link.
        spans: Line and text of each code span outside of fenced blocks.
    """

    path: Path
    blocks: list[Block] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    links: list[tuple[int, str]] = field(default_factory=list)
    spans: list[tuple[int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The path from the top of the project."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def anchors(self) -> set[str]:
        """What a link to this page may have behind its `#`, as forges make it of headings."""
        found: set[str] = set()
        for _, text in self.headings:
            anchor = slug(text)
            number = 0
            while (anchor if not number else f"{anchor}-{number}") in found:
                number += 1
            found.add(anchor if not number else f"{anchor}-{number}")
        return found


def slug(heading: str) -> str:
    """The anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def read(path: Path) -> Document:
    """A page, taken apart."""
    page = Document(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        fence = _FENCE.fullmatch(line.rstrip())
        if fence:
            start = number
            closing = re.compile(rf" *{fence['mark'][0]}{{{len(fence['mark'])},}} *")
            while number < len(lines) and not closing.fullmatch(lines[number]):
                number += 1
            assert number < len(lines), f"{page.name}:{start}: the block has no end"
            page.blocks.append(_block(fence, lines[start:number], start + 1))
            number += 1
            continue
        heading = _HEADING.fullmatch(line)
        if heading:
            page.headings.append((len(heading[1]), heading[2]))
        page.spans += [(number, span[2].strip()) for span in _SPAN.finditer(line)]
        bare = _SPAN.sub("", line)
        page.links += [(number, link[1]) for link in _LINK.finditer(bare)]
        page.links += [(number, link[1]) for link in _REFERENCE.finditer(bare)]
    return page


def _block(fence: re.Match[str], lines: list[str], line: int) -> Block:
    title = re.search(r'title="([^"]+)"', fence["info"])
    words = re.sub(r'title="[^"]*"', "", fence["info"]).split()
    indent = len(fence["indent"])
    text = "".join(f"{each[min(indent, len(each) - len(each.lstrip())) :]}\n" for each in lines)
    return Block(
        language=words[0] if words else "",
        words=frozenset(words[1:]),
        title=title[1] if title else "",
        text=text,
        line=line,
    )


def pages() -> Iterator[Document]:
    """Every page of the project."""
    for path in (
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted(DOCS.rglob("*.md")),
        *sorted(ROOT.glob("plugins/*/*.md")),
    ):
        yield read(path)
