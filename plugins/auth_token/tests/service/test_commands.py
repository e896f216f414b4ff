"""`pyreg token-keys`: keys are made, take over, and go."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pyreg_auth_token.documents import read_bundle, read_jwks
from pyreg_auth_token.service.signing import (
    MAX_KEYS,
    KeysError,
    SigningKeys,
    moment,
    name_of,
    read_keys,
)

Command = Callable[..., Result]


def listed(command: Command, keys: Path) -> dict[str, str]:
    """What each key does, by name, the newest first."""
    rows = json.loads(command("list", keys, "--json").output)
    return {row["name"]: row["does"] for row in rows}


def test_a_first_key(tmp_path: Path, command: Command) -> None:
    directory = tmp_path / "deep" / "er"
    made = command("init", directory)
    assert made.exit_code == 0, made.output
    [path] = directory.iterdir()
    assert str(path) in made.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert listed(command, directory) == {path.stem: "signs"}
    assert read_keys(directory).keys[0].algorithm == "ES256"


def test_a_mode_does_not_depend_on_the_umask(tmp_path: Path, command: Command) -> None:
    before = os.umask(0)
    try:
        assert command("init", tmp_path / "k").exit_code == 0
    finally:
        os.umask(before)
    [path] = (tmp_path / "k").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_init_does_not_touch_what_is_there(keys: Path, command: Command) -> None:
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    again = command("init", keys)
    assert again.exit_code == 1
    assert "rotate" in again.output
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before


def test_a_new_key_is_published_before_it_signs(keys: Path, command: Command) -> None:
    [old] = listed(command, keys)
    made = command("rotate", keys)
    assert "signs in 10 minutes" in made.output
    new, then = listed(command, keys)
    assert then == old
    assert listed(command, keys) == {new: "signs in 10 minutes", old: "signs"}
    ring = read_keys(keys)
    since = moment(new)
    assert since is not None
    assert ring.current(since - 1).name == old
    assert ring.current(since).name == new
    assert len(json.loads(command("export", keys).output)["keys"]) == 2


def test_a_key_can_take_over_at_once(keys: Path, command: Command) -> None:
    [old] = listed(command, keys)
    assert "at once" in command("rotate", keys, "--delay", "0", "--algorithm", "EdDSA").output
    assert list(listed(command, keys).values()) == ["signs", "verifies"]
    ring = read_keys(keys)
    assert [key.algorithm for key in ring.keys] == ["EdDSA", "ES256"]
    assert ring.current(time.time()).name != old


def test_a_new_key_is_of_the_kind_of_the_old_one(tmp_path: Path, command: Command) -> None:
    command("init", tmp_path / "k", "--algorithm", "rs256")
    command("rotate", tmp_path / "k")
    assert [key.algorithm for key in read_keys(tmp_path / "k").keys] == ["RS256", "RS256"]


def test_an_old_key_goes(keys: Path, command: Command) -> None:
    [old] = listed(command, keys)
    command("rotate", keys, "--delay", "0")
    gone = command("remove", keys, f"{old}.pem")
    assert gone.exit_code == 0, gone.output
    assert old not in listed(command, keys)


def test_what_would_lock_everybody_out_is_refused(keys: Path, command: Command) -> None:
    [old] = listed(command, keys)
    assert "one key has to stay" in command("remove", keys, old, "--force").output
    command("rotate", keys)
    refused = command("remove", keys, old)
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert command("remove", keys, old, "--force").exit_code == 0
    unknown = command("remove", keys, "20200101T000000Z")
    assert unknown.exit_code == 1
    assert "no key 20200101T000000Z" in unknown.output


def test_keys_that_are_made_at_once_are_all_there(keys: Path, command: Command) -> None:
    """Many processes in one second: none takes another one's name."""
    threads = [
        threading.Thread(
            target=lambda: subprocess.run(
                [sys.executable, "-m", "pyreg.cli", "token-keys", "rotate", str(keys)],
                check=True,
                capture_output=True,
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(keys).keys) == 5
    assert not [path for path in keys.iterdir() if path.name.startswith(".")]


def test_the_public_keys_are_exported(keys: Path, tmp_path: Path, command: Command) -> None:
    command("rotate", keys, "--algorithm", "RS256")
    command("rotate", keys, "--algorithm", "EdDSA")
    ring = read_keys(keys)
    jwks = command("export", keys).output
    for words in ('"d"', '"p"', "PRIVATE"):
        assert words not in jwks
    for found in (read_jwks(jwks.encode()), ring.public):
        assert {key.kid for key in ring.keys} <= set(found.named)
    output = tmp_path / "roots.pem"
    assert command("export", keys, "--format", "pem", "--output", output).exit_code == 0
    text = output.read_bytes()
    assert b"PRIVATE" not in text
    assert {key.kid for key in ring.keys} <= set(read_bundle(text).named)
    for certificate in x509.load_pem_x509_certificates(text):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.value.ca is False
    assert stat.S_IMODE(output.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir() if "roots" in path.name] == ["roots.pem"]


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("remove", "x"), ("export",)])
def test_a_directory_without_keys(tmp_path: Path, command: Command, words: tuple[str, ...]) -> None:
    name, *rest = words
    for directory in (tmp_path / "none", tmp_path):
        result = command(name, directory, *rest)
        assert result.exit_code == 1
        assert f"pyreg token-keys init {directory}" in result.output


