# ruff: noqa: D102 - the name of a test says what it tests
"""Who gets in, who does not, and what is said about it."""

from __future__ import annotations

import logging
import traceback

import pytest

from pyreg.hooks import Authenticator, Identity
from pyreg.testing.auth.credentials import Credentials
from pyreg.testing.auth.harness import Harness, of_other_schemes, refused, welcomed


class Verdicts(Harness):
    """Good, bad, foreign and no credentials."""

    async def test_it_has_a_name(self, authenticator: Authenticator) -> None:
        assert authenticator.name
        assert authenticator.name == authenticator.name.strip().lower()

    async def test_no_credentials_are_left_to_others(self, authenticator: Authenticator) -> None:
        for headers in (
            {},
            {"user-agent": "docker/26.1", "host": "registry.test", "accept": "*/*"},
            {"proxy-authorization": "Basic dXNlcjpwYXNzd29yZA=="},
            {"cookie": "session=dXNlcjpwYXNzd29yZA==", "x-forwarded-user": "ann"},
        ):
            assert await authenticator.authenticate(Credentials(headers).request()) is None

    async def test_credentials_of_other_kinds_are_left_to_others(
        self,
        authenticator: Authenticator,
        good: list[Credentials],
        foreign: list[Credentials],
    ) -> None:
        for each in [*of_other_schemes(good), *foreign]:
            assert await authenticator.authenticate(each.request()) is None, each.authorization

    async def test_good_credentials_get_in_again_and_again(
        self, authenticator: Authenticator, good: list[Credentials]
    ) -> None:
        assert good
        for _ in range(3):
            for each in good:
                identity = await welcomed(authenticator, each)
                assert isinstance(identity, Identity)
                assert isinstance(identity.groups, frozenset)
                assert all(isinstance(group, str) for group in identity.groups)

    async def test_it_does_not_matter_what_is_asked_for(
        self, authenticator: Authenticator, good: list[Credentials]
    ) -> None:
        for path in ("/v2/", "/v2/_catalog", "/v2/team/app/manifests/v1", "/v2/é/%2f/../x"):
            for each in good:
                identity = await authenticator.authenticate(each.request(path))
                assert identity is not None
                assert identity.name == each.name

    async def test_bad_credentials_are_refused_again_and_again(
        self, authenticator: Authenticator, good: list[Credentials], bad: list[Credentials]
    ) -> None:
        assert bad
        for _ in range(3):
            for each in bad:
                await refused(authenticator, each)
            # What was learnt from the good ones must not let the bad ones in, nor keep out.
            for each in good:
                await welcomed(authenticator, each)

    async def test_schemes_have_no_case_and_spaces_may_follow(
        self, authenticator: Authenticator, good: list[Credentials]
    ) -> None:
        """RFC 9110, sections 11.1 and 11.4."""
        checked = with_authorization(good)
        for each in checked:
            scheme, _, value = each.authorization.partition(" ")
            for written in (scheme.lower(), scheme.upper(), scheme.swapcase(), f"{scheme}  "):
                await welcomed(authenticator, each.with_authorization(f"{written} {value}"))

    async def test_secrets_are_not_told(
        self,
        authenticator: Authenticator,
        good: list[Credentials],
        bad: list[Credentials],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told = []
        for each in bad:
            error = await refused(authenticator, each)
            told += [repr(error), error.reason, error.error, *traceback.format_exception(error)]
        for each in good:
            told.append(repr(await welcomed(authenticator, each)))
        formatter = logging.Formatter()
        for record in caplog.records:
            told += [formatter.format(record), repr(record.args), repr(vars(record))]
        text = "\n".join(told)
        for each in [*good, *bad]:
            for secret in each.unspeakable:
                assert secret not in text, "a secret shows in a log, or in an exception"


def with_authorization(credentials: list[Credentials]) -> list[Credentials]:
    """Those that are in an Authorization header; the end of the test if none is."""
    found = [each for each in credentials if each.authorization]
    if not found:
        pytest.skip("its credentials are in no Authorization header")
    return found
