"""Passwords and hashes, against programs of others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from pyreg_auth_basic.hashes import (
    ALGORITHMS,
    ARGON2_PASSES,
    BCRYPT_COSTS,
    SHA_ROUNDS,
    make_hash,
    parse_hash,
)
from tests.fixtures.programs import require

CHEAPEST = {"bcrypt": 5, "argon2": 1, "sha512": 5000}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("password", ["x", "correct horse", "grüße ☃", " ", "a:b", "é" * 36])
def test_what_is_made_is_recognised(algorithm: str, password: str) -> None:
    hashed = parse_hash(make_hash(password, algorithm, CHEAPEST[algorithm]))
    assert hashed.matches(password)
    for wrong in ("", f"x{password}", password[:-1], password[:-1] + "?"):
        assert not hashed.matches(wrong)


def test_every_cost_that_may_be_asked_for_is_taken() -> None:
    for name, taken in (
        ("bcrypt", BCRYPT_COSTS), ("argon2", ARGON2_PASSES), ("sha512", SHA_ROUNDS)
    ):  # fmt: skip
        algorithm = ALGORITHMS[name]
        assert algorithm.costs[0] in taken
        assert algorithm.costs[-1] in taken
        assert algorithm.default in algorithm.costs
        for cost in (None, algorithm.costs[0]):
            made = parse_hash(make_hash("x", name, cost))
            assert (cost or algorithm.default) in made.work
            assert made.matches("x")


def test_sha2_as_openssl_computes_it() -> None:
    openssl = require("openssl")
    for flag in ("-5", "-6"):
        made = subprocess.run(
            [openssl, "passwd", flag, "-salt", "saltsalt", "grüße"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        assert parse_hash(made).matches("grüße")
        assert not parse_hash(made).matches("grüsse")


@pytest.mark.parametrize("mark", ["$2a$", "$2b$", "$2y$"])
def test_every_name_of_bcrypt(mark: str) -> None:
    text = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", mark)
    assert parse_hash(text).matches("secret")


def test_unicode_may_be_typed_either_way() -> None:
    composed, decomposed = "zo\u00eb", "zoe\u0308"
    for algorithm, cost in CHEAPEST.items():
        ours = parse_hash(make_hash(decomposed, algorithm, cost))
        assert ours.matches(composed)
        assert ours.matches(decomposed)
    # Others hash what they are given, and what they were given goes on to work.
    theirs = parse_hash(bcrypt.hashpw(decomposed.encode(), bcrypt.gensalt(4)).decode())
    assert theirs.matches(decomposed)


def test_bcrypt_does_not_cut_new_passwords_and_takes_old_ones_that_were_cut(
    apache: Callable[..., int], tmp_path: Path
) -> None:
    password = "x" * 71 + "é"
    with pytest.raises(ValueError, match="this one has 73"):
        make_hash(password, "bcrypt")
    assert parse_hash(make_hash("x" * 72, "bcrypt", 5)).matches("x" * 72)
    assert parse_hash(make_hash(password, "argon2", 1)).matches(password)
    assert not parse_hash(make_hash(password, "argon2", 1)).matches(password[:-1])
    path = tmp_path / "old"
    long = "long pass" * 10
    assert apache("-cbB", path, "ann", long) == 0
    hashed = parse_hash(path.read_text().strip().partition(":")[2])
    assert hashed.matches(long), "Apache cut it, and ann has logged in with it ever since"
    assert not hashed.matches(f"X{long[1:]}")
