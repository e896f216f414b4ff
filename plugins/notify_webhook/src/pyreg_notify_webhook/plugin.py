"""The entry point `webhook`: one of `notifications.endpoints`."""

from __future__ import annotations

from typing import ClassVar

from pyreg.hooks import EventSink, hookimpl
from pyreg_notify_webhook.options import Options
from pyreg_notify_webhook.sink import WebhookSink

_Options = Options  # inside the class, `Options` is the attribute


class WebhookPlugin:
    """Hands out a sink that posts events to an HTTP endpoint."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._sink = WebhookSink(options)

    @hookimpl
    def pyreg_event_sink(self) -> EventSink:
        """Posts events."""
        return self._sink
