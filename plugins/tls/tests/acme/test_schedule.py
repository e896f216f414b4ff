"""When to ask, when to ask again, and what to complain of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from pyreg_tls.acme.cache import HostState
from pyreg_tls.acme.schedule import Held, complaint, due, pause

HOST = "registry.example.com"
A, B = "https://a.example/directory", "https://b.example/directory"
DAY = 86400.0
BEGIN = 1_800_000_000.0


@pytest.fixture
def held(signed: Callable[..., bytes]) -> Held:
    """A certificate for 90 days."""
    pem = signed(HOST, begins=BEGIN, ends=BEGIN + 90 * DAY)
    return Held.of(x509.load_pem_x509_certificate(pem), BEGIN)


def state(**values: object) -> HostState:
    return HostState.model_validate({"directory": A, "issuer": A, **values})


def test_the_first_one_is_due_at_once() -> None:
    assert due(None, state(), 0) == 0.0
    assert due(None, state(retry=BEGIN), 0) == BEGIN


def test_two_thirds_of_the_life_are_used(held: Held) -> None:
    assert 57 * DAY <= due(held, state(), BEGIN + 1) - BEGIN <= 60 * DAY
    assert due(held, state(issuer=""), BEGIN + 1) == due(held, state(), BEGIN + 1), (
        "the Docker registry's own"
    )


def test_a_pause_is_kept(held: Held) -> None:
    assert due(held, state(retry=BEGIN + 70 * DAY), BEGIN + 1) == BEGIN + 70 * DAY


def test_another_authority_is_asked_at_once(held: Held) -> None:
    assert due(held, state(issuer=B), BEGIN + 1) == 0.0
    assert due(held, state(issuer=B, retry=BEGIN), BEGIN + 1) == BEGIN


def test_what_came_meanwhile_is_another_s_work(held: Held) -> None:
    """After a reload, old processes must not undo what new ones have done."""
    other = state(issuer=B, renewal=BEGIN + DAY)  # of an earlier certificate of A
    assert 57 * DAY <= due(held, other, BEGIN - 1) - BEGIN <= 60 * DAY


def test_the_authority_s_word_counts_within_reason(held: Held) -> None:
    assert due(held, state(renewal=BEGIN + 3 * DAY), BEGIN + 1) == BEGIN + 3 * DAY
    assert due(held, state(renewal=BEGIN + 70 * DAY), BEGIN + 1) == BEGIN + 70 * DAY
    assert due(held, state(renewal=BEGIN + 99 * DAY), BEGIN + 1) == pytest.approx(BEGIN + 75 * DAY)


def test_certificates_of_one_day_are_not_renewed_in_one_moment(
    signed: Callable[..., bytes],
) -> None:
    moments = set()
    for _ in range(20):
        pem = signed(HOST, begins=BEGIN, ends=BEGIN + 90 * DAY)
        moments.add(due(Held.of(x509.load_pem_x509_certificate(pem), BEGIN), state(), 0))
    assert max(moments) - min(moments) > DAY / 2


def test_pauses_spare_the_authority() -> None:
    """Let's Encrypt: at most five failures an hour for one name."""
    now, within_an_hour = 0.0, 0
    for failures in range(1, 20):
        within_an_hour += now < 3600
        now += pause(failures, refused=True)
    assert within_an_hour == 4
    assert now > 12 * 3600


@given(st.integers(1, 10**9), st.booleans(), st.floats(0, 1e12))
def test_a_pause_is_bounded(failures: int, refused: bool, wanted: float) -> None:
    length = pause(failures, refused=refused, wanted=wanted)
    assert min(wanted, 7 * DAY) <= length <= max(3600 * 1.1, 7 * DAY)
    assert length >= (54 if refused else 4.5)


def test_complaints(held: Held) -> None:
    def of(at: float, certificate: Held | None = held, **values: object) -> str | None:
        return complaint(HOST, certificate, state(**values), BEGIN + at * DAY)

    def why(failures: int) -> str:
        return f"failed attempts: {failures}, the log says why"

    secret = "no (dns) from 10.0.0.1"
    assert of(0, None) == f"waiting for a certificate for {HOST}"
    assert of(0, None, failures=1, reason=secret) == (
        f"waiting for a certificate for {HOST}; {why(1)}"
    )
    assert of(62) is None
    assert of(62, failures=4, reason=secret) is None, "that happens, and there is time"
    assert of(62, failures=5) == f"the certificate of {HOST} expires in 28.0 days; {why(5)}"
    assert of(76) == f"the certificate of {HOST} expires in 14.0 days"
    assert of(90, failures=9) == f"the certificate of {HOST} has expired; {why(9)}"
