"""What is remembered of attempts that came to nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyreg_tls.acme import Acme, LetsEncrypt
from pyreg_tls.acme.authority import Failed
from pyreg_tls.acme.cache import HostState

HOST = "registry.example.com"
DIRECTORY = "https://127.0.0.1:1/dir"


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    """With an order under way."""
    options = LetsEncrypt(
        cachefile=str(tmp_path), email="ops@example.com", hosts=(HOST,), directoryurl=DIRECTORY
    )
    acme = Acme(options)
    acme._cache.open()
    order = HostState(directory=DIRECTORY, order="https://127.0.0.1:1/order/1", key="PEM")
    acme._cache.keep_state(HOST, order)
    return acme


def order_of(acme: Acme) -> str:
    return acme._cache.state(HOST, DIRECTORY).order


def fail(acme: Acme, error: Failed, *, reached: bool = False) -> None:
    """An attempt fails, and the pause after it is over."""
    acme._note(HOST, error, reached=reached)
    state = acme._cache.state(HOST, DIRECTORY)
    assert state.retry
    acme._cache.keep_state(HOST, state.model_copy(update={"retry": 0.0}))


def test_an_order_goes_on_after_an_answer_that_did_not_come(acme: Acme) -> None:
    fail(acme, Failed("read timed out", refused=False), reached=True)
    assert order_of(acme)


def test_an_order_of_which_nothing_is_heard_again_is_made_anew(acme: Acme) -> None:
    for _ in range(2):
        fail(acme, Failed("read timed out", refused=False), reached=True)
    assert order_of(acme) == ""


def test_an_order_outlives_an_authority_that_is_away(acme: Acme) -> None:
    for _ in range(5):
        fail(acme, Failed("connection refused", refused=False))
    assert order_of(acme)


def test_an_order_that_was_refused_is_over(acme: Acme) -> None:
    fail(acme, Failed("no"), reached=True)
    assert order_of(acme) == ""
