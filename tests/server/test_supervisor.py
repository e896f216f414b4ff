"""Workers that die, stop, drain and are replaced."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.server.conftest import Server, Start
from tests.servers.process import until


class Load:
    """Clients that ask all the time, each over one connection that it opens anew when it must.

    Attributes:
        answers: How many of each status.
        failures: Requests that were not answered.
        refused: Connections that were refused.
    """

    def __init__(self, server: Server, clients: int = 6) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self.refused = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._port = server.port
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stop.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except ConnectionRefusedError:
                self.refused += 1
                time.sleep(0.01)
                continue
            try:
                connection.request("PUT" if number % 2 else "GET", "/count", b"x" * 5000)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures.append(repr(error))
                connection.close()
            else:
                with self._lock:
                    self.answers[response.status] += 1


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_killed_worker_is_replaced_and_no_connection_is_refused(start: Start) -> None:
    server = start()
    pids = server.pids(2)
    victim = pids.pop()
    with Load(server) as load:
        os.kill(victim, signal.SIGKILL)
        server.wait_for(f"worker {victim} was ended by signal 9")
        until(lambda: len(server.pids(2) - {victim} - pids) == 1, seconds=10, what="a new worker")
    assert load.refused == 0
    assert len(load.failures) <= 6, "only the connections of the killed worker may fail"
    assert load.answers[201] > 100


def test_a_crash_of_the_only_worker_loses_its_own_requests_only(start: Start) -> None:
    server = start({"http": {"workers": 1}})
    for _ in range(3):
        with pytest.raises(httpx.RemoteProtocolError):
            server.get("/crash")
        assert server.get("/pid").status_code == 200  # waits in the queue for the new worker


def test_a_reload_loses_no_request(start: Start) -> None:
    server = start({"log": {"fields": {"colour": "red"}}})
    old = server.pids(2)
    assert server.get("/field/colour").text == "red"
    slow = threading.Thread(
        target=lambda: results.append(server.get("/work/2").text), name="under way"
    )
    results: list[str] = []
    with Load(server) as load:
        slow.start()
        time.sleep(0.2)
        for number in range(2):
            server.configure({"log": {"fields": {"colour": f"blue {number}"}}})
            server.signal(signal.SIGHUP)
            server.wait_for("serving on", count=number + 2)
            assert server.get("/field/colour").text == f"blue {number}"
        slow.join()
        until(lambda: all(map(gone, old)), seconds=10, what="the old workers to end")
    assert load.failures == []
    assert load.refused == 0
    assert set(load.answers) == {201}
    assert results == ["done"], "a request under way was cut"
    assert not server.pids(2) & old


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"log": {"level": "loud"}, "http": {"workers": "many"}}, "workers"),
        ({"log": {"fields": {"refuse": "the disk\nis on fire"}}}, "is on fire"),
        ({"log": {"fields": {"die": "yes"}}}, "ended with exit code 3"),
    ],
)
def test_a_reload_with_mistakes_changes_nothing(
    start: Start, change: dict[str, object], complaint: str
) -> None:
    server = start()
    old = server.pids(2)
    server.configure(change)
    server.signal(signal.SIGHUP)
    server.wait_for("the old one stays in force")
    assert complaint in server.log
    if "level" in str(change):
        assert "log.level" in server.log, "not every mistake was logged"
    assert server.pids(2) == old
    assert "Traceback" not in server.log


def test_a_reload_can_change_address_and_workers(start: Start) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free = sock.getsockname()[1]
    server = start({"http": {"addr": "127.0.0.1:0"}}, bind=())
    old = server.port
    server.configure({"http": {"addr": f"127.0.0.1:{free}", "workers": 1}})
    server.signal(signal.SIGHUP)
    server.wait_for(f"serving on http://127.0.0.1:{free} with 1 workers")
    assert server.get("/pid").status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))


def upload(server: Server) -> socket.socket:
    sock = server.connect()
    sock.sendall(b"PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + bytes(50))
    time.sleep(0.2)
    return sock


def test_a_stop_lets_an_upload_finish(start: Start) -> None:
    server = start()
    with upload(server) as sock, server.connect():
        server.signal(signal.SIGTERM)
        time.sleep(1.5)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        sock.sendall(bytes(50))
        answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201")
        assert b"connection: close" in answer
        assert answer.endswith(b"100")
    assert server.wait(5) == 0
    assert server.log.count("stopped in order") == 2


def test_a_stop_waits_no_longer_than_draintimeout(start: Start) -> None:
    server = start({"http": {"draintimeout": "1s"}})
    with upload(server):
        assert 1 <= server.stop() < 5
    assert "1 connections were cut after http.draintimeout" in server.log
    assert server.log.count("stopped in order") == 2


def test_a_second_signal_stops_at_once(start: Start) -> None:
    server = start()
    pids = server.pids(2)
    with upload(server):
        server.signal(signal.SIGINT)
        time.sleep(0.3)
        began = time.monotonic()
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert time.monotonic() - began < 1
    assert all(map(gone, pids))


def test_ctrl_c_in_a_terminal_drains_too(start: Start) -> None:
    """The terminal sends the signal to all processes of the group."""
    server = start()
    with upload(server) as sock:
        os.killpg(server.popen.pid, signal.SIGINT)
        time.sleep(0.3)
        sock.sendall(bytes(50))
        assert sock.recv(65536).startswith(b"HTTP/1.1 201")
    assert server.wait() == 0
    assert "Traceback" not in server.log


def test_http2_streams_finish_when_the_server_stops(start: Start) -> None:
    server = start({"http": {"h2c": {"enabled": True}}})
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    command = [program, "-sSv", "--http2-prior-knowledge", f"{server.url}/work/2"]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert asking.stderr is not None
    sent = b""
    while not sent.endswith(b"> \r\n") and (line := asking.stderr.readline()):
        sent += line  # the request is out when its empty last line is
    assert server.stop() < 8
    out, err = asking.communicate(timeout=5)
    assert out == b"done", sent + err
    assert b"GOAWAY, error=0" in err, "the client was not told to use another connection"


def test_workers_end_when_the_supervisor_is_killed(start: Start) -> None:
    server = start()
    pids = server.pids(2)
    port = server.port
    server.signal(signal.SIGKILL)
    server.wait()
    until(lambda: all(map(gone, pids)), seconds=5, what="the workers to end")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"refuse": "the disk is on fire"}, "the disk is on fire"),
        ({"raise": "no such bucket"}, "the worker failed: RuntimeError: no such bucket"),
        ({"die": "yes"}, "ended with exit code 3 before it could serve"),
    ],
)
def test_workers_that_cannot_start_end_the_server(
    start: Start, fields: dict[str, str], complaint: str
) -> None:
    server = start({"log": {"fields": fields}}, wait=False)
    assert server.wait() == 1
    assert complaint in server.log
    assert ("Traceback" in server.log) == ("raise" in fields)


def test_a_server_gives_up_when_its_workers_cannot_start_any_more(
    start: Start, certificate: dict[str, str]
) -> None:
    server = start({"http": {"workers": 1}, "log": {"fields": certificate}})
    pid = int(httpx.get(f"https://127.0.0.1:{server.port}/pid", verify=False).text)
    Path(certificate["key"]).unlink()
    os.kill(pid, signal.SIGKILL)
    assert server.wait(60) == 1
    assert len(re.findall(r"replaces it", server.log)) >= 3
    assert "No such file" in server.log.splitlines()[-1]
