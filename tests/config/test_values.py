"""Durations, sizes, addresses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.config.values import (
    format_duration,
    format_size,
    parse_size,
)
from pyreg.hooks.durations import parse_duration, parse_signed_duration

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1h30m", 5400),
        ("168h", 604800),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("2h45m30.5s", 9930.5),
        ("100ms", 0.1),
        ("0", 0),
        ("1000000000", 1),
        ("+5s", 5),
        (30, 30),
        (0.25, 0.25),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "s", "10 s", "1d", "1h-30m", "-5s", "5S", "1e3s", "..5s", "5s ", "inf", "9" * 30,
     "99999999h", "1h" * 40, True, None, [], float("nan"), float("inf"), "５s"],
)  # fmt: skip
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_negative_durations_where_they_mean_something() -> None:
    assert parse_signed_duration("-1") == -1e-9
    assert parse_signed_duration("-1m30s") == -90
    assert format_duration(-90) == "-1m30s"


@given(st.lists(st.tuples(st.integers(0, 10**4), st.sampled_from(sorted(UNITS))), min_size=1,
                max_size=6))  # fmt: skip
def test_durations_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    expected = sum(number * UNITS[unit] for number, unit in parts)
    assert parse_duration(text) == pytest.approx(expected)


@given(st.integers(0, 10**16))
def test_durations_are_written_as_they_are_read(nanoseconds: int) -> None:
    seconds = nanoseconds / 1e9
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.text(max_size=80))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("4MiB", 4 * 2**20), ("10 MB", 10**7), ("1kib", 1024), ("7B", 7),
     (9, 9), ("1_000", 1000)],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1", "1.5MiB", "4M", "4 bananas", True, None, -1, 2.0]
)
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="expected a number of bytes"):
        parse_size(text)


@given(st.integers(0, 2**50))
def test_sizes_are_written_as_they_are_read(size: int) -> None:
    assert parse_size(format_size(size)) == size
