"""Failed logins are slowed down, and nobody can lock somebody else out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.auth_basic.tests.conftest import Clock
from pyreg_auth_basic.throttle import KEYS, USER_FACTOR, Throttle, network

HERE, THERE = "192.0.2.1", "198.51.100.7"
FAILURES, PAUSE = 10, 6.0


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(FAILURES, PAUSE, clock=clock)


def fail(throttle: Throttle, user: str, address: str, times: int) -> None:
    for _ in range(times):
        throttle.failed(user, address)


def addresses(count: int) -> list[str]:
    return [f"203.0.{number // 200}.{number % 200}" for number in range(count)]


def test_failures_of_an_address_make_it_wait(throttle: Throttle, clock: Clock) -> None:
    for number in range(FAILURES):
        assert throttle.wait(f"user{number}", HERE) == 0
        throttle.failed(f"user{number}", HERE)
    assert throttle.wait("ann", HERE) == PAUSE
    clock.sleep(PAUSE - 1)
    assert throttle.wait("ann", HERE) == 1
    clock.sleep(1)
    assert throttle.wait("ann", HERE) == 0
    throttle.failed("ann", HERE)
    assert throttle.wait("ann", HERE) == PAUSE, "from then on one a pause"
    assert throttle.wait("ann", THERE) == 0, "others are not concerned"
    clock.sleep(FAILURES * PAUSE)
    fail(throttle, "ann", HERE, FAILURES - 1)
    assert throttle.wait("ann", HERE) == 0, "all is forgotten"


def test_guessing_is_slow_in_the_long_run(throttle: Throttle, clock: Clock) -> None:
    guesses = 0
    for _ in range(3600):
        while throttle.wait("ann", HERE) == 0:
            throttle.failed("ann", HERE)
            guesses += 1
        clock.sleep(1)
    assert guesses == FAILURES + 3600 // PAUSE - 1


def test_a_user_is_guarded_against_many_addresses(throttle: Throttle, clock: Clock) -> None:
    first = addresses(60)
    for address in first:
        throttle.failed("ann", address)
    assert all(throttle.wait("ann", address) > 0 for address in first)
    assert all(throttle.wait("bea", address) == 0 for address in first)
    assert max(throttle.wait("ann", address) for address in first) < 60 * PAUSE / USER_FACTOR
    guesses = 0
    for _ in range(600):
        for address in first:
            if throttle.wait("ann", address) == 0:
                throttle.failed("ann", address)
                guesses += 1
        clock.sleep(1)
    assert guesses <= 600 / (PAUSE / USER_FACTOR)


def test_the_real_user_is_not_locked_out(throttle: Throttle, clock: Clock) -> None:
    throttle.succeeded("ann", HERE)
    for _ in range(10):
        for address in (THERE, *addresses(200)):
            throttle.failed("ann", address)
        assert throttle.wait("ann", HERE) == 0, "an address that is known"
        assert throttle.wait("ann", "198.51.100.200") == 0, "the first try at an address"
        clock.sleep(1)
    # Somebody beside the user, behind the same address, guesses at others.
    fail(throttle, "bea", HERE, 100)
    assert throttle.wait("cid", HERE) > 0
    assert throttle.wait("ann", HERE) == 0


def test_a_known_user_is_slowed_down_by_the_own_failures(throttle: Throttle, clock: Clock) -> None:
    throttle.succeeded("ann", HERE)
    fail(throttle, "ann", HERE, FAILURES)
    assert throttle.wait("ann", HERE) == PAUSE
    assert throttle.wait("bea", HERE) == 0
    assert throttle.wait("ann", THERE) == 0


def test_a_success_of_the_same_user_at_the_same_address_resets(throttle: Throttle) -> None:
    fail(throttle, "ann", HERE, FAILURES - 1)
    throttle.succeeded("ann", HERE)
    fail(throttle, "ann", HERE, FAILURES - 1)
    throttle.succeeded("ann", HERE)
    assert throttle.wait("ann", HERE) == 0
    # Who has a login of his own does not get more guesses at others by it.
    fail(throttle, "bea", THERE, FAILURES)
    throttle.succeeded("ann", THERE)
    assert throttle.wait("bea", THERE) > 0


def test_it_can_be_turned_off(clock: Clock) -> None:
    throttle = Throttle(0, PAUSE, clock=clock)
    fail(throttle, "ann", HERE, 1000)
    throttle.succeeded("ann", HERE)
    assert throttle.wait("ann", HERE) == 0


def test_addresses_that_one_subscriber_has_are_one() -> None:
    assert network("2001:db8:1:2::1") == network("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::1") != network("2001:db8:1:2::1")
    assert network("::ffff:192.0.2.1") == "192.0.2.1"
    assert network("") == ""
    assert network("unix") == "unix"


def test_memory_is_bounded(throttle: Throttle) -> None:
    for number in range(KEYS * 2):
        throttle.failed(f"user{number}", f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
        throttle.succeeded(f"user{number}", f"192.0.{number >> 8 & 0xFF}.{number & 0xFF}")
    sizes = [
        len(held)
        for held in (
            throttle._pairs,
            throttle._addresses._zero_at,
            throttle._users._zero_at,
            throttle._own._zero_at,
        )
    ]
    assert max(sizes) == KEYS
    last = KEYS * 2 - 1
    fail(throttle, f"user{last}", f"2001:db8:{last >> 16:x}:{last & 0xFFFF:x}::1", FAILURES - 1)
    assert throttle.wait("x", f"2001:db8:{last >> 16:x}:{last & 0xFFFF:x}::1") > 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["fail", "succeed", "sleep"]),
            st.sampled_from(["ann", "bea"]),
            st.sampled_from([HERE, THERE]),
            st.floats(0, 100),
        ),
        max_size=200,
    )
)
def test_no_wait_is_longer_than_a_pause(
    history: list[tuple[str, str, str, float]],
) -> None:
    """As long as nobody is let try who has to wait."""
    clock = Clock()
    throttle = Throttle(3, PAUSE, clock=clock)
    for what, user, address, seconds in history:
        if what == "sleep":
            clock.sleep(seconds)
        elif throttle.wait(user, address) == 0:
            (throttle.failed if what == "fail" else throttle.succeeded)(user, address)
        for each in ("ann", "bea"):
            for place in (HERE, THERE):
                assert 0 <= throttle.wait(each, place) <= PAUSE + 1e-6
