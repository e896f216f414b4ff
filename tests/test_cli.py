"""The command `pyreg`, as people and programs run it."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.servers.process import Process, answers, free_port, until

COMMAND = [sys.executable, "-m", "pyreg.cli"]


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **(env or {})}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, timeout=30
    )


def write(directory: Path, **changes: object) -> Path:
    path = directory / "config.yml"
    options = {"version": "0.1", "storage": {"inmemory": {}}, **changes}
    path.write_text(json.dumps(options))
    return path


def test_version(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert done.returncode == 0
    for name in ("pyreg 0.", "python 3.", "hypercorn 0.", "quart 0."):
        assert name in done.stdout


def test_help_names_every_command_and_imports_no_server(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    for name in ("serve", "plugins", "reindex", "config"):
        assert f"  {name} " in done.stdout
    code = "import sys, pyreg.cli; sys.exit('quart' in sys.modules or 'hypercorn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [("surve",), ("serve", "--workers", "0"), ("serve", "--nonsense"), ("serve", "a", "b")],
)
def test_wrong_usage_is_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage: " in done.stderr


@pytest.mark.parametrize("command", ["serve", "reindex"])
def test_every_mistake_is_a_plain_line(tmp_path: Path, command: str) -> None:
    path = write(tmp_path, log={"level": "loud"}, http={"workers": "many"})
    done = run(command, str(path), cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"error: {path}:1: ") for line in lines)
    assert "log.level" in done.stderr
    assert "http.workers" in done.stderr


def test_a_missing_plugin_is_explained(tmp_path: Path) -> None:
    done = run("serve", str(write(tmp_path, storage={"tape": {}})), cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install pyreg-storage-tape" in done.stderr
    assert "Traceback" not in done.stderr


def test_storage_that_cannot_be_opened_is_a_plain_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "file" / "below")}}
    done = run(
        "serve", "--bind", "127.0.0.1:0", str(write(tmp_path, storage=storage)), cwd=tmp_path
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        done = run("serve", "--bind", address, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: cannot listen on {address}: address already in use\n"


def test_plugins(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    listed = json.loads(run("plugins", "--json", "--config", path, cwd=tmp_path).stdout)
    plugins = {(item["kind"], item["name"]): item for item in listed}
    memory, files = plugins["storage", "inmemory"], plugins["storage", "filesystem"]
    assert memory["loaded"]
    assert memory["distribution"] == "pyreg-storage-inmemory"
    assert memory["version"]
    assert not files["loaded"]
    assert files["reason"] == "the configuration does not ask for it"
    table = run("plugins", "--config", path, cwd=tmp_path).stdout.splitlines()
    assert table[0].split() == ["KIND", "NAME", "VERSION", "DISTRIBUTION", "LOADED"]
    assert any(line.split()[:2] == ["storage", "inmemory"] and "yes" in line for line in table)


def test_plugins_names_those_that_are_missing(tmp_path: Path) -> None:
    path = str(write(tmp_path, storage={"tape": {}}))
    listed = json.loads(run("plugins", "--json", "--config", path, cwd=tmp_path).stdout)
    (tape,) = [item for item in listed if item["name"] == "tape"]
    assert tape["reason"] == "storage.tape asks for it, but it is not installed"


def test_serve_without_a_configuration(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/"
    command = [*COMMAND, "serve", "--bind", f"127.0.0.1:{port}"]
    process = Process("pyreg", command, tmp_path, ready=lambda: answers(url))
    process.start()
    assert process.stop() == 0
    lines = [json.loads(line) for line in process.log().splitlines()]
    assert any(line["msg"] == "response completed" for line in lines)
    assert (tmp_path / "pyreg-data").is_dir()


class Terminal:
    """`pyreg serve` on a terminal."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self._main, terminal = pty.openpty()
        self.text = ""
        environ = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        self.popen = subprocess.Popen(
            [*COMMAND, "serve", *arguments],
            cwd=cwd,
            env=environ,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        os.set_blocking(self._main, False)

    def wait_for(self, text: str) -> None:
        """Read until this was shown."""

        def shown() -> bool:
            try:
                self.text += os.read(self._main, 65536).decode()
            except (BlockingIOError, OSError):
                pass
            return text in self.text

        until(shown, seconds=20, what=f"{text!r} in {self.text!r}")

    def close(self) -> None:
        """End what is left."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(10)
        os.close(self._main)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal("--bind", "0.0.0.0:0", cwd=tmp_path)
    yield opened
    opened.close()


def test_serve_on_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for("Ctrl-C")
    assert "WARNING: anyone who reaches this address" in terminal.text
    assert f"filesystem in {tmp_path / 'pyreg-data'}" in terminal.text
    port = terminal.text.partition("http://0.0.0.0:")[2].split("\x1b")[0].split()[0]
    assert httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code == 200
    terminal.wait_for("\x1b[32m200\x1b[0m GET    /v2/")
    health = httpx.get(f"http://127.0.0.1:{port}/debug/health", trust_env=False)
    assert health.status_code == 200
    assert "anyone who reaches this address" in health.json()["notes"]["access"]
    os.killpg(terminal.popen.pid, signal.SIGINT)
    terminal.wait_for("stopped")
    assert terminal.popen.wait(20) == 0
    assert "Traceback" not in terminal.text


def test_reindex(tmp_path: Path) -> None:
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}}
    done = run("reindex", str(write(tmp_path, storage=storage)), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "0 referrers found\n"), done.stderr
