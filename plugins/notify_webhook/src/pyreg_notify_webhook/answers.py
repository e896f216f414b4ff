"""What endpoints answer, as far as anybody needs to know."""

from __future__ import annotations

import datetime
import email.utils
import http
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LARGEST = 64 * 1024
"""Bytes of an answer that are read at most."""

_SHOWN_HEADERS = ("content-type", "date", "location", "retry-after", "server", "via")
_LONGEST_EXCERPT = 200  # characters
_LONGEST_BODY = 2000  # characters
_SHORTEST_SECRET = 4  # characters; to mask shorter ones would riddle every text
_MASK = "********"

# Where Python's words are not those of Go.
_GO_WORDS = {
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request.

    Attributes:
        status: The status code.
        headers: Its headers, with names in lower case.
        body: The beginning of its body.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def accepted(self) -> bool:
        """Whether the endpoint has taken the events, as the Docker registry sees it."""
        return 200 <= self.status < 400

    @property
    def line(self) -> str:
        """Status and words, as metrics have them: `202 Accepted`."""
        return status_line(self.status)

    def retry_after(self, now: datetime.datetime) -> float | None:
        """Seconds to wait, as `Retry-After` says (RFC 9110, section 10.2.3); None if not at all."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch("[0-9]{1,9}", value):
            return float(value)
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max(0.0, (moment - now).total_seconds())


def status_line(status: int) -> str:
    """A status code with the words that Go's library has for it; without, if it has none."""
    words = _GO_WORDS.get(status)
    if words is None:
        try:
            words = http.HTTPStatus(status).phrase
        except ValueError:
            return str(status)
    return f"{status} {words}"


class Showing:
    """Shows answers, without the secrets that an endpoint may have echoed.

    Args:
        secrets: What must not be shown. Of a text with several words, none is.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {part for secret in secrets for part in (secret, *secret.split())}
        long = sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len)
        self._secrets = re.compile("|".join(map(re.escape, reversed(long)))) if long else None

    def excerpt(self, answer: Answer) -> str:
        """The beginning of an answer's body on one line; "" for none."""
        shown = " ".join(self._text(answer.body).split())
        if len(shown) > _LONGEST_EXCERPT:
            shown = shown[:_LONGEST_EXCERPT] + "..."
        return shown

    def whole(self, answer: Answer) -> str:
        """An answer in lines for the operator: status, some headers, the beginning of the body."""
        lines = [answer.line]
        for name in _SHOWN_HEADERS:
            if name in answer.headers:
                lines.append(f"{name}: {self.masked(answer.headers[name])}")
        body = self._text(answer.body).strip()
        if len(body) > _LONGEST_BODY:
            body = body[:_LONGEST_BODY] + "..."
        return "\n".join([*lines, "", body] if body else lines)

    def masked(self, text: str) -> str:
        """A text from elsewhere that can be printed at a terminal."""
        if self._secrets is not None:
            text = self._secrets.sub(_MASK, text)
        return "".join(
            char if char.isprintable() or char == "\n" else " " if char == "\t" else "\ufffd"
            for char in text.replace("\r\n", "\n")
        )

    def _text(self, body: bytes) -> str:
        return self.masked(body.decode("utf-8", "replace"))
