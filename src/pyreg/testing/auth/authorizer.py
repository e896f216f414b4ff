# ruff: noqa: D102 - the name of a test says what it tests
"""The conformance suite of authorizers.

An authorizer's tests subclass `AuthorizerContract` and override its fixtures:

```python
class TestReadOnly(AuthorizerContract):
    @pytest.fixture
    def authorizer(self) -> Authorizer:
        return ReadOnly()

    @pytest.fixture
    def allowed(self) -> list[tuple[Identity, Access]]:
        return [(ADA, Access("repository", "team/app", ("pull",)))]

    @pytest.fixture
    def denied(self) -> list[tuple[Identity, Access]]:
        return [(ADA, Access("repository", "team/app", ("pull", "push")))]
```
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.hooks import ANONYMOUS, Access, Authorizer, Decision, Identity
from pyreg.testing.auth.harness import EXAMPLES

Question = tuple[Identity, Access]

ACTIONS = ("pull", "push", "delete", "*")
NAMES = st.text(max_size=80) | st.sampled_from(
    ["", "*", "**", ".", "..", "../a", "a/../b", "a//b", "/a", "a/", "{user}", "a" * 10_000, "\x00"]
)


@pytest.mark.anyio
class AuthorizerContract:
    """What `pyreg.hooks.Authorizer` asks of an authorizer, as tests."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The suite runs on asyncio, as the registry does."""
        return "asyncio"

    @pytest.fixture
    def authorizer(self) -> Authorizer:
        """The authorizer, ready to be asked."""
        raise NotImplementedError("say how to get an authorizer")

    @pytest.fixture
    def allowed(self) -> list[Question]:
        """What it allows."""
        raise NotImplementedError("say what is allowed")

    @pytest.fixture
    def denied(self) -> list[Question]:
        """What it does not allow: denied, or left to others."""
        raise NotImplementedError("say what is denied")

    async def test_it_decides_the_same_each_time(
        self, authorizer: Authorizer, allowed: list[Question], denied: list[Question]
    ) -> None:
        assert allowed
        assert denied
        for _ in range(3):
            for identity, access in allowed:
                assert await authorizer.authorize(identity, access) is Decision.ALLOW, access
            for identity, access in denied:
                assert await authorizer.authorize(identity, access) is not Decision.ALLOW, access

    async def test_many_at_once_are_not_mixed_up(
        self, authorizer: Authorizer, allowed: list[Question], denied: list[Question]
    ) -> None:
        questions = [*allowed, *denied] * 20
        decisions = await asyncio.gather(
            *(authorizer.authorize(identity, access) for identity, access in questions)
        )
        for question, decision in zip(questions, decisions, strict=True):
            assert (decision is Decision.ALLOW) == (question in allowed), question

    async def test_who_may_do_all_may_do_a_part(
        self, authorizer: Authorizer, allowed: list[Question]
    ) -> None:
        for identity, access in allowed:
            for count in range(1, len(access.actions)):
                for actions in combinations(access.actions, count):
                    part = replace(access, actions=actions)
                    assert await authorizer.authorize(identity, part) is Decision.ALLOW, part

    async def test_asking_for_more_does_not_help(
        self, authorizer: Authorizer, denied: list[Question]
    ) -> None:
        for identity, access in denied:
            for action in set(ACTIONS) - set(access.actions):
                for actions in ((*access.actions, action), (action, *access.actions)):
                    more = replace(access, actions=actions)
                    assert await authorizer.authorize(identity, more) is not Decision.ALLOW, more

    async def test_who_may_pull_sees(self, authorizer: Authorizer, allowed: list[Question]) -> None:
        for identity, access in allowed:
            if access.kind == "repository" and "pull" in access.actions:
                assert await authorizer.sees(identity, access.name) is Decision.ALLOW, access

    @EXAMPLES
    @given(
        kind=st.sampled_from(["repository", "registry"]) | NAMES,
        name=NAMES,
        actions=st.lists(st.sampled_from(ACTIONS) | NAMES, max_size=4).map(tuple),
        user=NAMES,
        groups=st.frozensets(NAMES, max_size=3),
    )
    async def test_odd_questions_are_answered(
        self,
        authorizer: Authorizer,
        kind: str,
        name: str,
        actions: tuple[str, ...],
        user: str,
        groups: frozenset[str],
    ) -> None:
        access = Access(kind, name, actions)
        for identity in (ANONYMOUS, Identity(user, groups, {"sub": user}, "somebody")):
            assert isinstance(await authorizer.authorize(identity, access), Decision)
            assert isinstance(await authorizer.sees(identity, name), Decision)
