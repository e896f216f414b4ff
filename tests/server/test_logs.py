"""Lines of the log."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.server import logs
from pyreg.server.access_log import access_record, masked_target
from tests.server.conftest import Server, Start


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "raw_path": b"/v2/ubuntu/manifests/latest",
        "query_string": b"",
        "client": ("192.0.2.1", 4711),
        "headers": [(b"host", b"r.example"), (b"user-agent", b"docker/24")],
        "state": {"request_id": "abc-1"},
        **changes,
    }


RESPONSE = {
    "status": 200,
    "headers": [(b"content-length", b"1234"), (b"content-type", b"application/json")],
}


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Path]:
    """A file that the log of this process goes to."""
    path = tmp_path / "log"
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield path
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.getLogger("pyreg.access").disabled = False


def test_a_request_as_json() -> None:
    line = json.loads(
        logs.JSONFormatter({"site": "a"}).format(access_record(scope(), RESPONSE, 0.25))
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "msg": "response completed",
        "logger": "pyreg.access",
        "pid": os.getpid(),
        "site": "a",
        "http.request.method": "GET",
        "http.request.uri": "/v2/ubuntu/manifests/latest",
        "http.request.remoteaddr": "192.0.2.1:4711",
        "http.request.host": "r.example",
        "http.request.useragent": "docker/24",
        "http.request.id": "abc-1",
        "http.response.status": 200,
        "http.response.duration": 0.25,
        "http.response.written": 1234,
        "http.response.contenttype": "application/json",
    }


def test_a_request_as_text() -> None:
    text = logs.TextFormatter({"site": "a"}, colour=False).format(
        access_record(scope(), RESPONSE, 0.25)
    )
    assert text.endswith(
        " info     200 GET    /v2/ubuntu/manifests/latest 1.2 kB 250.0 ms 192.0.2.1:4711 "
        "docker/24 abc-1 site=a"
    )


def test_a_request_for_logstash() -> None:
    line = json.loads(
        logs.JSONFormatter({}, logstash=True).format(access_record(scope(), None, 0.25))
    )
    assert line["@version"] == "1"
    assert line["@timestamp"]
    assert line["message"] == "response completed"
    assert line["http.response.status"] == 499


def test_a_request_over_a_unix_socket_without_a_user_agent() -> None:
    record = access_record(scope(client=None, headers=[], state={}, method="HEAD"), RESPONSE, 1)
    assert record.fields["http.request.remoteaddr"] == "unix"  # type: ignore[attr-defined]
    assert "http.response.written" not in record.fields  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        (b"n=10&last=a%2Fb", "n=10&last=a%2Fb"),
        (b"_state=secret&digest=sha256:1", "_state=***&digest=sha256:1"),
        (b"a=1&access_token=secret", "a=1&access_token=***"),
        (b"X-Amz-Signature=secret&X-Amz-Credential=s", "X-Amz-Signature=***&X-Amz-Credential=***"),
        (b"%5Fstate=secret", "%5Fstate=***"),
        (b"To%6ben=secret=more", "To%6ben=***"),
        (b"sig=secret&sigma=1&token", "sig=***&sigma=1&token"),
    ],
)
def test_secret_values_of_a_query_are_masked(query: bytes, logged: str) -> None:
    assert masked_target(scope(query_string=query)) == f"/v2/ubuntu/manifests/latest?{logged}"


@given(st.binary(), st.binary(), st.text(), st.sampled_from(["text", "json"]))
def test_nothing_that_a_client_sends_makes_a_second_line(
    path: bytes, agent: bytes, host: str, style: str
) -> None:
    request = scope(
        raw_path=path,
        method=host,
        headers=[(b"user-agent", agent), (b"authorization", b"Basic c2VjcmV0")],
    )
    formatter: logging.Formatter = (
        logs.JSONFormatter({}) if style == "json" else logs.TextFormatter({}, colour=False)
    )
    line = formatter.format(access_record(request, RESPONSE, 0.1))
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    assert "c2VjcmV0" not in line


@given(st.text())
def test_a_message_is_one_line(text: str) -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "name %s", (text,), None)
    line = logs.TextFormatter({}, colour=True).format(record)
    assert "\n" not in line
    assert "\r" not in line
    assert line.count("\x1b") == 4, "only our own colours"


def test_auto_is_json_in_a_file_and_text_on_a_terminal(
    sink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    with sink.open("w") as stream:
        logs.set_up(stream=stream)
        logging.getLogger("pyreg.server").warning("to a %s", "file")
        logs.set_up(stream=stream).flush()
    assert json.loads(sink.read_text())["msg"] == "to a file"
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        main, terminal = pty.openpty()
        with os.fdopen(terminal, "w") as stream:
            handler = logs.set_up(stream=stream)
            logging.getLogger("pyreg.server").warning("to a terminal")
            handler.flush()
            text = os.read(main, 1000).decode()
        os.close(main)
        assert "to a terminal" in text
        assert ("\x1b[33mwarning" in text) is not bool(no_color)


def test_levels_and_the_access_log_can_be_turned_down(sink: Path) -> None:
    with sink.open("w") as stream:
        handler = logs.set_up("error", stream=stream, access=False)
        logging.getLogger("pyreg.server").warning("not this")
        logging.getLogger("pyreg.server").error("but this")
        handler.flush()
    assert "not this" not in sink.read_text()
    assert "but this" in sink.read_text()
    assert not logging.getLogger("pyreg.access").isEnabledFor(logging.INFO)


def test_a_log_that_nobody_reads_never_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BUFFER_LIMIT", 100)
    reader, writer = os.pipe()
    handler = logs.BufferedHandler(writer)
    handler.setFormatter(logging.Formatter("%(message)s"))
    began = time.monotonic()
    for number in range(30_000):
        handler.handle(
            logging.LogRecord("x", logging.INFO, "", 0, f"{number} " + "x" * 100, None, None)
        )
    assert time.monotonic() - began < 5
    assert handler.dropped > 0
    text = b""
    while b"log lines were dropped" not in text:
        text += os.read(reader, 65536)
    os.close(reader)
    handler.close()
    os.close(writer)
    numbers = [int(line.split()[0]) for line in text.splitlines() if b"dropped" not in line]
    assert numbers == sorted(numbers), "the order was lost"


def test_lines_of_several_processes_stay_whole(start: Start) -> None:
    """A reader that is slow, and two workers that write to one pipe."""
    server = start({"log": {"formatter": "json", "fields": {"filling": "x" * 500}}})
    clients = [server.connect() for _ in range(8)]
    for sock in clients:
        sock.sendall(b"GET /field/nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    until_time = time.monotonic() + 10
    while server.log.count("response completed") < 1600 and time.monotonic() < until_time:
        time.sleep(0.05)
    for sock in clients:
        sock.close()
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert sum(line["msg"] == "response completed" for line in lines) == 1600


def test_credentials_are_not_logged_at_any_level(start: Start) -> None:
    server = start({"log": {"level": "debug"}, "http": {"h2c": {"enabled": True}}})
    with httpx.Client(http1=False, http2=True, trust_env=False) as client:
        headers = {"authorization": "Bearer c2VjcmV0"}
        assert client.get(f"{server.url}/pid", headers=headers).status_code == 200
    server.stop()
    assert " /pid " in server.log
    assert "c2VjcmV0" not in server.log


def test_a_request_cannot_forge_a_line(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(
            b"GET /pid?token=secret&a=%0d%0aforged HTTP/1.1\r\nHost: x\r\n"
            b"User-Agent: evil\x1b[31m\tagent\r\nAuthorization: Bearer c2VjcmV0\r\n\r\n"
        )
        status = sock.recv(65536).split()[1]
    if status == b"200":
        server.wait_for("evil\\x1b[31m\\tagent", seconds=5)
    assert "c2VjcmV0" not in server.log
    assert "token=secret" not in server.log