def test_a_directory_that_is_none(tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").write_text("")
    for name in ("init", "list"):
        result = command(name, tmp_path / "file")
        assert result.exit_code == 1
        assert "Traceback" not in result.output
        assert str(tmp_path / "file") in result.output


def test_every_command_teaches(command: Command) -> None:
    for words in ((), ("init",), ("list",), ("rotate",), ("remove",), ("export",)):
        result = command(*words, "--help")
        assert result.exit_code == 0
        assert "DIR" in result.output


# -- files that cannot be used -------------------------------------------------------------


def pem(private: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    hidden = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)


P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not a private key"),
        (pem(P256, b"secret"), "is not a private key in PEM without a passphrase"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "cannot be used"),
    ],
)
def test_a_file_that_is_no_key(keys: Path, data: bytes, complaint: str) -> None:
    path = keys / "20260201T000000Z.pem"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeysError, match=complaint) as error:
        read_keys(keys)
    assert str(path) in str(error.value)


def test_a_key_that_everybody_can_read(keys: Path) -> None:
    [path] = keys.iterdir()
    for mode in (0o644, 0o604, 0o602):
        path.chmod(mode)
        with pytest.raises(KeysError, match=f"chmod 600 {path}"):
            read_keys(keys)
    path.chmod(0o440)  # as container platforms mount secrets, for a group
    assert read_keys(keys).keys


def test_a_key_with_another_name(keys: Path) -> None:
    [path] = keys.iterdir()
    for name in ("key", "20261301T000000Z", "20260101T000000"):
        path = path.rename(keys / f"{name}.pem")
        with pytest.raises(KeysError, match=r"such as 2\d{7}T\d{6}Z\.pem"):
            read_keys(keys)


def test_other_files_do_no_harm(keys: Path) -> None:
    (keys / "README").write_text("keys of the token service")
    (keys / ".20260201T000000Z.pem.swp").write_text("")
    assert len(read_keys(keys).keys) == 1


def test_keys_without_end(keys: Path) -> None:
    [path] = keys.iterdir()
    for number in range(MAX_KEYS):
        (keys / f"20260201T0000{number:02}Z.pem").write_bytes(path.read_bytes())
    with pytest.raises(KeysError, match="more than"):
        read_keys(keys)


def test_names_are_moments() -> None:
    for name in ("20261124T080000Z", "19700101T000000Z", "99991231T235959Z"):
        since = moment(name)
        assert since is not None
        assert name_of(since) == name


def test_a_clock_that_is_late_signs_with_the_oldest(keys: Path) -> None:
    ring: SigningKeys = read_keys(keys)
    assert ring.current(0.0) is ring.keys[-1]
