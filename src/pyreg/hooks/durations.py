"""Durations as the configuration writes them: Go's text, in the core and in every plugin.

With pydantic, an option of a plugin is `Annotated[float, BeforeValidator(parse_duration)]`.
"""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5
    "μs": 1e-6,  # U+03BC
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[-+]?({_PART.pattern})+")
_NANOSECONDS = re.compile(r"[-+]?[0-9]+")
_LONGEST = (2**63 - 1) / 1e9
_MAX_TEXT = 64


def parse_duration(value: object) -> float:
    """Read a duration.

    Args:
        value: Text as Go's `time.ParseDuration` takes it (`1h30m`, `100ms`, `0`), or digits
            only, which are nanoseconds; or a number of seconds.

    Returns:
        Seconds.

    Raises:
        ValueError: it is neither, negative, or longer than 292 years.
    """
    seconds = parse_signed_duration(value)
    if seconds < 0:
        raise ValueError("expected a duration that is not negative, such as 30s or 1h30m")
    return seconds


def parse_signed_duration(value: object) -> float:
    """Read a duration that may be negative, as `parse_duration` does otherwise."""
    expected = "expected a duration such as 30s or 1h30m"
    if isinstance(value, bool):
        raise ValueError(expected)  # noqa: TRY004 - pydantic turns only this into a mistake
    if isinstance(value, int | float):
        seconds = float(value)
    elif not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(expected)
    elif _NANOSECONDS.fullmatch(value):
        seconds = int(value) / 1e9
    elif _DURATION.fullmatch(value):
        total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
        seconds = -total if value[0] == "-" else total
    else:
        raise ValueError(expected)
    if not -_LONGEST <= seconds <= _LONGEST:
        raise ValueError("expected a duration of less than 292 years")
    return seconds
