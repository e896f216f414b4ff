"""What an endpoint may say, and what it is told about mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pyreg_notify_redis import Options
from pyreg_notify_redis.server import Server


def made(**options: Any) -> Options:
    """Options as the configuration has them."""
    return Options(name="bus", **options)


def server(**options: Any) -> Server:
    return made(**options).server


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis.test", Server("redis.test", 6379)),
        ("redis://redis.test:6380/", Server("redis.test", 6380)),
        ("redis://redis.test/2", Server("redis.test", 6379, db=2)),
        ("redis://redis.test?db=2", Server("redis.test", 6379, db=2)),
        ("redis://[::1]:6380/2", Server("::1", 6380, db=2)),
        ("rediss://redis.test", Server("redis.test", 6379, encrypted=True)),
        ("redis://:p%40ss@redis.test", Server("redis.test", 6379, password="p@ss")),
        ("redis://ann:pass@redis.test", Server("redis.test", 6379, "", "ann", "pass")),
        ("unix:///run/redis.sock", Server(path="/run/redis.sock")),
        ("unix:///run/a%20b?db=3", Server(path="/run/a b", db=3)),
        ("unix://ann:pass@/run/redis.sock", Server("", 0, "/run/redis.sock", "ann", "pass")),
    ],
)
def test_a_url(url: str, expected: Server) -> None:
    assert server(url=url) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis.test", Server("redis.test", 6379)),
        ("redis.test:6380", Server("redis.test", 6380)),
        ("[::1]:6380", Server("::1", 6380)),
        ("/run/redis.sock", Server(path="/run/redis.sock")),
    ],
)
def test_an_address(address: str, expected: Server) -> None:
    assert server(address=address) == expected


def test_what_is_beside_the_address() -> None:
    options = made(
        address="redis.test",
        username="ann",
        password="pass",
        db=7,
        tls={"cas": ["/ca.pem"], "certificate": "/own.pem", "key": "/own.key"},
        dialtimeout="1s",
        readtimeout="500ms",
    )
    assert options.server == Server(
        "redis.test",
        6379,
        username="ann",
        password="pass",
        db=7,
        encrypted=True,
        cas=("/ca.pem",),
        certificate="/own.pem",
        key="/own.key",
        dial_timeout=1.0,
        read_timeout=0.5,
    )
    assert server(address="redis.test", tls={}).encrypted
    assert server(url="redis://ann@redis.test", password="pass").username == "ann"


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({}, "expected either url or address"),
        ({"url": "redis://a", "address": "a"}, "expected either url or address"),
        ({"url": "http://a"}, "begins with redis://, rediss:// or unix://"),
        ({"url": "redis://"}, "names no host"),
        ({"url": "redis://a:x"}, "expected an address such as"),
        ({"url": "redis://a:0"}, "expected an address such as"),
        ({"url": "redis://a/x"}, "number of a database"),
        ({"url": "redis://a/-1"}, "number of a database"),
        ({"url": "redis://a?db="}, "number of a database"),
        ({"url": "rediss://a?ssl_cert_reqs=none"}, "no other parameter"),
        ({"url": "redis://:pa#ss@a"}, "%23 for #"),
        ({"url": "unix://run/redis.sock"}, "path of a socket"),
        ({"url": "redis://a", "tls": {}}, "tls needs a server at a rediss:// url"),
        ({"address": "/run/redis.sock", "tls": {}}, "tls needs a server"),
        ({"address": "redis://a"}, "goes into url"),
        ({"address": "ann:pass@a"}, "goes into url"),
        ({"address": "a/2"}, "expected HOST:PORT"),
        ({"url": "redis://a/2", "db": 3}, "a database in url and in db"),
        ({"url": "redis://:p@a", "password": "p"}, "a password in url and in password"),
        ({"url": "redis://ann:p@a", "username": "bea"}, "a user in url and in username"),
        ({"address": "a", "username": "ann"}, "username without password"),
        ({"address": "a", "tls": {"key": "/k"}}, "belong together"),
        ({"address": "a", "stream": ""}, "at least 1"),
        ({"address": "a", "maxlen": -1}, "greater than or equal"),
        ({"address": "a", "dialtimeout": "0s"}, "greater than"),
        ({"address": "a", "readtimeout": "soon"}, "duration"),
    ],
)
def test_mistakes(options: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValidationError) as caught:
        made(**options)
    assert mistake in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "redis://:secret@a/x"},
        {"url": "redis://:secret@a:x"},
        {"url": "http://:secret@a"},
        {"url": "redis://:secret#@a"},
        {"url": "redis://:sec/secret@a"},
        {"address": "ann:secret@a"},
        {"url": "redis://:secret@a", "password": "secret"},
    ],
)
def test_mistakes_do_not_tell_the_password(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        made(**options)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.errors(include_input=False))


def test_the_password_shows_nowhere() -> None:
    for options in (
        {"url": "redis://ann:secret@a"},
        {"address": "a", "username": "ann", "password": "secret"},
    ):
        found = made(**options)
        for text in (repr(found), str(found), repr(found.server), str(found.server)):
            assert "secret" not in text


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"url": "redis://ann:p@redis.test/2"}, "redis://redis.test:6379/2"),
        ({"url": "rediss://redis.test"}, "rediss://redis.test:6379/0"),
        ({"address": "redis.test", "tls": {}}, "rediss://redis.test:6379/0"),
        ({"address": "[::1]:1"}, "redis://[::1]:1/0"),
        ({"url": "unix://:p@/run/s?db=1"}, "unix:///run/s?db=1"),
        ({"address": "/run/s"}, "unix:///run/s"),
    ],
)
def test_how_a_server_is_called(options: dict[str, Any], shown: str) -> None:
    assert str(server(**options)) == shown
