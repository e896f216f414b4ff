"""Webhooks: events posted over HTTP, as the Docker registry does it, or as CloudEvents."""

from pyreg_notify_webhook.options import TLS, Options, Signature
from pyreg_notify_webhook.plugin import WebhookPlugin
from pyreg_notify_webhook.sink import WebhookSink

__all__ = ["TLS", "Options", "Signature", "WebhookPlugin", "WebhookSink"]
