"""`pyreg tls`: certificates for a registry that no public authority knows."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import click

from pyreg_tls import advice
from pyreg_tls.authority import Authority, Issued
from pyreg_tls.certificates import CertificateError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@click.group("tls", context_settings={"help_option_names": ["-h", "--help"]})
def tls() -> None:
    """Make certificates for the registry and its clients."""


@tls.command("self-signed")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    help="Make a certificate for a client of this name, too. May be repeated.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=397,
    show_default=True,
    help="How long certificates of the server and of clients last.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=5000,
    show_default=True,
    help="Where the registry will listen; for what is printed.",
)
def self_signed(
    directory: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int, port: int
) -> None:
    """Make an authority of your own, and certificates that it signs.

    DIRECTORY gets ca.pem and ca.key, server.pem and server.key for the HOSTs, and NAME.pem and
    NAME.key for each client. An authority that is there already is used again, so that more
    certificates can be made later. No file is ever overwritten.

    Then the lines are printed by which the registry and its clients come to use them.

    \b
    Examples:
      pyreg tls self-signed certs registry.example.com 192.0.2.7
      pyreg tls self-signed certs --client ci
    """
    _check(hosts, clients)
    now = datetime.datetime.now(datetime.UTC)
    ca = directory / "ca.pem", directory / "ca.key"
    try:
        known = ca[0].exists() or ca[1].exists()
        authority = (
            Authority.load(*ca) if known else Authority.new(f"pyreg authority {now:%Y-%m-%d}", now)
        )
        issued = [] if known else [authority.itself(*ca)]
        if hosts:
            server = directory / "server.pem", directory / "server.key"
            issued.append(authority.server(hosts, days, now, *server))
        for name in clients:
            paths = directory / f"{name}.pem", directory / f"{name}.key"
            issued.append(authority.client(name, days, now, *paths))
        _write(directory, issued)
    except CertificateError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    for each in issued:
        click.echo(f"wrote {each.path} and {each.key_path.name}")
    click.echo(advice.text(directory.resolve(), hosts, clients, port), nl=False)


def _check(hosts: Sequence[str], clients: Sequence[str]) -> None:
    if not hosts and not clients:
        raise click.UsageError("name a HOST, or a --client")
    for host in hosts:
        if not _is_host(host):
            raise click.UsageError(f"{host!r} is no name of a host, and no address")
    for name in clients:
        if not _NAME.fullmatch(name) or name in ("ca", "server"):
            raise click.UsageError(f"{name!r} cannot be a client's name")


def _is_host(text: str) -> bool:
    """Whether it is an address, or a name; `*.example.com` stands for the names below one."""
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return all(map(_LABEL.fullmatch, text.removeprefix("*.").split(".")))
    return True


def _write(directory: Path, issued: Sequence[Issued]) -> None:
    for each in issued:
        for path in (each.path, each.key_path):
            if path.exists():
                raise click.ClickException(f"{path} exists, and is left as it is")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for each in issued:
        each.write()
