"""The entry point."""

from __future__ import annotations

from typing import ClassVar

from pyreg.hooks import EventSink, hookimpl
from pyreg_notify_redis.options import Options as RedisOptions
from pyreg_notify_redis.sink import RedisStreamSink


class RedisPlugin:
    """Hands out the sink of one endpoint of the type `redis`."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[RedisOptions]] = RedisOptions

    def __init__(self, options: RedisOptions) -> None:
        self._sink = RedisStreamSink(
            options.name, options.server, stream=options.stream, maxlen=options.maxlen
        )

    @hookimpl
    def pyreg_event_sink(self) -> EventSink:
        """The sink."""
        return self._sink
