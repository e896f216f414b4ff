"""What a plugin changes of the command `pyreg`: a real one, with a package that is installed."""

from __future__ import annotations

import json
import os
import re
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
        def pyreg_blueprint(self) -> quart.Blueprint:
            blueprint = quart.Blueprint("greeter", __name__)
            blueprint.get("/greeting")(self.greet)
            return blueprint

        async def greet(self) -> str:
            return self.options.greeting

        @hookimpl
        async def pyreg_guard(self, operation) -> None:
            raise Refused(f"{self.options.greeting}, but no")


    @click.command()
    @click.option("--loud", is_flag=True)
    @click.option("--config")
    @click.pass_obj
    def greet(invocation, loud: bool, config: str | None) -> None:
        """Say hello."""
        greetings = [
            plugin.options.greeting
            for plugin in invocation.plugins(config)
            if isinstance(plugin, Plugin)
        ]
        text = " ".join(greetings) or "nobody greets"
        click.echo(text.upper() if loud else text)


    @click.command()
    def serve() -> None:
        """Not yours to give."""
'''


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the package with the plugin is installed."""
    site = tmp_path / "site"
    site.mkdir()
    points = {
        "pyreg.extension": {"greeter": "greeter_plugin:Plugin"},
        "pyreg.command": {
            "greet": "greeter_plugin:greet",
            "serve": "greeter_plugin:serve",
            "shrug": "greeter_plugin:nothing",
        },
    }
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


def test_an_installed_package_adds_commands(env: dict[str, str], config: Path) -> None:
    done = pyreg(env, "greet", "--loud", "--config", str(config))
    assert (done.returncode, done.stdout) == (0, "GOOD DAY\n"), done.stderr
    assert pyreg(env, "greet").stdout == "nobody greets\n"
    configured = {**env, "REGISTRY_CONFIGURATION_PATH": str(config)}
    assert pyreg(configured, "greet").stdout == "good day\n"
    helped = pyreg(env, "--help")
    assert re.search(r"greet +Say hello\.", helped.stdout)
    assert "Run the registry." in helped.stdout
    assert "Not yours to give." not in helped.stdout


def test_a_broken_configuration_is_told_by_the_command(env: dict[str, str], config: Path) -> None:
    config.write_text(config.read_text().replace("0.1", "0.9"))
    done = pyreg(env, "greet", "--config", str(config))
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "version" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_command_leaves_the_others(env: dict[str, str]) -> None:
    helped = pyreg(env, "--help")
    assert helped.returncode == 0
    assert "Say hello." in helped.stdout
    assert "(broken: greeter_plugin:nothing cannot be loaded" in helped.stdout
    done = pyreg(env, "shrug", "--loud", "now")
    assert done.returncode == 1
    assert "greeter_plugin:nothing cannot be loaded: AttributeError" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_packages_with_one_command_are_refused(env: dict[str, str], tmp_path: Path) -> None:
    install(tmp_path / "site", "rival", {"pyreg.command": {"greet": "rival:greet"}}, {"rival": ""})
    done = pyreg(env, "greet")
    assert done.returncode == 1
    assert "two packages claim the command 'greet': greeter and rival" in done.stderr


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
