"""What an authority says besides: when to renew (RFC 9773), when to leave it alone, and nonsense.

Pebble says none of this, so that the authority here is a few lines of our own.
"""

from __future__ import annotations

import datetime
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pyreg_tls.acme import Acme, LetsEncrypt, source
from pyreg_tls.acme.cache import HostState
from tests.servers.pebble import certify

HOST = "registry.example.com"
DAY = 86400.0

Reply = tuple[int, dict[str, str], Any]


class Handler(BaseHTTPRequestHandler):
    """Answers each path as `replies` says, and notes what was asked."""

    replies: ClassVar[dict[str, Reply]]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(self.path)
        path = self.path if self.path in self.replies else self.path.rpartition("/")[0]
        status, headers, body = self.replies.get(path, (404, {}, {}))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """The replies are in the assertions."""


class Authority:
    """Where it is, what it replies, and what it was asked."""

    def __init__(self, server: ThreadingHTTPServer, root: Path, handler: type[Handler]) -> None:
        self.url = f"https://127.0.0.1:{server.server_address[1]}"
        self.root = root
        self.asked = handler.asked
        self.replies = handler.replies
        self.replies["/dir"] = (
            200,
            {},
            {name: f"{self.url}/{name}" for name in ("newNonce", "newAccount", "renewalInfo")},
        )
        self.replies["/newNonce"] = (200, {}, {})
        self.replies["/newAccount"] = (201, {"Location": f"{self.url}/account"}, {})

    def acme(self, directory: Path) -> Acme:
        directory.mkdir(exist_ok=True)
        return Acme(
            LetsEncrypt(
                cachefile=str(directory),
                hosts=(HOST,),
                directoryurl=f"{self.url}/dir",
                cacertificate=str(self.root),
            )
        )


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    class Own(Handler):
        replies: ClassVar[dict[str, Reply]] = {}
        asked: ClassVar[list[str]] = []

    directory = tmp_path / "authority"
    directory.mkdir()
    root = certify(directory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(root, directory / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Authority(server, root, Own)
    server.shutdown()
    thread.join()
    server.server_close()


def window(start: float, end: float) -> dict[str, Any]:
    moments = {"start": start, "end": end}
    return {
        "suggestedWindow": {
            name: datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            )
            for name, moment in moments.items()
        }
    }


def state(acme: Acme) -> HostState:
    authorities = json.loads(acme.files[0].with_name(f"{HOST}+state").read_text())["authorities"]
    [found] = authorities.values()
    return HostState.model_validate(found)


@pytest.fixture
def served(tmp_path: Path, authority: Authority, signed: Callable[..., bytes]) -> Acme:
    """One that has a good certificate already."""
    acme = authority.acme(tmp_path / "certificates")
    now = time.time()
    acme.files[0].write_bytes(signed(begins=now - DAY, ends=now + 89 * DAY))
    return acme


def test_the_authority_says_when(served: Acme, authority: Authority) -> None:
    now = time.time()
    suggested = window(now + 10 * DAY, now + 11 * DAY)
    authority.replies["/renewalInfo"] = (200, {"Retry-After": "43200"}, suggested)
    served.look()
    assert now + 10 * DAY - 1 <= state(served).renewal <= now + 11 * DAY + 1
    assert state(served).asked == pytest.approx(now + DAY / 2, abs=60)
    count = len(authority.asked)
    served.look()
    assert len(authority.asked) == count, "it is asked again when it said, and not before"


def test_the_authority_wants_it_now(served: Acme, authority: Authority) -> None:
    """As when it has to revoke it: an order is begun at the next look."""
    authority.replies["/renewalInfo"] = (200, {}, window(time.time() - DAY, time.time() - 60))
    authority.replies["/dir"][2]["newOrder"] = f"{authority.url}/newOrder"
    served.look()
    assert "/newOrder" not in authority.asked
    served.look()
    assert "/newOrder" in authority.asked


@pytest.mark.parametrize(
    "reply",
    [
        (404, {}, {}),
        (500, {}, b"sorry"),
        (200, {}, b"<html>"),
        (200, {}, {}),
        (200, {}, {"suggestedWindow": {"start": "soon", "end": "later"}}),
        (200, {"Retry-After": "-5"}, {"suggestedWindow": {}}),
        (200, {"Retry-After": "9" * 20}, window(0, 1e9)),
    ],
)
def test_a_suggestion_that_is_none(reply: Reply, served: Acme, authority: Authority) -> None:
    authority.replies["/renewalInfo"] = reply
    served.look()
    found = state(served)
    assert (found.renewal, found.failures) == (0.0, 0)
    assert found.asked >= time.time() + source.SUGGESTIONS_LEAST - 60


def test_a_certificate_that_cannot_be_asked_about(
    served: Acme, authority: Authority, signed: Callable[..., bytes]
) -> None:
    """It is asked about by its issuer's key, which a certificate need not tell."""
    now = time.time()
    pem = signed(begins=now - DAY, ends=now + 89 * DAY, issuer=False)
    served.files[0].write_bytes(pem)
    served.look()
    assert state(served).asked >= now + source.SUGGESTIONS_LEAST


def test_without_suggestions(served: Acme, authority: Authority) -> None:
    del authority.replies["/dir"][2]["renewalInfo"]
    served.look()
    assert state(served).asked >= time.time() + source.SUGGESTIONS - 60


@pytest.mark.parametrize("place", ["/dir", "/newAccount", "/newOrder"])
def test_an_authority_that_wants_to_be_left_alone(
    place: str, tmp_path: Path, authority: Authority
) -> None:
    authority.replies["/dir"][2]["newOrder"] = f"{authority.url}/newOrder"
    problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders"}
    authority.replies[place] = (429, {"Retry-After": "86400"}, problem)
    acme = authority.acme(tmp_path / "certificates")
    acme.look()
    found = state(acme)
    assert found.reason == "too many orders (rateLimited)"
    assert found.retry == pytest.approx(time.time() + DAY, abs=60)
    count = len(authority.asked)
    authority.acme(tmp_path / "certificates").look()
    assert len(authority.asked) == count, "a new process leaves it alone, too"


@pytest.mark.parametrize(
    "reply",
    [
        (200, {}, b"<html>"),
        (200, {}, []),
        (200, {}, "directory"),
        (200, {}, {}),
        (404, {}, b"not found"),
        (503, {}, b""),
        (503, {"Retry-After": "9" * 20}, b""),
    ],
)
def test_something_else_than_an_authority(
    reply: Reply, tmp_path: Path, authority: Authority
) -> None:
    authority.replies["/dir"] = reply
    acme = authority.acme(tmp_path / "certificates")
    assert acme.look() > 1
    assert "gave no proper answer" in state(acme).reason
    assert state(acme).failures == 1


def test_an_authority_that_we_do_not_trust(tmp_path: Path, authority: Authority) -> None:
    other = tmp_path / "other"
    other.mkdir()
    authority.root = certify(other)
    acme = authority.acme(tmp_path / "certificates")
    acme.look()
    assert "cannot be reached: " in state(acme).reason
    assert "certificate verify failed" in state(acme).reason
    assert authority.asked == []
