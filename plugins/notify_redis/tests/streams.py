"""Sinks of a Redis, and what is in its stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from pyreg.hooks import DeliveryFailed, Event, EventSink
from pyreg.testing import Endpoint, Received
from pyreg.testing.events.samples import pushes
from pyreg_notify_redis import Options, RedisPlugin
from tests.servers.redis import RedisServer

STREAM = "pyreg:events"


def sink_of(**options: Any) -> EventSink:
    """The sink of an endpoint with these options, as a registry gets it."""
    return RedisPlugin(Options(name="bus", **options)).pyreg_event_sink()


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[EventSink]:
    """That sink, open."""
    sink = sink_of(**options)
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


async def reason(sink: EventSink, *events: Event) -> str:
    """Why events cannot be delivered; one unless told which."""
    with pytest.raises(DeliveryFailed) as caught:
        await sink.deliver(events or pushes(1))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "what redis-py says has parts of events in it"
    assert not caught.value.permanent
    return caught.value.reason


@asynccontextmanager
async def admin(server: RedisServer, db: int = 0) -> AsyncIterator[Any]:
    """A client of a server that may do everything; its methods return too many types to name."""
    path, password = str(server.socket), server.password or None
    async with Redis(unix_socket_path=path, password=password, db=db) as client:
        yield client


async def entries(server: RedisServer, stream: str = STREAM) -> list[dict[str, str]]:
    """The fields of each entry of a stream."""
    async with admin(server) as client:
        return [
            {name.decode(): value.decode() for name, value in fields.items()}
            for _, fields in await client.xrange(stream)
        ]


class Stream(Endpoint):
    """A stream that a sink adds to.

    Args:
        server: With a journal, so that a kill takes nothing away.
        options: Of the endpoint.
        secrets: What is in the options.
    """

    def __init__(self, server: RedisServer, options: dict[str, Any], *secrets: str) -> None:
        self.server = server
        self.options = options
        self.secrets = secrets

    def sink(self) -> EventSink:
        return sink_of(**self.options)

    async def received(self) -> list[Received]:
        return [
            Received(
                **{name: fields[name] for name in ("id", "action", "kind", "repository")},
                digest=fields["digest"],
                tag=fields["tag"],
                actor=json.loads(fields["event"])["actor"].get("name", ""),
            )
            for fields in await entries(self.server)
        ]

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.process.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.process.start)
