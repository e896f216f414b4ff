"""`pyreg config`: check a configuration, show what is in force, describe it to editors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from pyreg.config.loading import Loaded, load_tree, read
from pyreg.config.model import Configuration
from pyreg.config.report import report
from pyreg.config.schema import json_schema
from pyreg.config.show import show
from pyreg.errors import ConfigurationError

_FILE = click.argument("file", required=False, type=click.Path(allow_dash=True))
_NO_ENVIRONMENT = click.option(
    "--no-environment", is_flag=True, help="Leave the REGISTRY_* variables out."
)


@click.group("config", context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Check, show and describe configurations.

    A configuration is a YAML file in the Docker registry's schema. Any option can be overridden
    by an environment variable: REGISTRY_ and the keys that lead to the option, joined by
    underscores, as in REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/srv/registry.
    """


@config.command("check")
@_FILE
@_NO_ENVIRONMENT
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option(
    "--no-plugins",
    is_flag=True,
    help="Leave out what only the plugins know; for machines where they are not installed.",
)
def check(file: str | None, no_environment: bool, strict: bool, no_plugins: bool) -> None:
    """Check a configuration, and list every mistake in it.

    FILE is a YAML file, or - for the standard input. Without it, the file that
    REGISTRY_CONFIGURATION_PATH names is checked, or else the built-in defaults. Nothing is
    started, opened or written. The plugins must be installed, as only they know their options.

    Exits with 0 when the configuration is good, and with 1 when it is not.

    \b
    Examples:
      pyreg config check config.yml
      pyreg config check --strict config.yml
      envsubst < config.tmpl | pyreg config check -
    """
    environ = _environ(no_environment)
    with _mistakes_told():
        if no_plugins:
            loaded = read(file, environ).result()
        else:
            loaded = load_tree(file, environ, plugins=True)
    report((), loaded.configuration.warnings)
    if strict and loaded.configuration.warnings:
        raise SystemExit(1)
    click.echo(_summary(loaded))


@config.command("show")
@_FILE
@_NO_ENVIRONMENT
def show_command(file: str | None, no_environment: bool) -> None:
    """Show the configuration that is in force, as YAML.

    That is the file, the REGISTRY_* variables over it, and the defaults for the rest. A comment
    names the line or the variable that a value came from; a value without one is the default.
    Secrets are masked.

    FILE is a YAML file, or - for the standard input. Without it, the file that
    REGISTRY_CONFIGURATION_PATH names is shown, or else the built-in defaults.

    \b
    Examples:
      pyreg config show config.yml
      pyreg config show > config.yml       (a file to begin with)
      REGISTRY_HTTP_ADDR=:443 pyreg config show config.yml
    """
    with _mistakes_told():
        loaded = load_tree(file, _environ(no_environment))
    report((), loaded.configuration.warnings)
    click.echo(show(loaded), nl=False)


@config.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration (draft 2020-12), for editors.

    It is stricter than the registry: keys that the registry ignores with a warning are errors
    in the editor.

    \b
    Example, for editors that use the YAML language server:
      pyreg config schema > pyreg.schema.json
      and as the first line of config.yml:
      # yaml-language-server: $schema=./pyreg.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _environ(no_environment: bool) -> Mapping[str, str]:
    return {} if no_environment else os.environ


@contextmanager
def _mistakes_told() -> Iterator[None]:
    """Print the mistakes of a configuration, with the warnings among them, and exit with 1."""
    try:
        yield
    except ConfigurationError as error:
        report(error.mistakes, error.warnings)
        count = len(error.mistakes)
        click.echo(f"{count} mistake{'s' if count != 1 else ''}", err=True)
        raise SystemExit(1) from None


def _summary(loaded: Loaded) -> str:
    configuration = loaded.configuration
    lines = [
        f"{loaded.source or 'the built-in configuration'}: good",
        f"  storage   {configuration.storage.driver.name}",
        f"  listens   {_address(configuration)}",
        f"  auth      {', '.join(each.name for each in configuration.auth) or 'open to all'}",
    ]
    asked = (*configuration.sections, *configuration.extensions)
    sinks = [f"{each.values['name']} ({each.name})" for each in asked if each.kind == "events"]
    if sinks:
        lines.append(f"  events    {', '.join(sinks)}")
    others = dict.fromkeys(each.name for each in asked if each.kind != "events")
    if others:
        lines.append(f"  plugins   {', '.join(others)}")
    return "\n".join(lines)


def _address(configuration: Configuration) -> str:
    http = configuration.http
    return f"unix:{http.addr}" if http.net == "unix" else http.addr
