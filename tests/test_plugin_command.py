"""What a plugin changes of the command `pyreg`: a real one, with a package that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.fixtures.distributions import install
from tests.fixtures.in_process import error_of
from tests.fixtures.wire import sha256
from tests.servers.registries import Registry

PLUGIN = '''
    import asyncio
    import click
    import quart
    from dataclasses import dataclass
    from pathlib import Path
    from pyreg.errors import Refused
    from pyreg.hooks import hookimpl


    @dataclass(frozen=True)
    class Options:
        greeting: str = "hello"


    class Plugin:
        api_version = (1, 0)
        Options = Options

        def __init__(self, options: Options) -> None:
            self.options = options

        @hookimpl
        def pyreg_server_config(self, config) -> None:
            config.include_server_header = True

        @hookimpl
        def pyreg_cli(self, group: click.Group) -> None:
            @group.command()
            @click.option("--loud", is_flag=True)
            def greet(loud: bool) -> None:
                """Say hello."""
                click.echo(self.options.greeting.upper() if loud else self.options.greeting)

            @group.command()
            def serve() -> None:
                """Not yours to give."""
                click.echo("mine!")

        @hookimpl
        def pyreg_blueprint(self) -> quart.Blueprint:
            blueprint = quart.Blueprint("greeter", __name__)
            blueprint.get("/greeting")(self.greet)
            return blueprint

        async def greet(self) -> str:
            return self.options.greeting

        @hookimpl
        async def pyreg_guard(self, operation) -> None:
            raise Refused(f"{self.options.greeting}, but no")
'''


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the package with the plugin is installed."""
    site = tmp_path / "site"
    site.mkdir()
    points = {"pyreg.extension": {"greeter": "greeter_plugin:Plugin"}}
    install(site, "greeter", points, {"greeter_plugin": PLUGIN}, version="3.2.1")
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that asks for it."""
    path = tmp_path / "config.yml"
    document = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "extensions": {"greeter": {"greeting": "good day"}},
    }
    path.write_text(json.dumps(document))
    return path


def pyreg(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyreg.cli", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_pyreg_cli_adds_commands(env: dict[str, str], config: Path) -> None:
    configured = {**env, "REGISTRY_CONFIGURATION_PATH": str(config)}
    done = pyreg(configured, "greet", "--loud")
    assert (done.returncode, done.stdout) == (0, "GOOD DAY\n"), done.stderr
    helped = pyreg(configured, "--help")
    assert "greet    Say hello." in helped.stdout
    assert "Run the registry." in helped.stdout
    assert "Not yours to give." not in helped.stdout


def test_without_a_configuration_there_are_no_commands_of_plugins(env: dict[str, str]) -> None:
    done = pyreg({**env, "REGISTRY_CONFIGURATION_PATH": ""}, "greet")
    assert done.returncode == 2
    assert "No such command 'greet'" in done.stderr


def test_a_broken_configuration_leaves_the_other_commands(
    env: dict[str, str], config: Path
) -> None:
    config.write_text(config.read_text().replace("greeting", "greting").replace("0.1", "0.9"))
    configured = {**env, "REGISTRY_CONFIGURATION_PATH": str(config)}
    done = pyreg(configured, "--help")
    assert done.returncode == 0
    assert "Run the registry." in done.stdout
    assert "warning:" in done.stderr
    assert "version" in done.stderr


def test_pyreg_server_config_changes_how_the_server_runs(
    env: dict[str, str], start_registry: Callable[..., Registry]
) -> None:
    asked = {"extensions": {"greeter": {"greeting": "good day"}}}
    with_plugin = start_registry(config=asked, env=env)
    without = start_registry(env=env)
    with httpx.Client(trust_env=False) as http:
        assert "hypercorn" in http.get(f"{with_plugin.url}/v2/").headers["server"]
        assert "server" not in http.get(f"{without.url}/v2/").headers
        # The other hooks of an installed plugin work there as they do in a registry in Python.
        assert http.get(f"{with_plugin.url}/greeting").text == "good day"
        assert http.get(f"{without.url}/greeting").status_code == 404
        begin = f"/v2/a/blobs/uploads/?digest={sha256(b'blob')}"
        refused = http.post(f"{with_plugin.url}{begin}", content=b"blob")
        assert refused.status_code == 403
        assert error_of(refused)["message"] == "good day, but no"
        assert http.post(f"{without.url}{begin}", content=b"blob").status_code == 201


def test_plugins_says_what_is_loaded(env: dict[str, str], config: Path) -> None:
    [greeter] = [
        row
        for row in json.loads(pyreg(env, "plugins", "--json", "--config", str(config)).stdout)
        if row["name"] == "greeter"
    ]
    assert (greeter["distribution"], greeter["version"]) == ("greeter", "3.2.1")
    assert greeter["loaded"] is True
    [greeter] = [
        row
        for row in json.loads(pyreg(env, "plugins", "--json").stdout)
        if row["name"] == "greeter"
    ]
    assert greeter["loaded"] is False
