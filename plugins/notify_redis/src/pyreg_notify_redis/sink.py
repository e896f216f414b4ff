"""Adds events to a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError

from pyreg.hooks import DeliveryFailed, Event, EventSink
from pyreg_notify_redis.connections import connection_pool, tls_context
from pyreg_notify_redis.entries import entry_of
from pyreg_notify_redis.reasons import reason_of
from pyreg_notify_redis.server import Server


class RedisStreamSink(EventSink):
    """An entry of a stream for each event.

    Args:
        name: The endpoint's name.
        server: Where the stream is.
        stream: Its key.
        maxlen: About how many entries it keeps; 0 for all.
    """

    def __init__(self, name: str, server: Server, *, stream: str, maxlen: int = 0) -> None:
        self.name = name
        self._server = server
        self._stream = stream
        self._maxlen = maxlen
        self._client: Redis | None = None

    async def open(self) -> None:
        """See `EventSink.open`.

        Raises:
            PluginError: a file of `tls` cannot be read, or is none of its kind.
        """
        if self._server.encrypted:
            await asyncio.to_thread(tls_context, self._server)
        self._client = Redis.from_pool(connection_pool(self._server))

    async def close(self) -> None:
        """See `EventSink.close`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def deliver(self, events: Sequence[Event]) -> None:
        """See `EventSink.deliver`. All of them are added, or none."""
        await self._add(events)

    async def test(self, event: Event) -> str:
        """See `EventSink.test`."""
        [entry] = await self._add([event])
        return f"added to the stream {self._stream} of {self._server} as {entry}"

    async def _add(self, events: Sequence[Event]) -> list[str]:
        """Add events in one transaction. Returns the ids of the entries."""
        client = self._client
        if client is None:
            raise DeliveryFailed("the sink is not open")
        if any(event.references for event in events):
            # Thousands of references take a while to write down.
            entries = await asyncio.to_thread(_entries, events)
        else:
            entries = _entries(events)
        try:
            async with client.pipeline(transaction=True) as transaction:
                for entry in entries:
                    transaction.xadd(self._stream, entry, maxlen=self._maxlen or None)
                return [found.decode() for found in await transaction.execute()]
        except (RedisError, OSError) as error:
            if isinstance(error, ReadOnlyError):
                # The master is elsewhere now, and a new connection may find it.
                await client.connection_pool.disconnect(inuse_connections=False)
            # What redis-py says may have the password in it, and has parts of the events.
            reason = reason_of(error, self._server, self._stream)
            raise DeliveryFailed(f"{self._server}: {reason}") from None


def _entries(events: Sequence[Event]) -> list[dict[Any, Any]]:
    return [dict(entry_of(event)) for event in events]
