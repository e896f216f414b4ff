"""The `Accept` header (RFC 9110, section 12.5.1), as far as manifests need it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache


def accepts(headers: Sequence[str], media_type: str) -> bool:
    """Whether a client accepts a media type. No header accepts everything."""
    if not headers:
        return True
    header = ",".join(headers)
    # Clients send the same few again and again; what is longer is not worth its memory.
    decide = _accepts if len(header) <= _REMEMBERED else _accepts.__wrapped__
    return decide(header, media_type)


_REMEMBERED = 1024  # bytes of a header


@lru_cache(1024)
def _accepts(header: str, media_type: str) -> bool:
    kind = media_type.partition("/")[0]
    # The most specific range decides.
    quality: dict[int, float] = {}
    for item in header.split(","):
        value, *parameters = (part.strip().lower() for part in item.split(";"))
        if value == media_type:
            rank = 3
        elif value == "application/json" and media_type.endswith("+json"):
            rank = 2  # every manifest is JSON: a browser's or a script's way to ask for it
        elif value == f"{kind}/*":
            rank = 1
        elif value in ("*/*", "*"):
            rank = 0
        else:
            continue
        quality[rank] = max(quality.get(rank, 0.0), _quality(parameters))
    return bool(quality) and quality[max(quality)] > 0


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
