"""`pyreg htpasswd`, beside Apache's `htpasswd`."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pyreg_auth_basic.entries import parse_users
from pyreg_auth_basic.hashes import ALGORITHMS
from tests.fixtures.programs import require_root

COMMAND = [sys.executable, "-m", "pyreg.cli", "htpasswd"]


def run(*arguments: object, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the command as a script does."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def typed(*arguments: object, answers: list[str]) -> tuple[int, str]:
    """Run the command as a person does. Returns its exit status and what the terminal shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: _control(theirs),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # everybody has closed the terminal
            break
        shown += piece
        if shown.endswith(b": ") and answers:
            os.write(ours, f"{answers.pop(0)}\n".encode())
    os.close(ours)
    return process.wait(60), shown.decode()


def _control(terminal: int) -> None:
    """Make a terminal the one of this process: passwords are asked for there."""
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "htpasswd"


def test_a_person_sets_a_password(path: Path) -> None:
    status, shown = typed(path, "ann", answers=["correct horse", "correct horse"])
    assert status == 0
    assert f"{path} was made, with the user ann" in shown.replace("\r\n", "")
    assert "correct" not in shown, "what is typed does not show"
    assert parse_users(path.read_bytes()).hashes["ann"].matches("correct horse")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    status, shown = typed(path, "ann", answers=["one", "another", "new", "new"])
    assert status == 0
    assert "the password of ann was changed" in shown
    assert parse_users(path.read_bytes()).hashes["ann"].matches("new")
    assert typed(path, "ann", "--check", answers=["new"])[0] == 0
    assert typed(path, "ann", "--check", answers=["old"])[0] == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_script_sets_a_password(path: Path, algorithm: str) -> None:
    arguments = ("--stdin", "--algorithm", algorithm, path)
    assert (
        run(*arguments, "ann", stdin="grüße ☃\n").stdout == f"{path} was made, with the user ann\n"
    )
    assert run(*arguments, "bea", stdin=" x \r\n").stdout == "bea was added\n"
    assert run(*arguments, "ann", stdin="other").stdout == "the password of ann was changed\n"
    hashes = parse_users(path.read_bytes()).hashes
    assert hashes["ann"].matches("other")
    assert hashes["bea"].matches(" x ")
    assert ALGORITHMS[algorithm].default in hashes["ann"].work
    assert run("--check", path).stdout == f"{path} is good; users: 2\n"


def test_costs(path: Path) -> None:
    run("--stdin", "--cost", 5, path, "ann", stdin="x")
    run("--stdin", "--cost", 1, "--algorithm", "argon2", path, "bea", stdin="x")
    run("--stdin", "--cost", 6000, "--algorithm", "sha512", path, "cid", stdin="x")
    work = {user: each.work for user, each in parse_users(path.read_bytes()).hashes.items()}
    assert work == {"ann": ("bcrypt", 5), "bea": ("argon2", 1, 19456, 1), "cid": ("6", 6000)}
    done = run("--stdin", "--cost", 4, path, "ann", stdin="x")
    assert done.returncode == 2
    assert "bcrypt takes 5 to 17 (each step doubles the time)" in done.stderr


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("ann", "", "empty"),
        ("ann", "\n", "empty"),
        ("ann", "one\ntwo\n", "one line"),
        ("ann", "a\x00b", "control characters"),
        ("ann", b"\xff", "not UTF-8"),
        ("ann", "x" * 73, "bcrypt looks at the first 72 bytes of a password, and this one has 73"),
        ("ann", "x" * 1025, "more than 1024 bytes"),
        ("ann", "eyJhbGciOiJub25lIn0.e30.c2ln", "JSON Web Token"),
        ("a:b", "x", "no colon"),
        ("", "x", "a user needs a name"),
        ("#ann", "x", "comment"),
        (" ann", "x", "spaces"),
        ("a\nb", "x", "control characters"),
        ("é" * 128, "x", "255 bytes"),
    ],
)
def test_what_cannot_work_is_refused(
    path: Path, user: str, password: str | bytes, why: str
) -> None:
    done = run("--stdin", path, user, stdin=password)
    assert done.returncode in (1, 2)
    assert why in " ".join(done.stderr.split())
    assert not path.exists()
    assert not list(path.parent.iterdir())


