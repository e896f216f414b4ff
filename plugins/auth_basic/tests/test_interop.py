"""One configuration, one file, two registries: the Docker registry and pyreg let the same in."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import httpx

from plugins.auth_basic.tests.guarded import guarded

USERS = {
    "ann": "correct horse",
    "bea": "battery:staple",
    "zoë": "grüße ☃",
    "robot+ci@example.org": "$y0mb01s\\'\"",
    "long": "0123456789" * 9,
}


def header(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


RIGHT = {user: header(user, password) for user, password in USERS.items()}
WRONG = {
    "nothing": None,
    "another's password": header("ann", USERS["bea"]),
    "no password": header("ann", ""),
    "half a password": header("bea", "battery"),
    "nobody": header("nobody", "correct horse"),
    "another case": header("ANN", "correct horse"),
    "a comment": header("# ann", "correct horse"),
    "no name": header("", "correct horse"),
    "no colon": "Basic YW5u",
    "no base64": "Basic ann:secret",
    "nothing behind it": "Basic",
    "another scheme": "Bearer YW5uOmNvcnJlY3QgaG9yc2U=",
}


def test_the_same_are_let_in(workshop: Path, apache: Callable[..., int]) -> None:
    directory = workshop / "interop"
    directory.mkdir()
    htpasswd = directory / "htpasswd"
    htpasswd.write_text("# ann:comment\n\n")
    for user, password in USERS.items():
        assert apache("-bB", htpasswd, user, password) == 0
    with (
        guarded(directory / "go", htpasswd, docker=True) as theirs,
        guarded(directory / "pyreg", htpasswd) as ours,
        httpx.Client(trust_env=False) as client,
    ):

        def answer(url: str, value: str | None) -> tuple[int, str]:
            headers = [("authorization", value)] if value is not None else []
            found = client.get(f"{url}/v2/", headers=headers)
            challenge = found.headers.get("www-authenticate", "")
            # RFC 7617's charset is newer than the Docker registry.
            return found.status_code, re.sub(r', charset="UTF-8"$', "", challenge)

        for what, value in {**RIGHT, **WRONG}.items():
            expected = answer(theirs.url, value)
            assert answer(ours.url, value) == expected, what
            assert expected[0] == (200 if what in RIGHT else 401), what
