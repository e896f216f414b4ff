"""Conditional and range requests (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Callable

from pyreg.api.message import Request

MAX_RANGES = 16
"""Ranges in one request; more are answered with the whole, as RFC 9110 14.2 advises."""

_SPEC = re.compile(r"([0-9]{0,40})-([0-9]{0,40})")


def etag(digest: str) -> bytes:
    """The entity tag of content: it is its digest."""
    return f'"{digest}"'.encode("ascii")


def unchanged(request: Request, digest: str) -> bool:
    """Whether `If-None-Match` names this content; a bare digest counts, as in Docker's registry."""
    header = ",".join(request.headers(b"if-none-match"))
    if not header:
        return False
    if header.strip() == "*":
        return True
    values = (item.strip().removeprefix("W/") for item in header.split(","))
    return any(value in (f'"{digest}"', digest) for value in values)


def precondition(request: Request) -> Callable[[str | None], bool] | None:
    """What `If-Match` and `If-None-Match` ask of what a write would replace.

    RFC 9110, sections 13.1.1 and 13.1.2.

    Returns:
        None if they ask nothing; else a function of the digest that is there now, or of None,
        that says whether the write may go on.
    """
    match, none_match = (
        [item.strip() for line in request.headers(name) for item in line.split(",")]
        for name in (b"if-match", b"if-none-match")
    )
    if not match and not none_match:
        return None

    def holds(digest: str | None) -> bool:
        def named(tags: list[str]) -> bool:
            return digest is not None and ("*" in tags or f'"{digest}"' in tags)

        return (not match or named(match)) and not named(none_match)

    return holds


class Unsatisfiable(Exception):
    """No byte of the content lies in any of the ranges: 416."""


def ranges(request: Request, digest: str, size: int) -> list[tuple[int, int]] | None:
    """What a `Range` header asks for.

    Args:
        request: The request.
        digest: Of the content, for `If-Range`.
        size: Of the content.

    Returns:
        Pairs of first byte and the byte behind the last; None for the whole content: no header,
        one that cannot be read, or an `If-Range` that names something else.

    Raises:
        Unsatisfiable: see there.
    """
    header = request.header(b"range")
    if header is None:
        return None
    unit, equals, value = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    condition = request.header(b"if-range")
    if condition is not None and condition.strip() != f'"{digest}"':
        return None
    found: list[tuple[int, int]] = []
    specs = [item.strip() for item in value.split(",") if item.strip()]
    if not specs or len(specs) > MAX_RANGES:
        return None
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        first, last = match[1], match[2]
        if not first:
            if size == 0 and int(last):
                return None  # satisfiable, but no Content-Range can say so
            start, stop = max(0, size - int(last)), size
        else:
            start = int(first)
            if last and int(last) < start:
                return None
            stop = min(int(last) + 1, size) if last else size
        if start < stop:
            found.append((start, stop))
    if not found:
        raise Unsatisfiable
    merged = _merged(found)
    # Where none had to be merged they come in the order that was asked for.
    return found if len(merged) == len(found) else merged


def _merged(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping ranges become one, so that nobody multiplies his traffic with them."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
