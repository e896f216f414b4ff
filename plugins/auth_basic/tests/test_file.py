"""The file changes under a running registry."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from plugins.auth_basic.tests.conftest import lines, quick_hash, replace
from pyreg.errors import PluginError
from pyreg_auth_basic.entries import Users
from pyreg_auth_basic.file import SETTLED, UNENDED, PasswordFile


def names(users: Users) -> set[str]:
    return set(users.hashes)


def test_a_change_is_in_force_at_the_next_look(file: PasswordFile, path: Path) -> None:
    file.load()
    assert names(file.users) == {"ann", "bea"}
    replace(path, lines({"cid": "x"}))
    assert names(file.users) == {"ann", "bea"}, "nobody has looked yet"
    assert names(file.refresh()) == names(file.users) == {"cid"}
    with path.open("a") as appended:
        appended.write(lines({"dan": "x"}))
    assert names(file.refresh()) == {"cid", "dan"}
    path.write_text("")
    assert names(file.refresh()) == set()


def test_a_file_that_has_not_changed_is_not_read_again(
    file: PasswordFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.load()
    users = file.users
    monkeypatch.setattr("pyreg_auth_basic.file.open", lambda *_: pytest.fail("read"), raising=False)
    for _ in range(3):
        assert file.refresh() is users


def test_a_new_file_of_equal_size_and_time_is_noticed(file: PasswordFile, path: Path) -> None:
    file.load()
    before = path.stat()
    text = path.read_text()
    replace(path, text.replace("ann:", "eve:"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert names(file.refresh()) == {"eve", "bea"}


def test_a_broken_file_leaves_the_old_users_in_force(
    file: PasswordFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.load()
    secret = quick_hash("x")
    replace(path, f"ann:{secret}\nbea:$apr1$IpqGIxC0$tqU/W3OhVUca3vNna/HjW0\n")
    for _ in range(3):
        assert names(file.refresh()) == {"ann", "bea"}
        assert file.users.hashes["ann"].matches("correct horse")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"{path}:2: an MD5 hash" in record.getMessage()
    assert "stay in force" in record.getMessage()
    assert "IpqGIxC0" not in caplog.text
    replace(path, lines({"cid": "x"}))
    assert names(file.refresh()) == {"cid"}


def test_a_file_that_is_gone_leaves_the_old_users_in_force(
    file: PasswordFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.load()
    for _ in range(2):
        caplog.clear()
        hidden = path.rename(path.with_name("hidden"))
        for _ in range(3):
            assert names(file.refresh()) == {"ann", "bea"}
        [record] = caplog.records
        assert "No such file" in record.getMessage()
        hidden.rename(path)
        assert names(file.refresh()) == {"ann", "bea"}
    path.unlink()
    path.mkdir()
    assert names(file.refresh()) == {"ann", "bea"}
    assert "Is a directory" in caplog.text


def test_without_a_good_file_nothing_starts(path: Path) -> None:
    def failure(place: Path) -> str:
        with pytest.raises(PluginError) as raised:
            PasswordFile(str(place), sleep=lambda _: None).load()
        return str(raised.value)

    assert "pyreg htpasswd" in failure(path.with_name("missing"))
    assert "Is a directory" in failure(path.parent)
    path.write_text("ann\nbea:secret\n")
    told = failure(path).splitlines()
    assert told[0] == f"{path}:1: no colon; expected USER:HASH"
    assert told[1].startswith(f"{path}:2: no hash; perhaps a password in plain text")


def test_a_file_without_users_is_good_and_worth_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("# nobody yet\n")
    file = PasswordFile(str(path), sleep=lambda _: None)
    file.load()
    assert "nobody can log in" in caplog.text
    assert file.users.decoy is None


def test_a_file_that_is_being_written_is_left_alone_until_it_has_settled(path: Path) -> None:
    """Apache's `htpasswd` writes over the file in place: half of it is there for a moment."""
    whole = path.read_text() + lines({"cid": "x"})
    to_come: list[str] = []

    def sleep(seconds: float) -> None:
        assert seconds == SETTLED
        if to_come:
            path.write_text(to_come.pop(0))

    file = PasswordFile(str(path), sleep=sleep)
    file.load()
    for cut in (0, 1, len(whole) - 1):
        path.write_text("")
        to_come[:] = [whole[:cut], whole[:cut], whole]
        assert names(file.refresh()) == {"ann", "bea", "cid"}


def test_a_writer_that_is_interrupted_in_the_middle_has_a_second(path: Path) -> None:
    whole = path.read_text() + lines({"cid": "x"})
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == UNENDED - 1:
            path.write_text(whole)

    file = PasswordFile(str(path), sleep=sleep)
    file.load()
    slept.clear()
    path.write_text("")
    assert names(file.refresh()) == {"ann", "bea", "cid"}
    path.write_text(whole.rstrip())
    assert names(file.refresh()) == {"ann", "bea", "cid"}, "a last line without an end is good"
    path.write_text("")
    assert names(file.refresh()) == set()
    assert sum(slept) < 5


def test_a_file_that_never_settles_leaves_the_old_users_in_force(path: Path) -> None:
    slept: list[float] = []
    busy = True

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if busy:
            path.write_text("#" * len(slept) + "\n")

    with pytest.raises(PluginError, match="being written all the time"):
        PasswordFile(str(path), sleep=sleep).load()
    path.write_text(lines({"ann": "x"}))
    busy = False
    file = PasswordFile(str(path), sleep=sleep)
    file.load()
    busy = True
    path.write_text("")
    slept.clear()
    assert names(file.refresh()) == {"ann"}
    assert sum(slept) < 1, "nobody waits for long"
    busy = False
    assert names(file.refresh()) == set(), "now it has settled"
