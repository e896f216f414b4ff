"""Runs the blocks of one page, in one directory, from top to bottom."""

from __future__ import annotations

import configparser
import contextlib
import io
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyreg.config.loading import parse
from pyreg.errors import ConfigurationError
from tests.docs.pages import Block, Document
from tests.servers.process import Process, answers, free_port

CHECKED = {"", "python", "sh", "text", "yaml", "json", "ini", "toml", "mermaid", "nginx", "http"}
"""The languages that pages may use."""

WORDS = {
    "python": {"continued"},
    "sh": {"run", "serve"},
    "text": {"output"},
}

PATIENCE = 120.0
"""Seconds that one shell block may take."""


class Runner:
    """Runs the blocks of a page.

    The port 5000 of the page becomes a free one. What the page takes from the internet comes
    from `source`, an image on this machine; and `pip install .` installs into a directory of the
    test, not into the environment that the tests run in.

    Args:
        page: The page.
        directory: An empty directory.
        env: For shell blocks, added to this process's environment.
        source: An image in the words of skopeo.
    """

    def __init__(self, page: Document, directory: Path, env: dict[str, str], source: str) -> None:
        self._page = page
        self._directory = directory
        self._port = str(free_port())
        self._source = source
        self._namespace: dict[str, Any] = {}
        self._printed = ""
        self._server: Process | None = None
        site = directory / "site-packages"
        self._site = site
        self._env = {
            # Meant for podman and skopeo, but it looks like an option of the registry.
            **{name: value for name, value in env.items() if name != "REGISTRY_AUTH_FILE"},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(site), os.environ.get("PYTHONPATH", "")])
            ),
            "REGISTRY_HTTP_ADDR": f"127.0.0.1:{self._port}",
            # What an example puts into temporary files need not survive a loss of power.
            "TMPDIR": "/dev/shm" if os.path.isdir("/dev/shm") else str(directory),
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }

    def run(self) -> None:
        """Run every block.

        Raises:
            AssertionError: a block fails, or prints something else than the page says; the
                message has the page's name and the line.
        """
        with _imports_from(self._directory):
            try:
                for block in self._page.blocks:
                    place = f"{self._page.name}:{block.line}"
                    assert block.language in CHECKED, f"{place}: what is {block.language!r}?"
                    unknown = block.words - WORDS.get(block.language, set())
                    assert not unknown, f"{place}: what is {unknown}?"
                    getattr(self, f"_{block.language or 'text'}", self._nothing)(block, place)
            finally:
                self._stop()

    def _text_of(self, block: Block) -> str:
        text = re.sub(r"(?<![0-9])5000(?![0-9])", self._port, block.text)
        text = text.replace("docker://docker.io/library/alpine:latest", self._source)
        return text.replace(
            "pip install .",
            f"{sys.executable} -m pip install --quiet --disable-pip-version-check --no-deps "
            f"--no-build-isolation --target {self._site} .",
        )

    def _nothing(self, block: Block, place: str) -> None:
        """These are for people alone."""

    def _write(self, block: Block) -> None:
        if block.title:
            path = self._directory / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._text_of(block), encoding="utf-8")

    def _python(self, block: Block, place: str) -> None:
        self._write(block)
        text = self._text_of(block)
        if "continued" not in block.words:
            name = Path(block.title).stem if block.title else "example"
            module = types.ModuleType(name)
            # Annotations are looked up in the module that a class says it comes from.
            sys.modules[name] = module
            self._namespace = module.__dict__
        # The empty lines make the numbers of a traceback those of the page.
        source = "\n" * (block.line - 1) + text
        linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        printed = io.StringIO()
        code = compile(source, place, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(printed):
            exec(code, self._namespace)
        self._printed = printed.getvalue()

    def _sh(self, block: Block, place: str) -> None:
        text = self._text_of(block)
        syntax = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert syntax.returncode == 0, f"{place}: {syntax.stderr}"
        if "serve" in block.words:
            self._serve(text)
        elif "run" in block.words:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=self._directory,
                env={**os.environ, **self._env},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 0, (
                f"{place}: exit status {done.returncode}\n{text}\n{done.stdout}\n{done.stderr}"
                f"\n{self._server.log()[-4000:] if self._server else ''}"
            )
            self._printed = done.stdout

    def _serve(self, text: str) -> None:
        self._stop()
        server = Process(
            "server",
            ["bash", "-euo", "pipefail", "-c", f"exec {text.strip()}"],
            self._directory,
            ready=lambda: answers(f"http://127.0.0.1:{self._port}/v2/"),
            env=self._env,
        )
        server.start()
        self._server = server

    def _stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            status = server.stop()
            # uvicorn and others end as the signal would have it.
            assert status in (0, -signal.SIGTERM), (
                f"{self._page.name}: the server ended with {status}\n{server.log()[-4000:]}"
            )

    def _text(self, block: Block, place: str) -> None:
        if "output" in block.words:
            wanted = self._text_of(block).strip()
            pattern = re.escape(wanted).replace(re.escape("..."), ".*?")
            assert re.fullmatch(pattern, self._printed.strip(), re.DOTALL), (
                f"{place}: expected\n{wanted}\ngot\n{self._printed}"
            )

    def _yaml(self, block: Block, place: str) -> None:
        self._write(block)
        text = self._text_of(block)
        if not re.search(r"^version:", text, re.MULTILINE):
            text = f"version: 0.1\n{text}"
            if not re.search(r"^storage:", text, re.MULTILINE):
                text += "storage: {inmemory: {}}\n"
        try:
            loaded = parse(text, {}, place)
        except ConfigurationError as error:
            raise AssertionError(f"{place}: {error}") from error
        unknown = [str(each) for each in loaded.configuration.warnings]
        assert not unknown, "\n".join(unknown)

    def _json(self, block: Block, place: str) -> None:
        json.loads(block.text)

    def _toml(self, block: Block, place: str) -> None:
        self._write(block)

    def _ini(self, block: Block, place: str) -> None:
        self._write(block)
        configparser.RawConfigParser(strict=False).read_string(block.text)


@contextlib.contextmanager
def _imports_from(directory: Path) -> Iterator[None]:
    """Let modules that a page writes be imported, and forget them afterwards."""
    before = set(sys.modules)
    where = Path.cwd()
    sys.path.insert(0, str(directory))
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(where)
        sys.path.remove(str(directory))
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if name == "example" or origin is None or Path(origin).is_relative_to(directory):
                del sys.modules[name]
