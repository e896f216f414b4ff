"""The kinds of values that the Docker registry's configuration has and Python has not.

Text follows Go's rules, since that is what configuration files are written for. A number that
comes from Python, and not from a file, is in the unit of the type: seconds, or bytes.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pyreg.hooks.durations import parse_duration, parse_signed_duration

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_TEXT = 64

PAGE = 1000
"""Entries of a page unless the configuration says otherwise."""

_SIZES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"([0-9]+)\s*([a-zA-Z]*)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def format_duration(seconds: float) -> str:
    """Write a duration as `parse_duration` reads it: `1h30m`, `100ms`, `0s`."""
    sign = "-" if seconds < 0 else ""
    nanoseconds = round(abs(seconds) * 1e9)
    parts = []
    for unit, length in (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9)):
        count, nanoseconds = divmod(nanoseconds, length)
        if count:
            parts.append(f"{count}{unit}")
    for unit, length in (("ms", 10**6), ("us", 10**3), ("ns", 1)):
        count, nanoseconds = divmod(nanoseconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts) if parts else "0s"


def parse_size(value: object) -> int:
    """Read a number of bytes.

    Args:
        value: A number, or text with a unit: `512`, `4MiB`, `10 MB`.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        match = _SIZE.fullmatch(value.strip().replace("_", ""))
        if match and match[2].lower() in _SIZES:
            return int(match[1]) * _SIZES[match[2].lower()]
    raise ValueError("expected a number of bytes, such as 4194304 or 4MiB")


def format_size(size: int) -> str:
    """Write a number of bytes as `parse_size` reads it, with the largest unit that fits."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit.lower()] == 0:
            return f"{size // _SIZES[unit.lower()]}{unit}"
    return str(size)


def _page_size(value: int) -> int:
    return value if value > 0 else PAGE


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _prefix(value: object) -> object:
    """`/my/registry/`: the Docker registry needs both slashes, and here they are added."""
    if not isinstance(value, str) or value.strip("/") == "":
        return "" if isinstance(value, str) else value
    if not re.fullmatch(r"[A-Za-z0-9._~/-]+", value) or "//" in value:
        raise ValueError("expected a path such as /my/registry/")
    if any(part in (".", "..") for part in value.split("/")):
        raise ValueError("expected a path without . and ..")
    return f"/{value.strip('/')}/"


def _external_url(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    expected = "expected a URL such as https://registry.example.com:5000"
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\x00-\x1f\x7f]", value) or parts.query or parts.fragment:
        raise ValueError(expected)
    return value.rstrip("/")


def _network(value: object) -> object:
    try:
        return ipaddress.ip_network(value, strict=False) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(
            "expected an address or a network, such as 10.0.0.7 or 10.0.0.0/8"
        ) from None


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"expected a regular expression; {error}") from None


def _header_name(value: object) -> object:
    if isinstance(value, str) and not _TOKEN.fullmatch(value):
        raise ValueError("expected the name of a header")
    return value


def _header_value(value: object) -> object:
    if isinstance(value, str) and re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError("expected a header's value without control characters")
    return value


_DURATION_SCHEMA: dict[str, Any] = {
    "type": ["string", "integer"],
    "pattern": r"^[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$|^[-+]?[0-9]+$",
}

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds; written `10s`, `1h30m`, or as a whole number of nanoseconds."""

SignedDuration = Annotated[
    float, BeforeValidator(parse_signed_duration), WithJsonSchema(_DURATION_SCHEMA)
]
"""A `Duration` that may be negative."""

ByteSize = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"type": ["string", "integer"], "pattern": "^[0-9]+ *([kKmMgGtT][iI]?[bB]|[bB])?$"}
    ),
]
"""Bytes; written `4194304` or `4MiB`."""

PageSize = Annotated[int, AfterValidator(_page_size)]
"""Entries of a page; as in the Docker registry, 0 or less means the default, `PAGE`."""

Lower = BeforeValidator(_lower)
"""Upper and lower case are the same."""

Prefix = Annotated[str, BeforeValidator(_prefix)]
"""The path in front of `/v2/`: "" or with a slash at both ends."""

ExternalURL = Annotated[str, BeforeValidator(_external_url)]
"""An absolute HTTP address without a slash at its end, or ""."""

Network = Annotated[IPNetwork, BeforeValidator(_network), WithJsonSchema({"type": "string"})]
"""An address or a network in CIDR notation."""

Pattern = Annotated[
    re.Pattern[str],
    BeforeValidator(_pattern),
    WithJsonSchema({"type": "string", "format": "regex"}),
]
"""A regular expression; compiled."""

HeaderName = Annotated[str, BeforeValidator(_header_name)]
HeaderValue = Annotated[str, BeforeValidator(_header_value)]
