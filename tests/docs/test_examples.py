"""Every example of the documentation runs, or is at least well formed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import Document, pages
from tests.docs.running import Runner
from tests.fixtures.client import Client
from tests.fixtures.images import small_image
from tests.fixtures.programs import absent
from tests.fixtures.project import ROOT

PAGES = [page for page in pages() if page.blocks]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples(
    page: Document, request: pytest.FixtureRequest, tmp_path: Path, short_dir: Path
) -> None:
    commands = "".join(block.text for block in page.blocks if block.words & {"run", "serve"})
    if "curl " in commands and shutil.which("curl") is None:
        absent("curl is not installed")
    env: dict[str, str] = {}
    if "skopeo " in commands:
        skopeo: Client = request.getfixturevalue("skopeo")
        env.update(skopeo.env)
    layout, _ = small_image(tmp_path / "image", "docs")
    Runner(page, short_dir, env, layout.source("v1")).run()


def test_every_target_of_make_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        texts = [text for _, text in page.spans]
        texts += [block.text for block in page.blocks if block.language == "sh"]
        for text in texts:
            for target in re.findall(r"^make ([a-z]+)", text, re.MULTILINE):
                assert target in targets, f"{page.name}: there is no `make {target}`"
