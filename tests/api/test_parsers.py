"""The parsers of request headers, against slow models and with anything at all."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyreg.api.accept import accepts
from pyreg.api.address import Addresses
from pyreg.api.conditions import MAX_RANGES, Unsatisfiable, ranges, unchanged
from pyreg.api.message import Body, ClientGone, Request
from pyreg.api.uploads import _content_range
from pyreg.errors import RegistryError

ETAG = "sha256:" + "0" * 64
latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"))


def request(method: str = "GET", client: str = "192.0.2.1", **headers: str | list[str]) -> Request:
    """A request with these headers; `_` stands for `-`."""
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"method": method, "headers": pairs, "client": (client, 1), "scheme": "http"}
    return Request(scope, receive, "/v2/", None)


# Range (RFC 9110, section 14.1.1 and 14.1.2).

numbers = st.integers(0, 60).map(str)
specs = st.one_of(
    st.builds("{}-{}".format, numbers, numbers),
    st.builds("{}-".format, numbers),
    st.builds("-{}".format, numbers),
)
spaced = st.builds(
    "{}{}{}".format, st.sampled_from(["", " ", "\t"]), specs, st.sampled_from(["", " "])
)


def model(values: list[str], size: int) -> set[int] | None:
    """The positions that are asked for; None where the header is to be ignored."""
    wanted: set[int] = set()
    for value in values:
        first, _, last = value.strip().partition("-")
        if first and last and int(last) < int(first):
            return None
        if not first:
            wanted |= set(range(max(0, size - int(last)), size))
        else:
            wanted |= set(range(int(first), min(size, int(last) + 1 if last else size)))
    return wanted


@given(st.lists(spaced, min_size=1, max_size=20), st.integers(0, 50))
@settings(max_examples=500)
def test_ranges(values: list[str], size: int) -> None:
    """The bytes of the ranges are those of the model, none of them twice."""
    expected = model(values, size)
    try:
        found = ranges(request(range="bytes=" + ",".join(values)), ETAG, size)
    except Unsatisfiable:
        assert expected == set()
        return
    if found is None:
        # Invalid, too many, or the last bytes of nothing.
        suffix = any(re.match(r"-0*[1-9]", value.strip()) for value in values)
        assert expected is None or len(values) > MAX_RANGES or (size == 0 and suffix)
        return
    assert expected is not None
    positions = [at for start, stop in found for at in range(start, stop)]
    assert len(positions) == len(set(positions))
    assert set(positions) == expected
    assert all(0 <= start < stop <= size for start, stop in found)


@given(latin, st.integers(0, 50), st.none() | latin)
def test_any_range_header(header: str, size: int, condition: str | None) -> None:
    more = {} if condition is None else {"if_range": condition}
    for value in (header, f"bytes={header}"):
        try:
            found = ranges(request(range=value, **more), ETAG, size)
        except Unsatisfiable:
            continue
        assert found is None or all(0 <= start < stop <= size for start, stop in found)


@given(st.lists(latin, max_size=3), st.booleans(), st.sampled_from(["{}", '"{}"', 'W/"{}"']))
def test_if_none_match(others: list[str], named: bool, form: str) -> None:
    """Found in any list and any number of headers; not found where it is not."""
    others = [other for other in others if ETAG not in other and "*" not in other]
    values = [*others, form.format(ETAG)] if named else others
    assert unchanged(request(if_none_match=values), ETAG) == named
    assert unchanged(request(if_none_match=", ".join(values)), ETAG) == named


# Accept (RFC 9110, section 12.5.1).

KINDS = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.other+json", "text/plain"]
media = st.sampled_from([*KINDS, "application/*", "text/*", "*/*"])
weights = st.sampled_from(["", ";q=0", ";q=0.0", ";q=0.5", "; q=1", ";Q=0.001", ";level=1;q=0"])


@given(st.lists(st.tuples(media, weights), min_size=1, max_size=6), st.sampled_from(KINDS))
@settings(max_examples=300)
def test_accept(items: list[tuple[str, str]], kind: str) -> None:
    """The most specific range that matches decides; among equals the highest weight."""
    header = ", ".join(value + weight for value, weight in items)
    matching: dict[int, list[float]] = {}
    for value, weight in items:
        rank = {kind: 2, kind.split("/")[0] + "/*": 1, "*/*": 0}.get(value)
        if rank is not None:
            found = re.search(r"[qQ]=([0-9.]+)", weight)
            matching.setdefault(rank, []).append(float(found[1]) if found else 1.0)
    expected = bool(matching) and max(matching[max(matching)]) > 0
    assert accepts([header], kind) == expected
    assert accepts(header.split(", "), kind) == expected


@given(st.lists(latin), st.sampled_from(KINDS))
def test_any_accept_header(headers: list[str], kind: str) -> None:
    assert accepts(headers, kind) in (True, False)
    assert accepts([], kind)
    assert accepts([*headers, kind], kind) or any("q" in each.lower() for each in headers)


# Forwarded (RFC 7239) and X-Forwarded-*.

TRUSTED = Addresses(trusted=[ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")])
ips = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map("[{}]".format)
nodes = st.builds("{}{}".format, ips, st.sampled_from(["", ":80", ":65535"]))


def quoted(node: str) -> str:
    return f'"{node}"' if ":" in node else node


def plain(node: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if node.startswith("["):
        return ipaddress.ip_address(node[1:].partition("]")[0])
    return ipaddress.ip_address(node.partition(":")[0])


@given(st.lists(nodes, min_size=1, max_size=5), st.sampled_from(["forwarded", "x_forwarded_for"]))
def test_the_client_behind_proxies(chain: list[str], header: str) -> None:
    """The nearest address that is not ours is the client, however long the chain."""
    if header == "forwarded":
        value = ", ".join(f"proto=http;For={quoted(node)};by=_x" for node in chain)
    else:
        value = ", ".join(chain)
    addresses = [plain(node) for node in chain]
    ours = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")]
    strangers = [each for each in addresses if not any(each in network for network in ours)]
    expected = strangers[-1] if strangers else addresses[0]
    near = request(client="10.0.0.1", **{header: value})
    assert ipaddress.ip_address(TRUSTED.client(near)) == expected
    far = request(client="192.0.2.1", **{header: value})
    assert TRUSTED.client(far) == "192.0.2.1"


@given(latin, latin, latin, latin)
@settings(max_examples=300)
def test_any_forwarding_headers(forwarded: str, who: str, host: str, scheme: str) -> None:
    """Whatever is sent: an address of the right form, and nothing that breaks out of a header."""
    headers = {
        "forwarded": forwarded,
        "x_forwarded_for": who,
        "x_forwarded_host": host,
        "x_forwarded_proto": scheme,
        "host": host,
    }
    for value in (request(client="10.0.0.1", **headers), request(client="192.0.2.1", **headers)):
        ipaddress.ip_address(TRUSTED.client(value))
        assert TRUSTED.scheme(value) in ("http", "https")
        assert re.fullmatch(r"[A-Za-z0-9._~\-\[\]:]*", TRUSTED.host(value))
        url = TRUSTED.url(value, "/v2/x")
        assert url.endswith("/v2/x")
        url.encode("latin-1")


# Content-Range on uploads.


CONTENT_RANGE = re.compile(r"(bytes[ =])?[0-9]{0,3}-[0-9]{0,3}(/[0-9*]+)?", re.ASCII)


class _Call:
    def __init__(self, header: str | None, length: int | None) -> None:
        headers: dict[str, str] = {} if header is None else {"content_range": header}
        if length is not None:
            headers["content_length"] = str(length)
        self.request = request("PATCH", **headers)


def content_range(header: str | None, length: int | None) -> tuple[int | None, int | None]:
    return _content_range(_Call(header, length))  # type: ignore[arg-type]


@given(st.integers(0, 10**17), st.integers(1, 10**6), st.booleans())
def test_content_range(first: int, size: int, announced: bool) -> None:
    header = f"{first}-{first + size - 1}"
    assert content_range(header, size if announced else None) == (first, size)
    with pytest.raises(RegistryError) as caught:
        content_range(header, size + 1)
    assert caught.value.code.code == "SIZE_INVALID"


@given(latin | st.from_regex(CONTENT_RANGE, fullmatch=True), st.none() | st.integers(0, 99))
def test_any_content_range(header: str, length: int | None) -> None:
    try:
        first, size = content_range(header, length)
    except RegistryError as error:
        refusal = (error.code.code, error.status)
    else:
        assert first is not None
        assert length is None or size == length
        return
    assert refusal in (("RANGE_INVALID", 416), ("SIZE_INVALID", 400))


def test_no_content_range() -> None:
    assert content_range(None, 7) == (None, 7)
    assert content_range(None, None) == (None, None)


# Queries and bodies.


@given(st.binary(max_size=60))
def test_any_query(query: bytes) -> None:
    made = request()
    made.scope["query_string"] = query
    try:
        values = made.parameters("n")
    except RegistryError as error:
        status = error.status
    else:
        assert all(isinstance(value, str) for value in values)
        "".join(values).encode("utf-8")
        return
    assert status in (400, 414)


@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(1, 25), st.booleans())
def test_pieces(chunks: list[bytes], size: int, cut: bool) -> None:
    """Pieces are the chunks joined: each but the last of at least the size, none empty."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    messages.append({"type": "http.disconnect" if cut else "http.request"})
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def read() -> None:
        body = Body(receive, None, 1.0)
        pieces = [piece async for piece in body.pieces(lambda: size)]
        assert b"".join(pieces) == b"".join(chunks)
        assert all(pieces)
        assert all(len(piece) >= size for piece in pieces[:-1])
        assert (body.cut, body.complete) == (cut, not cut)
        assert body.received == sum(map(len, chunks))
        if cut:
            with pytest.raises(ClientGone):
                body.check()

    asyncio.run(read())
