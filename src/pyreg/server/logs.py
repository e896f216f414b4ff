"""Logging: where lines go, and what they look like.

Every line goes to standard error through one handler that never makes the event loop wait: a
record is put into a bounded buffer, and a thread writes what has gathered there.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Literal

FORMATTERS = ("auto", "text", "json", "logstash")
Style = Literal["auto", "text", "json", "logstash"]

BUFFER_LIMIT = 20_000
"""Records that wait to be written; further ones are dropped and counted."""

GATHER = 0.02
"""Seconds for which records gather before they are written."""

ATOMIC = 4096
"""A pipe takes this many bytes in one piece (PIPE_BUF), so that the lines of several workers do
not run into each other."""

LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def set_up(
    level: str = "info",
    formatter: Style = "auto",
    fields: Mapping[str, Any] | None = None,
    *,
    access: bool = True,
    stream: IO[str] | None = None,
) -> BufferedHandler:
    """Send the log of this process to standard error; a second call replaces the first.

    Args:
        level: A word of the Docker registry: `error`, `warn`, `info`, `debug`, ...
        formatter: `auto` is text on a terminal and JSON elsewhere.
        fields: Added to every record.
        access: Whether requests are logged.
        stream: Instead of standard error.

    Returns:
        The handler; `flush()` writes what is waiting.
    """
    handler = BufferedHandler(2 if stream is None else stream.fileno())
    terminal = os.isatty(handler.descriptor)
    extra = dict(fields or {})
    if formatter == "text" or (formatter == "auto" and terminal):
        colour = terminal and not os.environ.get("NO_COLOR")
        handler.setFormatter(TextFormatter(extra, colour=colour))
    else:
        handler.setFormatter(JSONFormatter(extra, logstash=formatter == "logstash"))
    root = logging.getLogger()
    for old in [item for item in root.handlers if isinstance(item, BufferedHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name in ("asyncio", "hpack"):  # the latter tells every header, credentials included
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pyreg.access").disabled = not access
    return handler


def escaped(text: str) -> str:
    """`text` on one line: control characters become `\\n`, `\\x1b` and the like.

    A path or a user agent can then neither forge a line nor drive a terminal.
    """
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


class BufferedHandler(logging.Handler):
    """Formats and writes records in a thread of its own, in the order in which they came.

    Args:
        descriptor: The file descriptor to write to.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.dropped = 0
        self._buffer: deque[logging.LogRecord] = deque()
        self._filled = threading.Event()
        self._stopped = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record; the buffer needs no lock."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record into the buffer, or count it as dropped."""
        if len(self._buffer) >= BUFFER_LIMIT:
            self.dropped += 1
            return
        if record.args:  # what they say may change before it is written
            record.msg, record.args = record.getMessage(), None
        self._buffer.append(record)
        if not self._filled.is_set():
            self._filled.set()

    def flush(self) -> None:
        """Write what is in the buffer."""
        with self._writing:
            lines = [self._line(self._buffer.popleft()) for _ in range(len(self._buffer))]
            if self.dropped:
                record = logging.LogRecord(
                    "pyreg.server", logging.WARNING, __file__, 0, "", None, None
                )
                record.msg = f"{self.dropped} log lines were dropped: nobody takes them"
                self.dropped = 0
                lines.append(self._line(record))
            self._write(lines)

    def close(self) -> None:
        """Write the rest, and end the thread."""
        if not self._stopped:
            self._stopped = True
            atexit.unregister(self.close)
            self._filled.set()
            self._thread.join(timeout=2)
            super().close()

    def _run(self) -> None:
        while not self._stopped:
            self._filled.wait()
            if not self._stopped:
                time.sleep(GATHER)
            self._filled.clear()
            self.flush()
        self.flush()

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def _write(self, lines: list[bytes]) -> None:
        piece = b""
        for line in lines:
            if piece and len(piece) + len(line) > ATOMIC:
                self._write_piece(piece)
                piece = b""
            piece += line
        self._write_piece(piece)

    def _write_piece(self, piece: bytes) -> None:
        while piece:
            try:
                piece = piece[os.write(self.descriptor, piece) :]
            except BlockingIOError:
                time.sleep(GATHER)
            except OSError:  # the reader of a pipe is gone: there is nobody left to tell
                return


class JSONFormatter(logging.Formatter):
    """One JSON object per line, as logrus writes it.

    Args:
        extra: Fields of every line.
        logstash: Use Logstash's names: `@timestamp`, `@version`, `message`.
    """

    def __init__(self, extra: Mapping[str, Any], *, logstash: bool = False) -> None:
        super().__init__()
        self._extra = dict(extra)
        self._message = "message" if logstash else "msg"
        self._time = "@timestamp" if logstash else "time"
        if logstash:
            self._extra["@version"] = "1"

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            self._time: _timestamp(record.created),
            "level": record.levelname.lower(),
            self._message: record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            **self._extra,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Lines for people.

    Args:
        extra: Fields of every line.
        colour: Colour levels and statuses.
    """

    def __init__(self, extra: Mapping[str, Any], *, colour: bool) -> None:
        super().__init__()
        self._extra = "".join(f" {key}={escaped(str(value))}" for key, value in extra.items())
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; a traceback is indented below it."""
        fields = getattr(record, "fields", {})
        if "http.request.method" in fields:
            text = self._request(fields)
        else:
            text = escaped(record.getMessage())
            text += "".join(f" {key}={escaped(str(value))}" for key, value in fields.items())
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            text += "".join(f"\n    {escaped(line)}" for line in lines)
        level = self._paint(f"{record.levelname.lower():<8}", _LEVEL_COLOURS[record.levelno // 10])
        if self._colour:
            stamp = self._paint(f"{datetime.fromtimestamp(record.created):%H:%M:%S}", "2")
        else:
            stamp = _timestamp(record.created)
        head, newline, rest = text.partition("\n")
        return f"{stamp} {level} {head}{self._extra}{newline}{rest}"

    def _request(self, fields: Mapping[str, Any]) -> str:
        status = fields["http.response.status"]
        written = fields.get("http.response.written")
        parts = [
            self._paint(str(status), _STATUS_COLOURS.get(status // 100, "31")),
            f"{escaped(fields['http.request.method']):<6}",
            escaped(fields["http.request.uri"]),
            "" if written is None else _amount(written),
            f"{fields['http.response.duration'] * 1000:.1f} ms",
            escaped(fields["http.request.remoteaddr"]),
            escaped(fields.get("http.request.useragent", "")),
            escaped(str(fields.get("http.request.id", ""))),
        ]
        return " ".join(part for part in parts if part)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


_LEVEL_COLOURS = ("2", "2", "36", "33", "31", "1;31")
_STATUS_COLOURS = {1: "36", 2: "32", 3: "36", 4: "33", 5: "31"}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _amount(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
