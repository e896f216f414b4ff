"""`pyreg tls self-signed`."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from plugins.tls.tests.conftest import Start
from pyreg_tls.certificates import Pair, load
from pyreg_tls.commands import tls
from tests.fixtures.programs import require


def run(*args: object) -> Result:
    return CliRunner().invoke(tls, [str(each) for each in args])


def subjects(path: Path) -> list[str]:
    found = x509.load_pem_x509_certificate(path.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_an_authority_a_server_and_clients(tmp_path: Path) -> None:
    place = tmp_path / "certs"
    done = run(
        "self-signed", place, "registry.example.com", "*.example.com", "192.0.2.7", "2001:db8::1",
        "--client", "ci", "--client", "ann@example.com", "--days", 30,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {path.name for path in place.iterdir()} == {
        f"{name}.{kind}" for name in ("ca", "server", "ci", "ann@example.com")
        for kind in ("pem", "key")
    }  # fmt: skip
    for path in place.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert subjects(place / "server.pem") == [
        "registry.example.com", "*.example.com", "192.0.2.7", "2001:db8::1",
    ]  # fmt: skip
    found = load(Pair(place / "server.pem", place / "server.key"))
    assert found is not None
    assert 29 < found.lifetime.days < 31
    openssl = require("openssl")
    for name, purpose in (("server", "sslserver"), ("ci", "sslclient")):
        subprocess.run(
            [openssl, "verify", "-x509_strict", "-purpose", purpose, "-CAfile",
             str(place / "ca.pem"), str(place / f"{name}.pem")],
            check=True, capture_output=True,
        )  # fmt: skip


def test_more_clients_later(tmp_path: Path) -> None:
    assert run("self-signed", tmp_path, "localhost").exit_code == 0
    before = (tmp_path / "ca.pem").read_bytes()
    done = run("self-signed", tmp_path, "--client", "ci")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "ca.pem").read_bytes() == before
    authority = x509.load_pem_x509_certificate(before)
    client = x509.load_pem_x509_certificate((tmp_path / "ci.pem").read_bytes())
    client.verify_directly_issued_by(authority)
    assert "ca.pem and" not in done.output


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert run("self-signed", tmp_path, "localhost", "--client", "ci").exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for args in (["localhost"], ["--client", "ci"], ["--client", "new", "--client", "ci"]):
        done = run("self-signed", tmp_path, *args)
        assert done.exit_code == 1
        assert "exists, and is left as it is" in done.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_half_an_authority_is_not_taken_for_none(tmp_path: Path) -> None:
    assert run("self-signed", tmp_path, "localhost").exit_code == 0
    (tmp_path / "ca.key").unlink()
    done = run("self-signed", tmp_path, "--client", "ci")
    assert done.exit_code == 1
    assert "ca.key: no such file" in done.output
    assert not (tmp_path / "ci.pem").exists()


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["not a host"],
        ["-rf"],
        ["a..b"],
        ["a/b"],
        ["localhost", "--client", "../evil"],
        ["localhost", "--client", "ca"],
        ["localhost", "--client", "server"],
        ["localhost", "--client", ""],
    ],
    ids=str,
)
def test_what_is_refused(tmp_path: Path, args: list[str]) -> None:
    place = tmp_path / "certs"
    assert run("self-signed", place, *args).exit_code == 2
    assert not place.exists()


def test_what_it_prints_works(serve: Start, tmp_path: Path) -> None:
    """The lines for the configuration and for curl, as they stand."""
    done = run("self-signed", tmp_path, "localhost", "127.0.0.1", "--client", "ci")
    found = re.findall(r"^    (certificate|key|clientcas): (.+)$", done.output, re.MULTILINE)
    tls_options: dict[str, object] = dict(found)
    tls_options["clientcas"] = str(tls_options["clientcas"]).strip("[]").split(", ")
    registry = serve(tls_options)
    [command] = re.findall(r"^curl .+$", done.output, re.MULTILINE)
    command = command.replace("localhost:5000", registry.address)
    said = subprocess.run(command.split(), capture_output=True, check=True).stdout
    assert said == b"{}"
    bare = [part for part in command.split() if not part.endswith((".key", "ci.pem"))]
    bare = [part for part in bare if part not in ("--cert", "--key")]
    assert subprocess.run(bare, capture_output=True, check=False).returncode != 0
