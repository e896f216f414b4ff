"""Mistakes of the file, the environment and the plugins are told together, with the warnings."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyreg import Registry as Core
from pyreg.config import load
from pyreg.config.loading import parse
from pyreg.errors import ConfigurationError
from tests.fixtures.distributions import install
from tests.servers.process import until
from tests.servers.registries import Registry

TEXT = """\
version: 0.1
storage:
  filesystem: {rootdirectroy: /x, maxthreads: 3}
log: {level: loud}
auth:
  nobody: {}
htp: {}
http:
  tls: {certifcate: a, clientauth: anyhow}
health:
  storagedriver: {enabled: true}
"""

TOLD = [
    "error: PATH:3: storage.filesystem.maxthreads: expected at least 25, got 3",
    "warning: PATH:3: storage.filesystem.rootdirectroy: is not a known key, and is ignored "
    "(did you mean rootdirectory?)",
    'error: PATH:4: log.level: expected one of error, warn, info or debug, got "loud"',
    "error: PATH:6: auth.nobody: the configuration asks for the auth plugin 'nobody', which is "
    "not installed.",
    "  install it:     pip install pyreg-auth-nobody",
    "warning: PATH:7: htp: is not a known key, and is ignored (did you mean http?)",
    "error: PATH:9: http.tls.clientauth: expected one of request-client-cert, ",
    "warning: PATH:9: http.tls.certifcate: is not a known key, and is ignored "
    "(did you mean certificate?)",
    "warning: PATH:10: health: is ignored: the configuration asks for the extension plugin "
    "'health', which is not installed.",
    "  install it:     pip install pyreg-health",
    'error: REGISTRY_HTTP_WORKERS: http.workers: expected a whole number, got "many"',
    "warning: REGISTRY_NONSENSE: names no option, and is ignored",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


def pyreg(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyreg.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    "command", [["config", "check"], ["serve"], ["reindex"], ["plugins", "--config"]]
)
def test_every_command_tells_all_in_the_order_of_the_file(path: Path, command: list[str]) -> None:
    path.write_text(TEXT)
    done = pyreg(
        *command,
        str(path),
        cwd=path.parent,
        REGISTRY_HTTP_WORKERS="many",
        REGISTRY_NONSENSE="1",
    )
    assert (done.returncode, done.stdout) == (1, "")
    begins = [line.replace("PATH", str(path)) for line in TOLD]
    lines = [line for line in done.stderr.splitlines() if "installed now:" not in line]
    if command[0] == "config":
        assert lines.pop() == "5 mistakes"
    assert len(lines) == len(begins), done.stderr
    for line, begin in zip(lines, begins, strict=True):
        assert line.startswith(begin)


def test_the_mistakes_of_plugins_alone(path: Path) -> None:
    path.write_text(TEXT.replace("loud", "warn").replace("maxthreads: 3", "maxthreads: 30"))
    done = pyreg("serve", str(path), cwd=path.parent)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[2] for line in errors] == ["auth.nobody", "http.tls.clientauth"]
    assert "storage.filesystem.rootdirectroy" in done.stderr


def test_mistakes_are_told_before_a_port_opens(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        path.write_text("version: 0.1\nstorage: {filesystem: {maxthreads: 3}}\n")
        done = pyreg("serve", "--bind", address, str(path), cwd=path.parent)
    assert done.stderr == (
        f"error: {path}:2: storage.filesystem.maxthreads: expected at least 25, got 3\n"
    )


def test_the_warnings_of_plugins_are_logged_once(
    start_registry: Callable[..., Registry],
) -> None:
    registry = start_registry(config={"storage": {"filesystem": {"maxthread": 30}}}, workers=2)
    process = registry.process
    assert process is not None
    registry.stop()
    until(lambda: "stopped" in process.log(), seconds=10, what="the end of the log")
    assert process.log().count("did you mean maxthreads?") == 1


def test_without_plugins_none_is_looked_for(path: Path) -> None:
    path.write_text(TEXT)
    done = pyreg("config", "check", "--no-plugins", str(path), cwd=path.parent)
    assert "nobody" not in done.stderr
    assert "maxthreads" not in done.stderr
    assert "log.level" in done.stderr


def test_a_broken_plugin_is_one_mistake_among_others(path: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    source = "raise ValueError('half an upgrade')"
    install(
        site, "broken", {"pyreg.auth": {"broken": "broken_plugin:P"}}, {"broken_plugin": source}
    )
    path.write_text("version: 0.1\nstorage: inmemory\nauth: {broken: {}}\nlog: {level: loud}\n")
    environ = {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = pyreg("config", "check", str(path), cwd=path.parent, **environ)
    assert done.stderr.splitlines() == [
        f"error: {path}:3: auth.broken: the auth plugin 'broken' cannot be loaded from "
        "broken_plugin:P: ValueError: half an upgrade",
        f'error: {path}:4: log.level: expected one of error, warn, info or debug, got "loud"',
        "2 mistakes",
    ]


def test_in_python(path: Path) -> None:
    path.write_text(TEXT)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "storage.filesystem.maxthreads",
        "log.level",
        "auth.nobody",
        "http.tls.clientauth",
    ]
    assert [warning.path for warning in caught.value.warnings] == [
        "storage.filesystem.rootdirectroy",
        "htp",
        "http.tls.certifcate",
        "health",
    ]
    path.write_text("version: 0.1\nstorage: inmemory\nauth: {nobody: {}}\n")
    configuration = load(path, {})  # plugins are nobody's business yet
    with pytest.raises(ConfigurationError, match=r":3: auth\.nobody: .* not installed"):
        Core.from_configuration(configuration)
    with pytest.raises(ConfigurationError, match=r":3: auth\.nobody: .* not installed"):
        load(path, {}, plugins=True)


def test_a_registry_warns_of_what_loading_has_not_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("version: 0.1\nstorage: {inmemory: {speed: 9}}\n")
    told = load(path, {}, plugins=True)
    assert [warning.path for warning in told.warnings] == ["storage.inmemory.speed"]
    Core.from_configuration(told)
    assert "speed" not in caplog.text
    Core.from_configuration(parse(path.read_text(), {}).configuration)
    assert "storage.inmemory.speed: is not a known key" in caplog.text
