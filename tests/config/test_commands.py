"""`pyreg config`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyreg.config.commands import config

GOOD = "version: 0.1\nstorage: {s3: {bucket: a, secretkey: hunter2}}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


def run(*arguments: object, stdin: str | bytes = "", **environ: str) -> Result:
    environment: dict[str, str | None] = {"REGISTRY_CONFIGURATION_PATH": None, **environ}
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(config, words, input=stdin, env=environment)


class TestCheck:
    def test_good(self, path: Path) -> None:
        path.write_text(GOOD + "auth: {token: {}}\nproxy: {remoteurl: https://a}\n")
        result = run("check", "--no-plugins", path)
        assert result.exit_code == 0
        assert result.output.splitlines() == [
            f"{path}: good",
            "  storage   s3",
            "  listens   127.0.0.1:5000",
            "  auth      token",
            "  plugins   proxy",
        ]

    def test_all_mistakes(self, path: Path) -> None:
        path.write_text("version: 0.1\nstorage: inmemory\nhttp:\n  workers: 0\n  addr: x\n")
        result = run("check", path)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.splitlines() == [
            f"error: {path}:4: http.workers: expected at least 1, got 0",
            f"error: {path}:5: http.addr: expected host:port or :port, such as 127.0.0.1:5000, "
            'got "x"',
            "2 mistakes",
        ]

    def test_standard_input(self) -> None:
        assert run("check", "--no-plugins", "-", stdin=GOOD).output.startswith("<stdin>: good\n")
        assert "error: <stdin>: is empty" in run("check", "-").stderr

    def test_warnings(self, path: Path) -> None:
        path.write_text(GOOD + "htpp: {}\n")
        result = run("check", "--no-plugins", path)
        assert result.exit_code == 0
        assert result.stderr == (
            f"warning: {path}:3: htpp: is not a known key, and is ignored (did you mean http?)\n"
        )
        strict = run("check", "--no-plugins", "--strict", path)
        assert (strict.exit_code, strict.stdout) == (1, "")

    def test_the_environment_counts_unless_it_is_left_out(self, path: Path) -> None:
        path.write_text(GOOD)
        assert run("check", path, REGISTRY_HTTP_WORKERS="x").exit_code == 1
        good = run("check", "--no-plugins", "--no-environment", path, REGISTRY_HTTP_WORKERS="x")
        assert good.exit_code == 0

    def test_a_missing_plugin(self, path: Path) -> None:
        path.write_text("version: 0.1\nstorage:\n  nowhere: {}\n")
        result = run("check", path)
        assert result.exit_code == 1
        assert "storage.nowhere" in result.stderr
        assert "pip install pyreg-storage-nowhere" in result.stderr

    def test_the_options_of_a_plugin(self, path: Path) -> None:
        path.write_text(
            "version: 0.1\nstorage:\n  filesystem:\n    maxthreads: 3\n    rootdir: /x\n"
        )
        result = run("check", path)
        assert result.exit_code == 1
        assert f"error: {path}:4: storage.filesystem.maxthreads: expected at least 25, got 3" in (
            result.stderr
        )

    def test_an_unknown_option_of_a_plugin(self, path: Path) -> None:
        path.write_text("version: 0.1\nstorage:\n  filesystem:\n    maxthread: 30\n")
        result = run("check", path)
        assert result.exit_code == 0
        assert f"{path}:4: storage.filesystem.maxthread" in result.stderr
        assert "did you mean maxthreads?" in result.stderr

    def test_a_plugin_without_options(self, path: Path) -> None:
        path.write_text("version: 0.1\nstorage: {inmemory: {}}\n")
        assert run("check", path).exit_code == 0

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not text in UTF-8; expected a YAML file"),
            (b"a:\n\tb: 1\n", ":2: a tab cannot indent YAML; use spaces"),
            (b"just words", ":1: expected a mapping (lines of `key: value`) at the top"),
            (b"- a\n", ":1: expected a mapping (lines of `key: value`) at the top"),
        ],
    )
    def test_files_that_are_none(self, path: Path, content: bytes, message: str) -> None:
        path.write_bytes(content)
        result = run("check", path)
        assert result.exit_code == 1
        assert message in result.stderr
        assert "Traceback" not in result.output

    def test_paths_that_are_none(self, path: Path) -> None:
        assert run("check", path).stderr == (f"error: {path}: there is no such file\n1 mistake\n")
        assert "is a directory; expected a YAML file" in run("check", path.parent).stderr


class TestShow:
    def test_masks(self, path: Path) -> None:
        path.write_text(GOOD)
        result = run("show", path, REGISTRY_HTTP_ADDR=":80")
        assert result.exit_code == 0
        assert '  addr: ":80"  # REGISTRY_HTTP_ADDR\n' in result.stdout
        assert "hunter2" not in result.output

    def test_without_a_file(self) -> None:
        assert "    rootdirectory: ./pyreg-data\n" in run("show").stdout

    def test_the_file_that_the_variable_names(self, path: Path) -> None:
        path.write_text(GOOD)
        shown = run("show", REGISTRY_CONFIGURATION_PATH=str(path)).stdout
        assert f"bucket: a  # {path}:2" in shown

    def test_mistakes(self, path: Path) -> None:
        result = run("show", path)
        assert (result.exit_code, result.stdout) == (1, "")


def test_schema() -> None:
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "pyreg configuration"


@pytest.mark.parametrize("command", ["check", "show", "schema"])
def test_help_has_examples(command: str) -> None:
    output = run(command, "--help").output
    assert "Example" in output
    assert f"pyreg config {command}" in output
