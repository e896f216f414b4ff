"""What the parts of the suite share: the fixtures to override, and ways to ask."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from pyreg.hooks import Authenticator, Identity, InvalidCredentials
from pyreg.testing.auth.credentials import Credentials

SCHEMES = ("basic", "bearer", "digest", "negotiate", "aws4-hmac-sha256", "dpop", "x-unheard-of")

EXAMPLES = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[
        # One authenticator serves all examples, as it serves all requests.
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)
"""How hypothesis tries the properties."""


class Harness:
    """What an authenticator's test class says about its authenticator."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The suite runs on asyncio, as the registry does."""
        return "asyncio"

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """The authenticator, ready to be asked."""
        raise NotImplementedError("say how to get an authenticator")

    @pytest.fixture
    def good(self) -> list[Credentials]:
        """Credentials that are right; of two callers at least, where there can be two."""
        raise NotImplementedError("say which credentials are right")

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        """Credentials of its kind that are wrong, each in another way.

        An authenticator that slows guesses down meets each of them a few hundred times.
        """
        raise NotImplementedError("say which credentials are wrong")

    @pytest.fixture
    def foreign(self) -> list[Credentials]:
        """Credentials of other kinds, which it must leave to others.

        Those of other schemes than the good ones have are tried without being named here.
        """
        return []


def of_other_schemes(good: list[Credentials]) -> list[Credentials]:
    """Credentials of every scheme that no good ones have."""
    taken = {each.scheme for each in good}
    values = ("dXNlcjpwYXNzd29yZA==", 'username="ann", realm="a", response="0123456789"')
    return [
        Credentials({"authorization": f"{scheme.title()} {value}"})
        for scheme in SCHEMES
        if scheme not in taken
        for value in values
    ]


async def refused(authenticator: Authenticator, credentials: Credentials) -> InvalidCredentials:
    """Ask with wrong credentials. Returns the refusal."""
    try:
        answer = await authenticator.authenticate(credentials.request())
    except InvalidCredentials as error:
        if error.retry_after is not None and error.retry_after <= 0:
            raise AssertionError("another try is asked for in the past") from error
        return error
    found = "nobody" if answer is None else repr(answer.name)
    raise AssertionError(f"wrong credentials are refused, and not taken for those of {found}")


async def outcome(authenticator: Authenticator, credentials: Credentials) -> Identity | None:
    """Ask with anything. Returns who gets in; None for nobody, refused or not."""
    try:
        return await authenticator.authenticate(credentials.request())
    except InvalidCredentials:
        return None


async def welcomed(authenticator: Authenticator, credentials: Credentials) -> Identity:
    """Ask with right credentials. Returns the identity."""
    identity = await authenticator.authenticate(credentials.request())
    assert identity is not None, "right credentials are not left to others"
    assert identity.name == credentials.name
    assert identity.authenticator == authenticator.name, "the identity says who vouches for it"
    assert not identity.anonymous
    return identity