def test_mistakes_on_the_command_line(path: Path) -> None:
    assert "Missing argument 'USER'" in run(path).stderr
    assert "use --stdin for a script" in run(path, "ann").stderr
    assert "do not go together" in run(path, "ann", "--check", "--delete").stderr
    assert f"there is no file {path}" in run(path, "ann", "--delete").stderr
    assert "No such file" in run(path, "ann", "--check", "--stdin", stdin="x").stderr
    assert "No such file" in run(path, "--check").stderr
    elsewhere = path / "missing" / "htpasswd"
    assert "No such file" in run(elsewhere, "ann", "--stdin", stdin="x").stderr
    assert not path.exists()


def test_delete(path: Path) -> None:
    for user in ("ann", "bea"):
        run("--stdin", path, user, stdin="x")
    assert run(path, "ann", "--delete").stdout == "ann was removed\n"
    assert set(parse_users(path.read_bytes()).hashes) == {"bea"}
    done = run(path, "ann", "--delete")
    assert (done.returncode, done.stderr) == (1, f"Error: {path} has no user ann\n")


def test_other_lines_mode_and_links_stay(path: Path) -> None:
    text = "# our users\n\nold:$apr1$IpqGIxC0$tqU/W3OhVUca3vNna/HjW0\n# the end"
    path.write_text(text)
    path.chmod(0o640)
    link = path.with_name("link")
    link.symlink_to(path)
    done = run("--stdin", link, "ann", stdin="x")
    assert done.stdout == "ann was added\n"
    assert path.read_text().startswith(f"{text}\nann:$2y$10$")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert f"warning: {link}:3: an MD5 hash" in done.stderr
    assert "do not take the file up" in done.stderr
    checked = run(link, "--check")
    assert checked.returncode == 1
    assert f"{link}:3: an MD5 hash" in checked.stderr
    assert run(link, "ann", "--check", "--stdin", stdin="x").returncode == 0
    assert "none with a hash that is taken" in run(link, "old", "--check", "--stdin").stderr
    assert {each.name for each in path.parent.iterdir()} == {"htpasswd", "link"}


def test_the_owner_stays(path: Path) -> None:
    require_root("files of other users")
    run("--stdin", path, "ann", stdin="x")
    os.chown(path, 1234, 4321)
    run("--stdin", path, "bea", stdin="x")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
    assert set(parse_users(path.read_bytes()).hashes) == {"ann", "bea"}


def test_several_at_once_do_not_undo_each_other(path: Path) -> None:
    threads = [
        threading.Thread(
            target=run, args=("--stdin", "--cost", 5, path, f"user{number}"), kwargs={"stdin": "x"}
        )
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    users = parse_users(path.read_bytes()).hashes
    assert set(users) == {f"user{number}" for number in range(6)}


def test_apache_and_pyreg_change_one_file(path: Path, apache: Callable[..., int]) -> None:
    run("--stdin", path, "ann", stdin="from pyreg")
    assert apache("-bB", path, "bea", "from apache") == 0
    assert run("--stdin", path, "cid", stdin="from pyreg").stdout == "cid was added\n"
    run("--stdin", "--algorithm", "sha512", path, "dan", stdin="from pyreg")
    for user in ("ann", "cid", "dan"):
        assert apache("-vb", path, user, "from pyreg") == 0
        assert apache("-vb", path, user, "wrong") != 0
    assert run("--check", "--stdin", path, "bea", stdin="from apache").returncode == 0
    assert run("--check", "--stdin", path, "bea", stdin="wrong").returncode == 1
    # Each changes what the other has made.
    assert run("--stdin", path, "bea", stdin="new").stdout == "the password of bea was changed\n"
    assert apache("-bB", path, "ann", "new") == 0
    assert apache("-vb", path, "bea", "new") == 0
    assert run("--check", "--stdin", path, "ann", stdin="new").returncode == 0
    assert apache("-D", path, "ann") == 0
    assert run("--delete", path, "bea").returncode == 0
    assert set(parse_users(path.read_bytes()).hashes) == {"cid", "dan"}


def test_the_help_teaches() -> None:
    told = run("--help").stdout
    for word in ("auth.htpasswd", "Examples:", "--stdin", "within a second"):
        assert word in told
