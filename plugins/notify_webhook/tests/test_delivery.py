"""Deliveries to a real server: what is sent, what counts as taken, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, ClassVar

import pytest

from plugins.notify_webhook.tests.conftest import Opened
from plugins.notify_webhook.tests.receiver import Receiver
from plugins.notify_webhook.tests.samples import PUSH, event, several
from pyreg.hooks import DeliveryFailed, Metric
from pyreg_notify_webhook import WebhookSink, posting
from pyreg_notify_webhook.answers import LARGEST
from tests.servers.process import free_port

pytestmark = pytest.mark.anyio

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def failure(sink: WebhookSink) -> DeliveryFailed:
    """How a delivery fails."""
    with pytest.raises(DeliveryFailed) as caught:
        await sink.deliver([PUSH])
    assert not caught.value.permanent
    return caught.value


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server that talks in bytes; gives its address."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """One whole request."""
    head = await reader.readuntil(b"\r\n\r\n")
    match = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return head + await reader.readexactly(int(match[1]) if match else 0)


async def test_a_request(receiver: Receiver, opened: Opened) -> None:
    sink = await opened(
        receiver.url + "?hello=w%20rld",
        headers={"Authorization": ["Bearer abc"], "X-Two": ["a", "b ü"]},
    )
    await sink.deliver([PUSH])
    [request] = receiver.requests()
    assert (request.path, request.query) == ("/events", "hello=w%20rld")
    assert request.headers["content-type"] == ("application/vnd.docker.distribution.events.v2+json")
    assert re.fullmatch(r"pyreg/\d+\.\d+\.\d+\S*", request.headers["user-agent"])
    assert request.headers["pyreg-delivery"] == PUSH.source[1]
    assert request.headers["authorization"] == "Bearer abc"
    assert [value for name, value in request.pairs if name == "X-Two"] == ["a", "b ü"]
    assert [each["id"] for each in request.events] == [PUSH.id]


async def test_all_events_of_a_call_are_in_one_envelope(receiver: Receiver, opened: Opened) -> None:
    sink = await opened(receiver.url, envelope="v1")
    assert sink.batch == 1
    await sink.deliver(several(500))
    [request] = receiver.requests()
    assert request.headers["content-type"].endswith(".events.v1+json")
    assert [each["id"] for each in request.events] == [each.id for each in several(500)]


@pytest.mark.parametrize("name", ["user-agent", "User-Agent"])
async def test_the_operator_may_name_the_registry(
    receiver: Receiver, opened: Opened, name: str
) -> None:
    sink = await opened(receiver.url, headers={name: ["mine"]})
    await sink.deliver([event(source=("", ""))])
    [request] = receiver.requests()
    assert [value for name, value in request.pairs if name.lower() == "user-agent"] == ["mine"]
    assert request.headers["pyreg-delivery"] == "unknown"


async def test_credentials_in_the_url_become_a_header(receiver: Receiver, opened: Opened) -> None:
    url = receiver.url.replace("://", "://ad%40a:p%3Ass-w%C3%BCrd@")
    await (await opened(url)).deliver([PUSH])
    [request] = receiver.requests()
    scheme, _, value = request.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(value).decode()) == ("Basic", "ad@a:p:ss-würd")
    assert "@" not in request.headers["host"]


@pytest.mark.parametrize("status", [200, 202, 204, 299, 300, 304, 399])
async def test_taken(receiver: Receiver, opened: Opened, status: int) -> None:
    await (await opened(f"{receiver.url}?status={status}")).deliver([PUSH])
    assert len(receiver.requests()) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413, 422, 429, 500, 503, 599])
async def test_not_taken(receiver: Receiver, opened: Opened, status: int) -> None:
    error = await failure(await opened(f"{receiver.url}?status={status}"))
    assert error.reason.startswith(f"{receiver.origin} answered {status}")
    assert error.reason.endswith(": recorded")
    assert error.retry_after is None
    assert len(receiver.requests()) == 1


async def test_it_gets_through_in_the_end(receiver: Receiver, opened: Opened) -> None:
    receiver.behave(fails=2)
    sink = await opened(receiver.url)
    await failure(sink)
    await failure(sink)
    await sink.deliver([PUSH])
    bodies = [request.body for request in receiver.requests()]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("120", 120), ("-5", None), ("soon", None), ("9" * 40, None), ("1.5", None)],
)
async def test_a_pause_in_seconds(
    receiver: Receiver, opened: Opened, value: str, seconds: float | None
) -> None:
    error = await failure(await opened(f"{receiver.url}?status=429&retry={value}"))
    assert error.retry_after == seconds


@pytest.mark.parametrize(("ahead", "least", "most"), [(3600, 3500, 3600), (-60, 0, 0)])
async def test_a_pause_until_a_date(
    receiver: Receiver, opened: Opened, ahead: float, least: float, most: float
) -> None:
    receiver.behave(status=503, retry=formatdate(time.time() + ahead, usegmt=True))
    error = await failure(await opened(receiver.url))
    assert error.retry_after is not None
    assert least <= error.retry_after <= most


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_to_the_same_origin(
        self, receiver: Receiver, opened: Opened, status: int
    ) -> None:
        sink = await opened(
            f"{receiver.url}?status={status}&location=/moved%3Fx=1%23part",
            headers={"Authorization": ["Bearer abc"]},
        )
        await sink.deliver([PUSH])
        first, second = receiver.requests()
        assert (second.path, second.query) == ("/moved", "x=1")
        assert second.body == first.body
        assert second.headers["authorization"] == "Bearer abc"
        assert statuses(sink) == {"200 OK": 1}

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_without_a_target_it_is_taken(
        self, receiver: Receiver, opened: Opened, status: int
    ) -> None:
        await (await opened(f"{receiver.url}?status={status}")).deliver([PUSH])

    async def test_without_end(self, receiver: Receiver, opened: Opened) -> None:
        receiver.behave(status=307, location="/again")
        error = await failure(await opened(receiver.url))
        assert "redirects more than 5 times" in error.reason
        assert len(receiver.requests()) == 6

    async def test_elsewhere_nothing_is_sent(
        self, receiver: Receiver, opened: Opened, tmp_path: Any
    ) -> None:
        other = Receiver(tmp_path).start()
        try:
            target = f"http://ada:secret@127.0.0.1:{other.port}/events?token=stolen"
            for place in (target, target.replace("127.0.0.1", "localhost"), target[5:]):
                receiver.behave(status=307, location=place)
                sink = await opened(receiver.url, headers={"Authorization": ["Bearer abcdef"]})
                error = await failure(sink)
                assert re.search(r"another host, http://\S+:\d+, where", error.reason)
                for secret in ("abcdef", "secret", "stolen"):
                    assert secret not in error.reason
            assert other.requests() == []
        finally:
            other.stop()

    @pytest.mark.parametrize(
        "place", ["https://127.0.0.1:{port}/", "ftp://127.0.0.1/", "http://[", "mailto:a"]
    )
    async def test_to_what_is_none_of_ours(
        self, receiver: Receiver, opened: Opened, place: str
    ) -> None:
        receiver.behave(status=308, location=place.format(port=receiver.port))
        error = await failure(await opened(receiver.url))
        assert "redirects to" in error.reason


class TestBounds:
    async def test_a_huge_answer(self, receiver: Receiver, opened: Opened) -> None:
        size = 50 * 1024 * 1024
        sink = await opened(f"{receiver.url}?size={size}")
        await sink.deliver([PUSH])
        await sink.deliver([PUSH])
        shown = await sink.test(PUSH)
        assert len(shown) < LARGEST
        assert shown.endswith("xxx...")
        refusing = await opened(f"{receiver.url}?size={size}&status=500")
        assert len((await failure(refusing)).reason) < 400

    async def test_an_endless_answer(self, opened: Opened) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    writer.write(b"400\r\n" + b"y" * 1024 + b"\r\n")
                    await writer.drain()
            except ConnectionError:
                writer.close()

        async with listening(talk) as address:
            error = await failure(await opened(address))
        assert "answered 500" in error.reason

    async def test_endless_headers(self, opened: Opened) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            try:
                while True:
                    writer.write(b"z" * 65536)
                    await writer.drain()
            except ConnectionError:
                writer.close()

        async with listening(talk) as address:
            error = await failure(await opened(address))
        assert "does not answer in HTTP" in error.reason

    async def test_a_taken_event_does_not_wait_for_the_body(
        self, receiver: Receiver, opened: Opened
    ) -> None:
        sink = await opened(f"{receiver.url}?size=1000&drip=5")
        async with asyncio.timeout(4):
            await sink.deliver([PUSH])

    async def test_what_takes_too_long(
        self, receiver: Receiver, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(posting, "LAST_RESORT", 0.3)
        error = await failure(await opened(f"{receiver.url}?delay=20"))
        assert "did not answer in time" in error.reason

    async def test_the_registry_may_lose_patience(self, receiver: Receiver, opened: Opened) -> None:
        """A delivery that is cancelled leaves a sink that goes on to work."""
        sink = await opened(receiver.url)
        receiver.behave(delay=20)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await sink.deliver([PUSH])
        receiver.behave()
        await sink.deliver([PUSH])

    async def test_a_compressed_answer_stays_small(self, opened: Opened) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert b"Accept-Encoding: identity" in await request_of(reader)
            body = b"\x1f\x8bnot really gzip"
            writer.write(
                b"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )

        async with listening(talk) as address:
            assert "not really gzip" in (await failure(await opened(address))).reason


class TestConnections:
    async def test_nobody_listens(self, opened: Opened) -> None:
        port = free_port()
        error = await failure(await opened(f"http://127.0.0.1:{port}/x?token=abcdef"))
        assert error.reason == f"http://127.0.0.1:{port} cannot be reached: connection refused"

    async def test_nobody_has_this_name(self, opened: Opened) -> None:
        error = await failure(await opened("http://nobody.invalid/"))
        assert "host name is unknown" in error.reason

    async def test_a_reset(self, receiver: Receiver, opened: Opened) -> None:
        error = await failure(await opened(f"{receiver.url}?reset=1"))
        assert re.search("closed the connection|broke the connection off", error.reason)
        assert len(receiver.requests()) == 1

    async def test_other_than_http(self, opened: Opened) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"220 mail.example.com ESMTP\r\n")
            writer.close()

        async with listening(talk) as address:
            error = await failure(await opened(f"{address}?token=abcdef"))
        assert error.reason.endswith("does not answer in HTTP")
        assert "abcdef" not in "".join(traceback.format_exception(error))

    async def test_a_broken_off_body_is_no_reason(self, opened: Opened) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhalf of it")
            writer.close()

        async with listening(talk) as address:
            assert (await failure(await opened(address))).reason.endswith(": half of it")

    async def test_one_connection_serves_many(self, opened: Opened) -> None:
        connections = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                while await request_of(reader):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                    await asyncio.sleep(0.01)  # head and body come separately, as from many
                    writer.write(b"ok")
            except asyncio.IncompleteReadError:
                writer.close()

        async with listening(talk) as address:
            sink = await opened(address)
            for _ in range(5):
                await sink.deliver([PUSH])
            assert connections == 1
            await sink.close()

    async def test_an_idle_connection_that_was_closed(self, opened: Opened) -> None:
        """A server closes it while the next request is under way: nothing is wrong with that."""
        requests = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            await request_of(reader)
            requests += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.read(1)  # the next request has begun
            writer.close()

        async with listening(talk) as address:
            sink = await opened(address)
            for _ in range(3):
                await sink.deliver([PUSH])
            assert requests == 3

    async def test_many_at_once(self, receiver: Receiver, opened: Opened) -> None:
        sink = await opened(f"{receiver.url}?delay=0.01")
        sent = several(200)
        await asyncio.gather(*(sink.deliver([each]) for each in sent))
        found = {request.events[0]["id"] for request in receiver.requests()}
        assert found == {each.id for each in sent}

    async def test_closed_and_opened_again(self, receiver: Receiver, opened: Opened) -> None:
        sink = await opened(receiver.url)
        await sink.deliver([PUSH])
        await sink.close()
        await sink.close()
        with pytest.raises(RuntimeError, match="not open"):
            await sink.deliver([PUSH])
        await sink.open()
        await sink.deliver([PUSH])
        assert len(receiver.requests()) == 2


class TestSecrets:
    URL = "http://ada:pass-word@127.0.0.1:{port}/events?token=query-secret"
    HEADERS: ClassVar = {"Authorization": ["Bearer header-secret"], "X-Key": ["key secret-part"]}

    @pytest.mark.parametrize("where", ["url", "headers"])
    async def test_an_echo_does_not_give_them_away(
        self, receiver: Receiver, opened: Opened, where: str
    ) -> None:
        url = self.URL.format(port=receiver.port)
        receiver.behave(echo=1, status=500)
        if where == "url":
            sink = await opened(url)
        else:
            sink = await opened(url.replace("ada:pass-word@", ""), headers=self.HEADERS)
        error = await failure(sink)
        with pytest.raises(DeliveryFailed) as caught:
            await sink.test(PUSH)
        for shown in (error.reason, str(caught.value)):
            assert "********" in shown
            check_secrets(shown)

    async def test_nor_does_a_test(self, receiver: Receiver, opened: Opened) -> None:
        url = f"{receiver.url}?token=query-secret&echo=1"
        shown = await (await opened(url, headers=self.HEADERS)).test(PUSH)
        assert shown.startswith("200 OK\n")
        assert "token=query-secret" not in shown
        assert "********" in shown
        check_secrets(shown)

    async def test_the_terminal_is_safe(self, receiver: Receiver, opened: Opened) -> None:
        sample = event(request=PUSH.request.__class__(user_agent="x"), actor="\x9b31mred\u202e")
        shown = await (await opened(f"{receiver.url}?echo=1")).test(sample)
        assert all(char.isprintable() or char == "\n" for char in shown)
        assert "\ufffd31mred\ufffd" in shown


def check_secrets(shown: str) -> None:
    """None of the secrets of `TestSecrets` is shown."""
    basic = base64.b64encode(b"ada:pass-word").decode()
    for secret in ("pass-word", "query-secret", "header-secret", "secret-part", basic):
        assert secret not in shown


async def test_a_sample_shows_what_comes_back(receiver: Receiver, opened: Opened) -> None:
    shown = await (await opened(receiver.url)).test(PUSH)
    lines = shown.splitlines()
    assert lines[0] == "200 OK"
    assert any(line.startswith("server: ") for line in lines)
    assert lines[-2:] == ["", "recorded"]


def statuses(sink: WebhookSink) -> dict[str, float]:
    """The counters of a sink, by status."""
    [metric] = sink.metrics()
    assert isinstance(metric, Metric)
    assert (metric.name, metric.kind) == ("registry_notifications_status_total", "counter")
    assert {labels["endpoint"] for labels, _ in metric.samples} <= {sink.name}
    return {labels["code"]: value for labels, value in metric.samples}


async def test_metrics_have_the_words_of_the_docker_registry(
    receiver: Receiver, opened: Opened
) -> None:
    sink = await opened(receiver.url)
    assert statuses(sink) == {}
    expected = {
        "200 OK": 2, "202 Accepted": 1, "413 Request Entity Too Large": 1, "418 I'm a teapot": 1,
        "422 Unprocessable Entity": 1, "503 Service Unavailable": 1, "599": 1,
    }  # fmt: skip
    for line, count in expected.items():
        receiver.behave(status=int(line[:3]))
        for _ in range(count):
            try:
                await sink.deliver([PUSH])
            except DeliveryFailed:
                assert line[0] in "45"
    assert statuses(sink) == expected


class TestProxies:
    async def test_the_environment_is_not_asked(
        self, receiver: Receiver, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        await (await opened(receiver.url)).deliver([PUSH])
        assert len(receiver.requests()) == 1

    async def test_by_way_of_one(self, opened: Opened) -> None:
        seen: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await request_of(reader))
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

        async with listening(talk) as address:
            proxy = address.replace("://", "://bea:proxy-secret@").rstrip("/")
            await (await opened("http://hooks.invalid/events", proxy=proxy)).deliver([PUSH])
        [request] = seen
        assert request.startswith(b"POST http://hooks.invalid/events HTTP/1.1\r\n")
        basic = base64.b64encode(b"bea:proxy-secret")
        assert b"Proxy-Authorization: Basic " + basic in request

    async def test_one_that_is_down(self, opened: Opened) -> None:
        proxy = f"http://bea:proxy-secret@127.0.0.1:{free_port()}"
        error = await failure(await opened("http://hooks.invalid/events", proxy=proxy))
        assert "cannot be reached by the proxy http://127.0.0.1:" in error.reason
        assert "proxy-secret" not in error.reason

    async def test_one_that_refuses(self, opened: Opened) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await request_of(reader)
            assert request.startswith(b"CONNECT hooks.invalid:443 ")
            assert b"Proxy-Authorization: Basic " in request
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()

        async with listening(talk) as address:
            proxy = address.replace("://", "://bea:proxy-secret@")
            error = await failure(await opened("https://hooks.invalid/x", proxy=proxy))
        assert re.search(r"by the proxy http://127\.0\.0\.1:\d+, which answers 407", error.reason)


async def test_open_does_not_need_the_endpoint(opened: Opened) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        await opened(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        await opened("https://nobody.invalid/")


async def test_what_is_sent_is_what_was_signed(receiver: Receiver, opened: Opened) -> None:
    await (await opened(receiver.url)).deliver([event(actor="ada <&> grüße 😀")])
    [request] = receiver.requests()
    assert request.body.isascii() is False
    assert json.loads(request.body)["events"][0]["actor"]["name"] == "ada <&> grüße 😀"
