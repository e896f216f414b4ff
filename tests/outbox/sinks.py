"""Event sinks for the tests of the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pyreg.hooks import Event, EventSink, hookimpl


class Collects(EventSink):
    """Keeps what is delivered.

    Args:
        name: The sink's.
        failures: How many deliveries fail first.
        gate: Waited for in each delivery.
        batch: As for every sink.
    """

    def __init__(
        self,
        name: str = "collects",
        failures: int = 0,
        gate: asyncio.Event | None = None,
        batch: int = 100,
    ) -> None:
        self.name = name
        self.batch = batch
        self.failures = failures
        self.gate = gate
        self.batches: list[list[Event]] = []
        self.attempts = 0

    @property
    def events(self) -> list[Event]:
        """All that was delivered, in order."""
        return [event for batch in self.batches for event in batch]

    async def deliver(self, events: Sequence[Event]) -> None:
        """Keep them, or fail."""
        self.attempts += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("nobody listens")
        self.batches.append(list(events))

    @hookimpl
    def pyreg_event_sink(self) -> EventSink | None:
        """Itself."""
        return self
