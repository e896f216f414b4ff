"""What the parts of the suite share: the fixtures to override, and ways to deliver and look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from pyreg.hooks import Event, EventSink
from pyreg.testing.events.endpoint import Endpoint, Received

T = TypeVar("T")


class Harness:
    """What a sink's test class says about its sink.

    Attributes:
        patience: Seconds in which every call has to end, well or badly, and in which a sink has
            to go on once its endpoint is back.
        largest_batch: Events in the largest batch that is tried; a sink may take more.
        references: Descriptors that the largest manifest refers to.
    """

    patience: float = 30.0
    largest_batch: int = 1_000
    references: int = 2_000

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The suite runs on asyncio, as the registry does."""
        return "asyncio"

    @pytest.fixture
    def endpoint(self) -> Endpoint:
        """What the sink delivers to, working."""
        raise NotImplementedError("say what the sink delivers to")

    @pytest.fixture
    async def sink(self, anyio_backend: str, endpoint: Endpoint) -> AsyncIterator[EventSink]:
        """An open sink."""
        async with self.opened(endpoint) as sink:
            yield sink

    @asynccontextmanager
    async def opened(self, endpoint: Endpoint) -> AsyncIterator[EventSink]:
        """Make a sink and open it; it is closed in the end."""
        sink = endpoint.sink()
        await self.within_patience(sink.open())
        try:
            yield sink
        finally:
            await self.within_patience(sink.close())

    async def within_patience(self, call: Awaitable[T]) -> T:
        """Await a call that must not go on forever."""
        try:
            async with asyncio.timeout(self.patience) as limit:
                return await call
        except TimeoutError:
            if not limit.expired():
                raise  # the sink's own
            raise AssertionError(f"a call has not ended within {self.patience} s") from None

    async def deliver(self, sink: EventSink, events: Sequence[Event]) -> None:
        """Deliver events, which must succeed."""
        await self.within_patience(sink.deliver(events))

    async def deliver_at_last(self, sink: EventSink, events: Sequence[Event]) -> None:
        """Deliver events as the registry does: again and again, until they have arrived."""
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            try:
                return await self.deliver(sink, events)
            except Exception:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def failure(self, call: Awaitable[object]) -> Exception:
        """Await what must fail, since the endpoint is away. Returns the exception."""
        try:
            await self.within_patience(call)
        except AssertionError:
            raise
        except Exception as error:
            return error
        raise AssertionError("it returned as if delivered, and the endpoint was away")


@asynccontextmanager
async def away(endpoint: Endpoint) -> AsyncIterator[None]:
    """Have the endpoint away for a while."""
    await endpoint.stop()
    try:
        yield
    finally:
        await endpoint.start()


async def arrived(endpoint: Endpoint, events: Sequence[Event]) -> list[Received]:
    """What of some events is there, in its order, repetitions included."""
    ids = {event.id for event in events}
    return [each for each in await endpoint.received() if each.id in ids]


async def ids_arrived(endpoint: Endpoint, events: Sequence[Event]) -> list[str]:
    """The ids of `arrived`."""
    return [each.id for each in await arrived(endpoint, events)]


def ids(events: Sequence[Event]) -> list[str]:
    """The ids of events."""
    return [event.id for event in events]


def without_repetitions(found: Sequence[str]) -> list[str]:
    """What a consumer is left with that goes by the ids: the first of each."""
    return list(dict.fromkeys(found))
