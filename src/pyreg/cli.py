"""The command `pyreg`.

Each command imports what it needs when it runs, so that `pyreg --version` and the help answer at
once.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from pyreg.config import Configuration
    from pyreg.server.supervisor import Serving

_CONFIG = click.argument("config", required=False, type=click.Path(allow_dash=True))


class Commands(click.Group):
    """A group that imports the commands of other modules only when they are asked for."""

    elsewhere = {  # noqa: RUF012 - as in click itself
        "config": "pyreg.config.commands:config",
        "events": "pyreg.outbox.commands:events",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, also those of installed plugins."""
        from pyreg.plugins import command_names

        return sorted({*super().list_commands(ctx), *self.elsewhere, *command_names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name in self.elsewhere:
            module, _, name = self.elsewhere[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        return super().get_command(ctx, cmd_name) or _plugin_command(cmd_name)


def _plugin_command(name: str) -> click.Command | None:
    """A command that an installed plugin adds."""
    from pyreg.errors import PluginError
    from pyreg.plugins import load_command

    try:
        command: click.Command | None = load_command(name)
    except PluginError as error:
        return _broken(name, str(error))
    return command


def _broken(name: str, reason: str) -> click.Command:
    """Stands for a command that cannot be loaded, so that the others are still listed."""

    @click.command(
        name,
        short_help=f"(broken: {reason})",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        _fail([reason])

    return command


class ConfiguredPlugins:
    """What commands of plugins are given; see `pyreg.hooks.Invocation`."""

    def plugins(self, config: str | None) -> list[object]:
        """See `Invocation.plugins`."""
        from pyreg.assembly import plugin_instances
        from pyreg.errors import ConfigurationError, PluginError

        try:
            return plugin_instances(_load(config))
        except (ConfigurationError, PluginError) as error:
            raise click.ClickException(str(error)) from error


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        parts = [f"pyreg {importlib.metadata.version('pyreg')}"]
        parts.append(f"python {platform.python_version()}")
        parts += [f"{name} {importlib.metadata.version(name)}" for name in ("hypercorn", "quart")]
        click.echo(", ".join(parts))
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the versions of pyreg, Python and the server, and exit.",
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """A container registry: docker push to it, docker pull from it."""
    ctx.obj = ConfiguredPlugins()


@main.command()
@_CONFIG
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="How many processes serve, instead of http.workers.",
)
@click.option(
    "--bind",
    multiple=True,
    metavar="ADDR",
    help="Where to listen, instead of http.addr: host:port, :port (all interfaces), [v6]:port or "
    "unix:path. Port 0 takes a free one. May be repeated.",
)
@click.option(
    "--uvloop/--no-uvloop", default=True, help="Use uvloop where it is installed (the default)."
)
def serve(config: str | None, workers: int | None, bind: tuple[str, ...], uvloop: bool) -> None:
    """Run the registry.

    CONFIG is a YAML file in the Docker registry's schema, or - for the standard input. Without
    it, the file that REGISTRY_CONFIGURATION_PATH names is used, or else a registry in
    ./pyreg-data on 127.0.0.1:5000 that allows deletes.

    Sockets that systemd passes are used instead of all addresses.

    \b
    Signals:
      SIGTERM, SIGINT   finish the requests under way, at most for http.draintimeout, and stop;
                        a second one stops at once
      SIGHUP            read the configuration again, without losing a request
    """
    with _plain_errors():
        configuration = _load(config, plugins=True)
        from pyreg.server.supervisor import Supervisor, set_up_logs

        set_up_logs(configuration)
        _log_warnings(configuration)
        Supervisor(
            configuration,
            reload=None if config == "-" else lambda: _load(config),
            bind=bind,
            workers=workers or _worker_count(configuration),
            uvloop=uvloop,
            on_serving=_banner if sys.stderr.isatty() else _warn_if_open,
        ).run()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "--config",
    type=click.Path(allow_dash=True),
    help="Say which plugins this configuration loads; otherwise the one that serve would take.",
)
def plugins(as_json: bool, config: str | None) -> None:
    """List the plugins that are installed.

    Shows the kind and the name that a configuration uses, the package and its version, and
    whether the configuration loads it; if it does not, why not.
    """
    with _plain_errors():
        rows = list(_plugin_rows(_load(config)))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("no plugin is installed; try: pip install pyreg-storage-filesystem")
        return
    _table(("kind", "name", "version", "distribution", "loaded"), rows)


@main.command()
@_CONFIG
@click.argument("repositories", nargs=-1, metavar="[REPOSITORY]...")
def reindex(config: str | None, repositories: tuple[str, ...]) -> None:
    """Find the artifacts that refer to others, in content that another registry stored.

    CONFIG is as for serve. Without REPOSITORY, all repositories are looked through. The registry
    may go on serving meanwhile.
    """
    import asyncio

    with _plain_errors():
        configuration = _load(config, plugins=True)
        from pyreg.app import Registry
        from pyreg.server.supervisor import set_up_logs

        set_up_logs(configuration)
        _log_warnings(configuration)
        registry = Registry.from_configuration(configuration)
        found = asyncio.run(_reindex(registry, repositories))
    click.echo(f"{found} referrer{'s' if found != 1 else ''} found")


async def _reindex(registry: Any, repositories: Sequence[str]) -> int:
    terminal = sys.stderr.isatty()
    done = 0

    def progress(name: str, count: int) -> None:
        nonlocal done
        done += 1
        if terminal:
            of = f"/{len(repositories)}" if repositories else ""
            line = f"{done}{of} repositories, {name}: {count}"
            click.echo(f"\r\x1b[K{line[:100]}", nl=False, err=True)
        elif count:
            click.echo(f"{name}: {count}", err=True)

    await registry.start()
    try:
        found: int = await registry.reindex(repositories, progress=progress)
    finally:
        await registry.stop()
        if terminal and done:
            click.echo("\r\x1b[K", nl=False, err=True)
    return found


def _load(path: str | None, *, plugins: bool = False) -> Configuration:
    from pyreg.config import load

    return load(path, os.environ, plugins=plugins)


def _worker_count(configuration: Configuration) -> int | None:
    """1 where the storage can be seen by one process only; None to go by the configuration."""
    from pyreg.assembly import worker_count

    if worker_count(configuration) < configuration.http.workers:
        import logging

        logging.getLogger("pyreg").warning(
            "%s keeps everything in the memory of one process: one worker serves",
            configuration.storage.driver.name,
        )
        return 1
    return None


def _log_warnings(configuration: Configuration) -> None:
    import logging

    for warning in configuration.warnings:
        logging.getLogger("pyreg.config").warning("%s", warning)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Print what is wrong as plain lines and exit with 1; nobody needs a traceback for it."""
    from pyreg.config.report import report
    from pyreg.errors import ConfigurationError, PluginError, StorageError
    from pyreg.server.process import StartError
    from pyreg.server.sockets import BindError

    try:
        yield
    except ConfigurationError as error:
        report(error.mistakes, error.warnings)
        raise SystemExit(1) from None
    except (PluginError, StorageError, BindError, StartError) as error:
        _fail(str(error).splitlines() or [type(error).__name__])


def _fail(lines: Iterable[str]) -> NoReturn:
    for line in lines:
        begin = "" if line.startswith(" ") else f"{click.style('error:', fg='red', bold=True)} "
        click.echo(f"{begin}{line}", err=True)
    raise SystemExit(1)


def _plugin_rows(configuration: Configuration) -> Iterator[dict[str, Any]]:
    from pyreg.errors import PluginError
    from pyreg.plugins import installed, load

    wanted: dict[tuple[str, str], str] = {
        (options.kind, options.name): options.path for options in configuration.plugins
    }
    for plugin in installed():
        path = wanted.pop((plugin.kind, plugin.name), None)
        reason = "the configuration does not ask for it"
        if path is not None:
            try:
                load(plugin.kind, plugin.name)
            except PluginError as error:
                reason = str(error)
            else:
                reason = ""
        yield {
            "kind": plugin.kind,
            "name": plugin.name,
            "version": plugin.version,
            "distribution": plugin.distribution,
            "target": plugin.target,
            "loaded": not reason,
            "reason": reason,
        }
    for (kind, name), path in wanted.items():
        yield {
            "kind": kind,
            "name": name,
            "version": "",
            "distribution": "",
            "target": "",
            "loaded": False,
            "reason": f"{path} asks for it, but it is not installed",
        }


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    cells = [[column.upper() for column in columns]]
    for row in rows:
        loaded = "yes" if row["loaded"] else f"no: {row['reason']}"
        cells.append([*(str(row[column]) or "-" for column in columns[:-1]), loaded])
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns) - 1)]
    for line in cells:
        padded = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*padded, line[-1]]))


def _warn_if_open(serving: Serving) -> None:
    import logging

    if serving.open:
        from pyreg.access import OPEN_TO_ALL

        logging.getLogger("pyreg.server").warning("%s", OPEN_TO_ALL)


def _banner(serving: Serving) -> None:
    driver = serving.configuration.storage.driver
    where = driver.values.get("rootdirectory")
    directory = f" in {Path(str(where)).resolve()}" if where and driver.name == "filesystem" else ""
    lines = [
        "",
        f"  {click.style('pyreg', bold=True)} {importlib.metadata.version('pyreg')}",
        *(f"  {'address':<9} {click.style(url, fg='cyan')}" for url in serving.urls),
        f"  {'storage':<9} {driver.name}{directory}",
        f"  {'workers':<9} {serving.workers}",
        f"  {'stop':<9} Ctrl-C",
        "",
    ]
    if serving.open:
        from pyreg.access import OPEN_TO_ALL

        warning = click.style(f" WARNING: {OPEN_TO_ALL} ", fg="white", bg="red", bold=True)
        lines[-1:] = ["", f"  {warning}", ""]
    click.echo("\n".join(lines), err=True)


if __name__ == "__main__":
    main()
