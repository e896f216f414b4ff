"""Documents of issuers: over real connections, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from pyreg_auth_token import fetching
from pyreg_auth_token.fetching import Fetcher, FetchFailed, check_address

pytestmark = pytest.mark.anyio

Serve = Callable[[bytes], AbstractAsyncContextManager[str]]


@pytest.fixture
def serve() -> Serve:
    """A server on this machine that answers everything with the same bytes."""

    @asynccontextmanager
    async def server(answer: bytes) -> AsyncIterator[str]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        listening = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            yield f"http://127.0.0.1:{port}/keys"

    return server


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_document(serve: Serve) -> None:
    async with serve(answer(b"{}", "200 OK", "Cache-Control: public, max-age=300")) as address:
        document = await Fetcher().get(address)
    assert (document.data, document.max_age) == (b"{}", 300)


async def test_a_document_without_advice(serve: Serve) -> None:
    async with serve(answer(b"{}", "200 OK", "Cache-Control: s-maxage=9, xmax-age=8")) as address:
        assert (await Fetcher().get(address)).max_age is None


@pytest.mark.parametrize("location", ["https://evil.example.com/keys", "/other", "", "file:///x"])
async def test_redirects_are_not_followed(serve: Serve, location: str) -> None:
    async with serve(answer(b"", "302 Found", f"Location: {location}")) as address:
        with pytest.raises(FetchFailed, match="redirects to"):
            await Fetcher().get(address)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "206 Part"])
async def test_other_answers_are_failures(serve: Serve, status: str) -> None:
    async with serve(answer(b"", status)) as address:
        with pytest.raises(FetchFailed, match=f"status {status[:3]}"):
            await Fetcher().get(address)


async def test_documents_have_a_bound(serve: Serve) -> None:
    async with serve(answer(b" " * (fetching.MAX_DOCUMENT + 1))) as address:
        with pytest.raises(FetchFailed, match="more than"):
            await Fetcher().get(address)


async def test_a_compressed_document_is_not_unpacked(serve: Serve) -> None:
    """A few bytes could become gigabytes."""
    async with serve(answer(b"\x1f\x8b\x08", "200 OK", "Content-Encoding: gzip")) as address:
        assert (await Fetcher().get(address)).data == b"\x1f\x8b\x08"


@pytest.mark.parametrize("data", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_no_http(serve: Serve, data: bytes) -> None:
    async with serve(data) as address:
        with pytest.raises(FetchFailed):
            await Fetcher().get(address)


async def test_nobody_there() -> None:
    with pytest.raises(FetchFailed, match=r"http://127\.0\.0\.1:9/keys"):
        await Fetcher().get("http://127.0.0.1:9/keys")


async def test_proxies_are_not_asked_for_this_machine(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with serve(answer(b"{}")) as address:
        assert (await Fetcher().get(address)).data == b"{}"


@pytest.mark.parametrize(
    "address",
    [
        "https://auth.example.com/keys", "http://localhost:8080/keys", "http://127.0.0.1/keys",
        "http://127.1.2.3/keys", "http://[::1]:8080/keys",
    ],
)  # fmt: skip
def test_addresses_that_are_safe(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "http://auth.example.com/keys", "http://10.0.0.1/keys", "http://localhost.example.com/",
        "http://127.0.0.1.example.com/", "http://[::2]/", "ftp://auth.example.com/keys",
        "file:///etc/keys", "https:///keys", "https://", "//auth.example.com/keys", "",
        "https://ann:secret@auth.example.com/keys", "https://auth.example.com/keys#a",
        "http://localhost@evil.example.com/", "https://[::1/",
    ],
)  # fmt: skip
def test_addresses_that_are_not(address: str) -> None:
    with pytest.raises(ValueError):
        check_address(address)
