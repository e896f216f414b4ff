"""Events in a Redis stream."""

from pyreg_notify_redis.options import Options, TLSOptions
from pyreg_notify_redis.plugin import RedisPlugin
from pyreg_notify_redis.sink import RedisStreamSink

__all__ = ["Options", "RedisPlugin", "RedisStreamSink", "TLSOptions"]
