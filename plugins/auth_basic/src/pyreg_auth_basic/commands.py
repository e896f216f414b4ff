"""The command `pyreg htpasswd`: makes and changes the file with users and passwords."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import click

from pyreg_auth_basic.credentials import LONGEST_PASSWORD, name_mistake, password_mistake
from pyreg_auth_basic.editing import change, has_entry, with_entry, without_entry
from pyreg_auth_basic.entries import BrokenFile, lines_of, parse_users, user_of
from pyreg_auth_basic.hashes import ALGORITHMS, Hash, make_hash

_DEFAULTS = ", ".join(f"{name} {each.default}" for name, each in ALGORITHMS.items())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("user", required=False)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from a line of input.")
@click.option("--delete", is_flag=True, help="Remove USER.")
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing: say whether the password of USER is right or, without USER, whether "
    "every line of FILE is. The exit status is 1 if not.",
)
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="bcrypt",
    show_default=True,
    help="How to hash. Apache and the Docker registry understand bcrypt.",
)
@click.option(
    "--cost",
    type=int,
    metavar="N",
    help="How long a login is to take: the cost of bcrypt (each step doubles the time), passes "
    f"of argon2 over 19 MiB, or rounds of sha512. The defaults: {_DEFAULTS}.",
)
def htpasswd(
    path: Path,
    user: str | None,
    from_stdin: bool,
    delete: bool,
    check: bool,
    algorithm: str,
    cost: int | None,
) -> None:
    """Set the password of USER in FILE, for auth.htpasswd.

    Asks for the password twice, without showing it. A user who is not in FILE is added, and a
    FILE that does not exist is made, for its owner alone to read. All other lines stay as they
    are. A registry that runs takes the change up by itself, within a second.

    \b
    Examples:
      pyreg htpasswd /etc/pyreg/htpasswd ann
      pwgen 20 1 | tee ci.password | pyreg htpasswd --stdin /etc/pyreg/htpasswd ci
      pyreg htpasswd --delete /etc/pyreg/htpasswd ann
      pyreg htpasswd --check /etc/pyreg/htpasswd
    """
    if delete and check:
        raise click.UsageError("--delete and --check do not go together")
    if user is None:
        if not check:
            raise click.UsageError("Missing argument 'USER'.")
        _check_lines(path)
        return
    user = unicodedata.normalize("NFC", user)
    try:
        if check:
            _check_password(path, user, from_stdin)
        elif delete:
            _delete(path, user)
        else:
            _set(path, user, from_stdin, algorithm, cost)
    except OSError as error:
        raise click.ClickException(f"{error.filename or path}: {error.strerror}") from error


def _set(path: Path, user: str, from_stdin: bool, algorithm: str, cost: int | None) -> None:
    if mistake := name_mistake(user):
        raise click.BadParameter(mistake, param_hint="USER")
    allowed = ALGORITHMS[algorithm]
    if cost is not None and cost not in allowed.costs:
        raise click.BadParameter(
            f"{algorithm} takes {allowed.costs[0]} to {allowed.costs[-1]} ({allowed.meaning})",
            param_hint="--cost",
        )
    password = _password(from_stdin, twice=True)
    if mistake := password_mistake(password):
        raise click.ClickException(mistake)
    try:
        hashed = make_hash(password, algorithm, cost)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    done = ""

    def edit(old: bytes | None) -> bytes:
        nonlocal done
        if old is None:
            done = f"{path} was made, with the user {user}"
        elif has_entry(old, user):
            done = f"the password of {user} was changed"
        else:
            done = f"{user} was added"
        return with_entry(old or b"", user, hashed)

    change(path, edit)
    click.echo(done)
    _warn(path)


def _delete(path: Path, user: str) -> None:
    def edit(old: bytes | None) -> bytes:
        if old is None:
            raise click.ClickException(f"there is no file {path}")
        if not has_entry(old, user):
            raise click.ClickException(f"{path} has no user {user}")
        return without_entry(old, user)

    change(path, edit)
    click.echo(f"{user} was removed")
    _warn(path)


def _check_password(path: Path, user: str, from_stdin: bool) -> None:
    found = _hash_of(path.read_bytes(), user)
    if found is None:
        raise click.ClickException(f"{path} has no user {user}, or none with a hash that is taken")
    if not found.matches(_password(from_stdin, twice=False)):
        raise click.ClickException(f"this is not the password of {user}")
    click.echo(f"this is the password of {user}")


def _hash_of(data: bytes, user: str) -> Hash | None:
    """The hash of one user, whatever the other lines are like."""
    own = [line for line in lines_of(data) if user_of(line) == user]
    try:
        return parse_users(b"".join(own)).hashes.get(user)
    except BrokenFile:
        return None


def _check_lines(path: Path) -> None:
    try:
        users = parse_users(path.read_bytes())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    except BrokenFile as error:
        lines = [f"{path}:{number}: {what}" for number, what in error.mistakes]
        raise click.ClickException("\n".join(lines)) from error
    click.echo(f"{path} is good; users: {len(users.hashes)}")


def _warn(path: Path) -> None:
    """Say what keeps a registry from taking the file up."""
    try:
        parse_users(path.read_bytes())
    except BrokenFile as error:
        for number, what in error.mistakes:
            click.echo(f"warning: {path}:{number}: {what}", err=True)
        click.echo("warning: registries do not take the file up before that is mended", err=True)


def _password(from_stdin: bool, *, twice: bool) -> str:
    if from_stdin:
        # Two more bytes than there may be: the end of the line.
        data = sys.stdin.buffer.read(LONGEST_PASSWORD + 3)
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        if b"\n" in line:
            raise click.ClickException("expected one line of input, the password")
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise click.ClickException("the password is not UTF-8") from None
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; use --stdin for a script")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=twice)
    return answer
