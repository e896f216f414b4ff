# ruff: noqa: D102 - the name of a test says what it tests
"""Many callers at once, and callers that go away."""

from __future__ import annotations

import asyncio
from itertools import cycle, islice

from pyreg.hooks import Authenticator, Identity, InvalidCredentials
from pyreg.testing.auth.credentials import Credentials
from pyreg.testing.auth.harness import Harness, of_other_schemes, refused, welcomed

CROWD = 100


class Crowd(Harness):
    """Concurrency and cancellation."""

    async def test_many_at_once_are_not_mixed_up(
        self, authenticator: Authenticator, good: list[Credentials], bad: list[Credentials]
    ) -> None:
        async def nobody(credentials: Credentials) -> None:
            assert await authenticator.authenticate(credentials.request()) is None

        strangers = islice(cycle([Credentials(), *of_other_schemes(good)]), CROWD)
        async with asyncio.TaskGroup() as crowd:
            for one, wrong, stranger in zip(
                islice(cycle(good), CROWD), cycle(bad), strangers, strict=False
            ):
                crowd.create_task(welcomed(authenticator, one))
                crowd.create_task(refused(authenticator, wrong))
                crowd.create_task(nobody(stranger))

    async def test_callers_that_go_away_take_nobody_along(
        self, authenticator: Authenticator, good: list[Credentials], bad: list[Credentials]
    ) -> None:
        """Whoever asks with the same credentials at the same time is answered all the same."""
        for pauses in (0, 1, 2, 3, 5, 8):
            asked = [each for each in [*good, *bad] for _ in range(3)]
            leaving = [
                asyncio.create_task(authenticator.authenticate(each.request())) for each in asked
            ]
            for _ in range(pauses):
                await asyncio.sleep(0)
            staying = [
                asyncio.create_task(_answered(authenticator, each)) for each in [*good, *bad]
            ]
            await asyncio.sleep(0)
            for task in leaving:
                task.cancel()
            failures = await asyncio.gather(*staying, return_exceptions=True)
            assert failures == [None] * len(staying), "somebody who stayed was not answered"
            for left in await asyncio.gather(*leaving, return_exceptions=True):
                # Some were quicker than the cancellation.
                assert isinstance(left, (Identity, InvalidCredentials, asyncio.CancelledError))
        for each in good:
            await welcomed(authenticator, each)
        for each in bad:
            await refused(authenticator, each)


async def _answered(authenticator: Authenticator, credentials: Credentials) -> None:
    await (welcomed if credentials.name else refused)(authenticator, credentials)
