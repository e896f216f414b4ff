"""What the tests of this plugin share."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

# `plugins` and `tests` are packages that nobody installs; the tests import from them.
sys.path.insert(0, str(Path(__file__).parent.parent.parent.parent))

from plugins.notify_webhook.tests.receiver import Receiver
from pyreg_notify_webhook import Options, WebhookSink
from tests.fixtures.engines import skopeo
from tests.fixtures.servers import short_dir, start_go_registry, start_registry, workshop
from tests.server.authorities import Authority

__all__ = ["short_dir", "skopeo", "start_go_registry", "start_registry", "workshop"]

Opened = Callable[..., Any]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the servers and the clients of these tests."""
    return Authority("tests")


@pytest.fixture(scope="session")
def shared_receiver(workshop: Path) -> Iterator[Receiver]:
    """One process for all tests that need none of their own."""
    started = Receiver(workshop / "receiver").start()
    yield started
    started.stop()


@pytest.fixture
def receiver(shared_receiver: Receiver) -> Iterator[Receiver]:
    """A receiver that answers 200 and has not recorded anything."""
    shared_receiver.behave()
    # It appends: what it writes after this is at the beginning of the file.
    shared_receiver.record.write_text("")
    yield shared_receiver
    shared_receiver.behave()


@pytest.fixture
async def opened(anyio_backend: str) -> AsyncIterator[Opened]:
    """Makes open sinks; options as in the configuration."""
    async with AsyncExitStack() as stack:

        async def sink(url: str, **options: Any) -> WebhookSink:
            made = WebhookSink(Options(url=url, **options))
            stack.push_async_callback(made.close)
            await made.open()
            return made

        yield sink
