# ruff: noqa: D102 - the name of a test says what it tests
"""What people read: the answer to a sample, and nothing of what is secret."""

from __future__ import annotations

import logging
import traceback

import pytest

from pyreg.hooks import EventSink
from pyreg.testing.events.endpoint import Endpoint
from pyreg.testing.events.harness import Harness, away, ids, ids_arrived
from pyreg.testing.events.samples import pushes

SHORTEST_SECRET = 5
"""Characters; a shorter one shows up in innocent text by chance."""


class Secrecy(Harness):
    """`pyreg events test`, and messages."""

    async def test_a_sample_is_delivered_and_answered(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        events = pushes(1)
        answer = await self.within_patience(sink.test(events[0]))
        assert isinstance(answer, str)
        assert answer.strip()
        assert await ids_arrived(endpoint, events) == ids(events)

    async def test_a_sample_that_cannot_arrive_is_a_failure(
        self, endpoint: Endpoint, sink: EventSink
    ) -> None:
        async with away(endpoint):
            error = await self.failure(sink.test(pushes(1)[0]))
        assert str(error).strip(), "a failure has a reason"

    async def test_secrets_are_not_told(
        self, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        if not endpoint.secrets:
            pytest.skip("it has no secrets")
        for secret in endpoint.secrets:
            assert len(secret) >= SHORTEST_SECRET, "a short secret shows up by chance"
        caplog.set_level(logging.DEBUG)
        sink = endpoint.sink()
        told = [repr(sink), str(sink), sink.name]
        await self.within_patience(sink.open())
        told.append(await self.within_patience(sink.test(pushes(1)[0])))
        async with away(endpoint):
            for error in (
                await self.failure(sink.deliver(pushes(1))),
                await self.failure(sink.test(pushes(1)[0])),
            ):
                told += [repr(error), *traceback.format_exception(error)]
        told += [repr(sink), str(sink), repr(list(sink.metrics()))]
        await self.within_patience(sink.close())
        formatter = logging.Formatter()
        for record in caplog.records:
            told += [formatter.format(record), repr(record.args), repr(vars(record))]
        text = "\n".join(told)
        for secret in endpoint.secrets:
            assert secret not in text, "a secret shows in a message"
