"""Lines of a file: what they say, and what is wrong with them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.auth_basic.tests.conftest import quick_hash
from pyreg_auth_basic.editing import has_entry, with_entry, without_entry
from pyreg_auth_basic.entries import BrokenFile, Users, lines_of, parse_users, user_of
from pyreg_auth_basic.hashes import parse_hash

HASH = "$2y$04$bf88ARh7RpYwhd.9yfGvQOqJF6NHXPsA2/MdM918Mw.Y4Iko4VBX2"
SHA = (
    "$6$abc$K4v3HcZ8yAmpRfxML6S46NCcqy9r4/KdbQpFvqSWsBf4dgySOEOo1DHJTrmn2BsJK2aNmPN8Tfb826D2o9.z51"
)


def mistakes(text: str | bytes) -> list[tuple[int, str]]:
    with pytest.raises(BrokenFile) as raised:
        parse_users(text.encode() if isinstance(text, str) else text)
    assert HASH not in str(raised.value)
    return raised.value.mistakes


def test_comments_and_empty_lines_say_nothing() -> None:
    text = f"# users\n\n   \n  # more\nann:{HASH}\n\t\r\n  bea:{HASH}  \r\ncid:{HASH}"
    assert set(parse_users(text.encode()).hashes) == {"ann", "bea", "cid"}
    assert parse_users(b"") == parse_users(b"# nobody\n") == Users()


def test_what_editors_of_windows_leave_is_taken() -> None:
    text = f"ann:{HASH}\r\nbea:{HASH}\r\n".encode("utf-8-sig")
    assert set(parse_users(text).hashes) == {"ann", "bea"}


def test_every_mistake_is_told_with_its_line() -> None:
    assert mistakes(f"ann\nbea:{HASH}\n\n:{HASH}\nbea:{HASH}\n") == [
        (1, "no colon; expected USER:HASH"),
        (4, "a user needs a name"),
        (5, "the same user as in line 2; remove one of them"),
    ]
    assert mistakes(b"\xff\xfe:x\n") == [(1, "not UTF-8")]
    assert len(mistakes("ann\n" * 1000)) == 20


def test_one_name_in_two_spellings_is_one_user() -> None:
    composed, decomposed = "zo\u00eb", "zoe\u0308"
    assert mistakes(f"{composed}:{HASH}\n{decomposed}:{HASH}\n")[0][0] == 2
    assert set(parse_users(f"{decomposed}:{HASH}".encode()).hashes) == {composed}


@pytest.mark.parametrize(
    ("hashed", "what"),
    [
        ("$apr1$IpqGIxC0$tqU/W3OhVUca3vNna/HjW0", "MD5"),
        ("$1$IpqGIxC0$tqU/W3OhVUca3vNna/HjW0", "MD5"),
        ("{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=", "SHA-1"),
        ("{SSHA}GpHWL3ymc5liWkNopqtdSjuqYHM=", "LDAP"),
        ("Dp8J1AUjSJWmk", "DES"),
        ("hunter2", "plain text"),
        ("", "no hash"),
        ("$y$j9T$abc$def", "unknown kind"),
        (HASH[:-1], "damaged bcrypt"),
        (f"{HASH}:more", "damaged bcrypt"),
        (f" {HASH}", "plain text"),
        (HASH.replace("$2y$", "$2x$"), "broken version"),
        (HASH.replace("$04$", "$18$"), "from 4 to 17"),
        (SHA[:-1], "damaged SHA-2"),
        (SHA.replace("$6$", "$6$rounds=999$"), "damaged SHA-2"),
        (SHA.replace("$6$", "$6$rounds=5000001$"), "from 1000 to 5000000"),
        ("$argon2d$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "argon2id"),
        ("$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$aGFzaGhhc2g", "damaged argon2"),
        ("$argon2id$v=19$m=2097152,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "KiB of memory"),
        ("$argon2id$v=19$m=64,t=1000,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "passes"),
        ("$argon2id$v=19$m=640,t=1,p=70$c2FsdHNhbHQ$aGFzaGhhc2g", "lanes"),
    ],
)
def test_hashes_that_are_not_taken(hashed: str, what: str) -> None:
    [(number, told)] = mistakes(f"# one\nann:{hashed}\n")
    assert number == 2
    assert what in told
    assert "set the password anew" in told
    if hashed:
        assert hashed not in told


def test_what_apache_makes_is_taken_or_refused_with_a_reason(
    apache: Callable[..., int], tmp_path: Path
) -> None:
    path = tmp_path / "made"
    kinds = {"-B": None, "-2": None, "-5": None, "-m": "MD5", "-s": "SHA-1", "-d": "DES",
             "-p": "plain text"}  # fmt: skip
    for number, flag in enumerate(kinds):
        assert apache(f"-b{flag[1:]}{'' if number else 'c'}", path, f"user{flag}", "pa55word") == 0
    told = dict(mistakes(path.read_bytes()))
    assert set(told) == {4, 5, 6, 7}
    for number, what in enumerate(kinds.values(), 1):
        assert what is None or what in told[number]
    for line in path.read_text().splitlines()[:3]:
        hashed = parse_hash(line.partition(":")[2])
        assert hashed.matches("pa55word")
        assert not hashed.matches("pa55wore")


def test_the_decoy_is_as_most_hashes_are() -> None:
    text = f"a:{HASH}\nb:{SHA}\nc:{HASH.replace('$04', '$12')}\nd:{HASH.replace('$04', '$12')}\n"
    decoy = parse_users(text.encode()).decoy
    assert decoy is not None
    assert decoy.work == ("bcrypt", 12)


def test_a_hash_does_not_show() -> None:
    assert HASH not in repr(parse_hash(HASH))
    assert HASH not in repr(parse_users(f"ann:{HASH}".encode()))


NAMES = st.text(
    st.characters(exclude_characters=":\x7f", exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=60,
).filter(lambda name: name == name.strip() and name[0] not in "#\ufeff")
LINES = st.one_of(
    NAMES.map(lambda name: f"{name}:{HASH}"), st.just(""), st.just("  "), st.text().map("#".__add__)
)


@given(
    st.lists(NAMES, unique_by=lambda name: unicodedata.normalize("NFC", name), max_size=8),
    st.sampled_from(["", "\n", "# x:y\n", " \r\n"]),
    st.sampled_from(["", " "]),
    st.sampled_from(["\n", " \n", "\r\n"]),
)
def test_every_user_is_found_whatever_stands_between(
    names: list[str], between: str, before: str, end: str
) -> None:
    text = "".join(f"{between}{before}{name}:{HASH}{end}" for name in names)
    users = parse_users(text.encode())
    assert set(users.hashes) == {unicodedata.normalize("NFC", name) for name in names}


@given(st.binary())
def test_whatever_a_file_has_it_is_read_or_refused(data: bytes) -> None:
    try:
        found = len(parse_users(data).hashes)
    except BrokenFile as error:
        found = len(error.mistakes)
    assert found <= len(lines_of(data))


@given(st.lists(LINES), NAMES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_change_leaves_all_other_lines_as_they_are(
    lines: list[str], name: str, ending: str, ended: bool
) -> None:
    user = unicodedata.normalize("NFC", name)
    clean = [re.sub(r"[\r\n]", "", line) for line in lines]
    data = (ending.join(clean) + (ending if ended else "")).encode()
    others = [line for line in data.splitlines() if user_of(line) != user]

    changed = with_entry(data, user, SHA)
    found = [line for line in changed.splitlines() if user_of(line) == user]
    assert found == [f"{user}:{SHA}".encode()]
    assert [line for line in changed.splitlines() if user_of(line) != user] == others
    assert with_entry(changed, user, SHA) == changed
    assert has_entry(changed, user)

    removed = without_entry(changed, user)
    assert not has_entry(removed, user)
    assert removed.splitlines() == others


def test_a_new_user_comes_last_and_a_changed_one_stays_where_he_is() -> None:
    text = f"# first\nann:{HASH}\nbea:{HASH}".encode()
    assert with_entry(text, "cid", "x") == text + b"\ncid:x\n"
    assert with_entry(text, "ann", "x") == f"# first\nann:x\nbea:{HASH}".encode()
    assert with_entry(b"ann:1\r\nann:2\r\nbea:3\r\n", "ann", "x") == b"ann:x\r\nbea:3\r\n"
    assert quick_hash("x").startswith("$2b$04$")
