"""What every test of the core has at hand: real servers, real clients, and asyncio."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

# `tests` is a package that nobody installs; the fixtures below and many tests import from it.
sys.path.insert(0, str(Path(__file__).parent.parent))

pytest_plugins = ("tests.fixtures.engines", "tests.fixtures.servers")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run under asyncio."""
    return "asyncio"


def pytest_configure() -> None:
    """End in order on SIGTERM too, so that no server of a run that is cut off is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long forms to `make soak`, which sets PYREG_SOAK=1."""
    if os.environ.get("PYREG_SOAK") == "1":
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
