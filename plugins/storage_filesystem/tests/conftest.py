"""What the tests of this plugin share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyreg_storage_filesystem import FilesystemStorage


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
async def driver(anyio_backend: str, root: Path) -> AsyncIterator[FilesystemStorage]:
    driver = FilesystemStorage(str(root))
    await driver.open()
    yield driver
    await driver.close()
