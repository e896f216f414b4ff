"""`pyreg token-keys`: make, list, change and publish the keys of a token service."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pyreg_auth_token.service.export import bundle, jwks
from pyreg_auth_token.service.signing import (
    KeysError,
    PrivateKey,
    SigningKey,
    SigningKeys,
    key_files,
    name_of,
    read_keys,
)

GENERATE: dict[str, Callable[[], PrivateKey]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 3072),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}

DELAY = 600
"""Seconds between the publication of a new key and its first signature."""

_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
_ALGORITHM = click.option(
    "--algorithm",
    type=click.Choice(list(GENERATE), case_sensitive=False),
    help="ES256 is understood by every registry; Docker registry 2 does not know EdDSA.",
)


@click.group("token-keys", context_settings={"help_option_names": ["-h", "--help"]})
def token_keys() -> None:
    """Make, change and publish the keys of a token service.

    The keys are files in a directory, which `auth.tokenservice.keys` names. Servers notice within
    seconds what these commands change; several servers may share one directory. A server has to
    be able to read the files, so run the commands as the server's user.

    \b
    To change the key, without a moment in which a token is refused:
      pyreg token-keys rotate DIR          a new key, which signs in ten minutes
      pyreg token-keys list DIR            wait until it signs, and as long as old tokens live
      pyreg token-keys remove DIR NAME     the old one; ends all logins made with it
    """


@token_keys.command()
@_DIRECTORY
@_ALGORITHM
def init(directory: Path, algorithm: str | None) -> None:
    """Make DIR with a first key, which signs at once."""
    with _plain_errors():
        if key_files(directory):
            raise click.ClickException(
                f"{directory} has keys already; see pyreg token-keys rotate --help"
            )
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = _write(directory, GENERATE[algorithm or "ES256"](), time.time())
    click.echo(f"made {directory / name}.pem")


@token_keys.command("list")
@_DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_keys(directory: Path, as_json: bool) -> None:
    """List the keys in DIR, the newest first, and what each of them does.

    KID is what tokens call the key that they are signed with.
    """
    with _plain_errors():
        keys = read_keys(directory)
    now = time.time()
    rows = [
        {
            "name": key.name,
            "algorithm": key.algorithm,
            "kid": key.kid,
            "does": _does(key, keys, now),
        }
        for key in keys.keys
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in ({name: name.upper() for name in rows[0]}, *rows):
        click.echo(f"{row['name']:<16}  {row['algorithm']:<9}  {row['does']:<19}  {row['kid']}")


@token_keys.command()
@_DIRECTORY
@_ALGORITHM
@click.option(
    "--delay",
    type=click.IntRange(0, 365 * 24 * 3600),
    default=DELAY,
    show_default=True,
    metavar="SECONDS",
    help="How long the key is published before it signs. Take more than it takes for other "
    "registries to learn of it; 0 if the old key has been stolen.",
)
def rotate(directory: Path, algorithm: str | None, delay: int) -> None:
    """Add a key to DIR, which takes over after a while.

    The old keys go on verifying tokens until you remove them.
    """
    with _plain_errors():
        keys = read_keys(directory)
        now = time.time()
        kind = algorithm or keys.current(now).algorithm
        if kind not in GENERATE:
            raise click.ClickException(f"say which --algorithm; the key that signs has {kind}")
        name = _write(directory, GENERATE[kind](), now + delay)
    click.echo(f"made {directory / name}.pem, which signs {_when(delay)}")


@token_keys.command()
@_DIRECTORY
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Remove the key that signs, too.")
def remove(directory: Path, names: tuple[str, ...], force: bool) -> None:
    """Remove keys from DIR.

    Tokens that they signed are refused from then on, and refresh tokens as well: whoever logged
    in while such a key signed has to log in again.
    """
    with _plain_errors():
        keys = read_keys(directory)
        leaving = {name.removesuffix(".pem") for name in names}
        unknown = leaving - {key.name for key in keys.keys}
        if unknown:
            raise click.ClickException(f"there is no key {min(unknown)} in {directory}")
        if len(leaving) == len(keys.keys):
            raise click.ClickException("one key has to stay; add another one first: rotate")
        current = keys.current(time.time())
        if current.name in leaving and not force:
            raise click.ClickException(f"{current.name} signs at the moment; --force removes it")
        for name in sorted(leaving):
            (directory / f"{name}.pem").unlink()
        _sync(directory)
    click.echo(f"removed {', '.join(sorted(leaving))}")


@token_keys.command()
@_DIRECTORY
@click.option(
    "--format",
    "form",
    type=click.Choice(["jwks", "pem"]),
    default="jwks",
    show_default=True,
    help="jwks: for auth.token.jwks of pyreg and Docker registry 3. pem: for rootcertbundle of "
    "Docker registry 2.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write, at once and whole, instead of the standard output.",
)
def export(directory: Path, form: str, output: Path | None) -> None:
    """Write the public keys of DIR, for other registries that take the same tokens."""
    with _plain_errors():
        keys = read_keys(directory)
        text = bundle(keys) if form == "pem" else f"{json.dumps(jwks(keys), indent=2)}\n".encode()
        if output is None:
            click.echo(text, nl=False)
        else:
            with _written(output, text, 0o644) as scratch:
                scratch.replace(output)


def _does(key: SigningKey, keys: SigningKeys, now: float) -> str:
    if key is keys.current(now):
        return "signs"
    if key.since > now:
        return f"signs {_when(key.since - now)}"
    return "verifies"


def _when(seconds: float) -> str:
    if seconds < 1:
        return "at once"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length:
            count = round(seconds / length)
            return f"in {count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError(seconds)


def _write(directory: Path, private: PrivateKey, since: float) -> str:
    """Add a key under the next name that is free."""
    data = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with _written(directory / ".new", data, 0o600) as scratch:
        while True:
            name = name_of(since)
            try:
                (directory / f"{name}.pem").hardlink_to(scratch)
            except FileExistsError:
                since += 1
            else:
                return name


@contextmanager
def _written(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A file beside `path` that is on the disk, for a moment in which to give it its name."""
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Say in one line what an operator can mend; nobody needs a traceback for it."""
    try:
        yield
    except KeysError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror}") from error
