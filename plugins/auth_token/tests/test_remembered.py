"""Verified tokens are remembered: not too long, not too many, and not as they are."""

from __future__ import annotations

import pytest

from pyreg.hooks import Identity
from pyreg_auth_token import remembered
from pyreg_auth_token.keys import EMPTY, Keyring
from pyreg_auth_token.remembered import Remembered

ADA = Identity("ada", authenticator="token")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ready(clock: Clock) -> Remembered:
    """As it is after the first look."""
    memory = Remembered(clock=clock)
    assert memory.find("first", EMPTY) is None
    return memory


def test_until_it_expires() -> None:
    clock = Clock()
    memory = ready(clock)
    memory.add("token", EMPTY, 1010.0, ADA)
    clock.now = 1009.9
    assert memory.find("token", EMPTY) is ADA
    assert memory.find("Token", EMPTY) is None
    clock.now = 1010.0
    assert memory.find("token", EMPTY) is None
    assert len(memory) == 0


def test_what_has_expired_is_not_taken() -> None:
    """It may still be within the leeway, and is verified each time."""
    memory = ready(Clock())
    memory.add("token", EMPTY, 999.0, ADA)
    assert len(memory) == 0


def test_until_the_keys_change() -> None:
    memory = ready(Clock())
    memory.add("token", EMPTY, 2000.0, ADA)
    other = Keyring()
    assert memory.find("token", other) is None
    # What was verified with keys that have changed meanwhile is not taken.
    memory.add("token", EMPTY, 2000.0, ADA)
    assert memory.find("token", other) is None


def test_who_was_not_seen_for_the_longest_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "CAPACITY", 3)
    memory = ready(Clock())
    for token in "abc":
        memory.add(token, EMPTY, 2000.0, ADA)
    assert memory.find("a", EMPTY)
    memory.add("d", EMPTY, 2000.0, ADA)
    assert len(memory) == 3
    assert memory.find("b", EMPTY) is None
    assert memory.find("a", EMPTY)


def test_tokens_do_not_lie_in_memory() -> None:
    memory = ready(Clock())
    memory.add("a-very-secret-token", EMPTY, 2000.0, ADA)
    assert "secret" not in repr(vars(memory))
