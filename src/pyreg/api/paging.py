"""`n`, `last` and `Link`: pages of names (OCI distribution specification, "Listing Tags")."""

from __future__ import annotations

from urllib.parse import urlencode

from pyreg.api.call import Call
from pyreg.errors import PAGINATION_NUMBER_INVALID, RegistryError


def wanted(call: Call, *, most: int | None = None) -> int | None:
    """The query parameter `n`.

    Args:
        call: The call.
        most: More than this is refused; None takes any number.

    Returns:
        None if there is none.

    Raises:
        RegistryError: PAGINATION_NUMBER_INVALID.
    """
    text = call.request.parameter("n")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise RegistryError(
            PAGINATION_NUMBER_INVALID, "n is not a number of results", detail={"n": text[:64]}
        )
    number = int(text)
    if most is not None and number > most:
        raise RegistryError(
            PAGINATION_NUMBER_INVALID, f"n is at most {most} here", detail={"n": number}
        )
    return number


def next_link(call: Call, path: str, **parameters: str | int) -> tuple[bytes, bytes]:
    """A Link header to the next page (RFC 8288)."""
    url = call.site.addresses.path(call.request, f"{path}?{urlencode(parameters)}")
    return b"link", f'<{url}>; rel="next"'.encode("latin-1")
