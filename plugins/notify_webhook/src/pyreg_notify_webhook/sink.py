"""The sink: events in, requests out, and the figures of it."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from multidict import CIMultiDict

from pyreg.hooks import DeliveryFailed, Event, EventSink, Metric
from pyreg_notify_webhook.address import Address
from pyreg_notify_webhook.answers import Answer, Showing
from pyreg_notify_webhook.encryption import watched_context
from pyreg_notify_webhook.messages import Message, encoder
from pyreg_notify_webhook.options import Options, Signature
from pyreg_notify_webhook.posting import Endpoint, Poster
from pyreg_notify_webhook.signing import read_secret, read_secrets
from pyreg_notify_webhook.watched import UnusableFile, Watched, read

FEW = 20
"""Events and references that are encoded at once, in about a millisecond."""


class WebhookSink(EventSink):
    """Posts events to an HTTP endpoint.

    Args:
        options: Which one, and how.
    """

    batch = 1

    def __init__(self, options: Options) -> None:
        self.name = options.label
        self._encode = encoder(options)
        self._endpoint = _endpoint(options)
        self._showing = Showing(_secrets(options))
        self._poster = Poster(self._endpoint, self._showing)
        self._statuses: Counter[str] = Counter()

    async def open(self) -> None:
        """Read the files.

        Raises:
            PluginError: one of them cannot be used.
        """
        for watched in (self._endpoint.context, self._endpoint.secrets):
            if watched is not None:
                await watched.start()
        self._poster.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()

    async def deliver(self, events: Sequence[Event]) -> None:
        """Post all events, in one request unless the format wants one for each."""
        for message in await self._messages(events):
            self._check(await self._poster.post(message))

    async def test(self, event: Event) -> str:
        """Post a sample, and show what comes back."""
        shown = []
        for message in self._encode([event]):
            answer = await self._poster.post(message, patient=True)
            self._check(answer)
            shown.append(self._showing.whole(answer))
        return "\n\n".join(shown)

    def metrics(self) -> Iterable[Metric]:
        """How often each status was answered, since the start."""
        yield Metric(
            "registry_notifications_status_total",
            "counter",
            "Answers of endpoints, by their status.",
            tuple(
                ({"code": line, "endpoint": self.name}, float(count))
                for line, count in sorted(self._statuses.items())
            ),
        )

    async def _messages(self, events: Sequence[Event]) -> list[Message]:
        """The events encoded; many of them in a thread, so that nobody waits for it."""
        if sum(1 + len(event.references) for event in events) <= FEW:
            return self._encode(events)
        return await asyncio.to_thread(self._encode, events)

    def _check(self, answer: Answer) -> None:
        self._statuses[answer.line] += 1
        if not answer.accepted:
            raise self._refused(answer)

    def _refused(self, answer: Answer) -> DeliveryFailed:
        excerpt = self._showing.excerpt(answer)
        reason = f"answered {answer.line}"
        return self._poster.failed(f"{reason}: {excerpt}" if excerpt else reason, answer)


def _endpoint(options: Options) -> Endpoint:
    address = options.address
    what = f"the endpoint {options.label}"
    return Endpoint(
        name=options.label,
        address=address,
        headers=CIMultiDict(
            (name, value.get_secret_value())
            for name, values in options.headers.items()
            for value in values
        ),
        agent=f"pyreg/{importlib.metadata.version('pyreg')}",
        proxy=Address.of(options.proxy) if options.proxy else None,
        servername=options.tls.servername,
        context=watched_context(options.tls, what) if address.target.scheme == "https" else None,
        secrets=_watched_secrets(options.signature, what),
    )


def _watched_secrets(options: Signature, what: str) -> Watched[tuple[bytes, ...]] | None:
    """Those of the configuration first, then those of the file; None if there are none."""
    given = tuple(read_secret(secret.get_secret_value()) for secret in options.secrets)
    if not given and not options.secretfile:
        return None
    paths = [Path(options.secretfile)] if options.secretfile else []

    def load() -> tuple[bytes, ...]:
        found = given
        for path in paths:
            try:
                found += read_secrets(read(path))
            except UnusableFile:
                raise
            except ValueError as error:
                raise UnusableFile(f"{path}: {error}") from error
        return tuple(dict.fromkeys(found))

    return Watched(f"{what}, signature.secretfile", paths, load)


def _secrets(options: Options) -> Iterable[str]:
    """What an endpoint is told and nobody else."""
    for values in options.headers.values():
        yield from (value.get_secret_value() for value in values)
    yield from options.address.secrets
    if options.proxy:
        yield from Address.of(options.proxy).secrets
