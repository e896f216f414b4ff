"""Bad input: each gets its error of the specification, and leaves nothing behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.fixtures.wire import OCI_INDEX, OCI_MANIFEST
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import CONFIG, LAYER, descriptor, encoded, image, index
from tests.protocol.raw import Raw, head

BAD_NAMES = [
    "UPPER",
    "a/B",
    "-a",
    "a-",
    ".a",
    "a.",
    "_a",
    "a_",
    "a..b",
    "a___b",
    "a._b",
    "a-_b",
    "..",
    "a/..",
    "../a",
    ".",
    "a/./b",
    "a//b",
    "/a",
    "a/",
    "a b",
    "a\x00b",
    "\x00",
    "a\nb",
    "ü",
    "a\u202eb",
    "ａ",
    "\ud7ff\ue000",
    "a:b",
    "a@b",
    "a\\b",
    "a%b",
    "a?b",
    "_catalog",
    "_manifests",
    "x/_uploads/y",
    "a" * 256,
    "/".join(["a"] * 129),
    "a" * 5000,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(server: Live, name: str) -> None:
    """On every endpoint, percent-encoded as far as it goes: NAME_INVALID, or no endpoint."""
    path = quote(name, safe="/")
    digest = digest_of(b"x")
    with Raw(server.port) as raw:
        for method, rest in (
            ("GET", "tags/list"),
            ("GET", "manifests/latest"),
            ("PUT", "manifests/latest"),
            ("DELETE", "manifests/latest"),
            ("HEAD", f"blobs/{digest}"),
            ("GET", f"blobs/{digest}"),
            ("DELETE", f"blobs/{digest}"),
            ("GET", f"referrers/{digest}"),
            ("POST", "blobs/uploads/"),
            ("PATCH", "blobs/uploads/00000000-0000-4000-8000-000000000000"),
        ):
            answer = raw.ask(method, f"/v2/{path}/{rest}", {"Content-Length": "0"})
            assert answer.status in (400, 404), (method, rest, answer)
            assert answer.header("docker-distribution-api-version") == "registry/2.0"
            if method != "HEAD":
                code = json.loads(answer.body)["errors"][0]["code"]
                assert code in ("NAME_INVALID", "UNSUPPORTED")
    assert server.http.get("/v2/").status_code == 200


@pytest.mark.parametrize("name", ["a" * 255, "0", "a.b_c__d---e/f", "/".join(["a"] * 128)])
def test_good_names(server: Live, name: str) -> None:
    server.manifest(name, "v1", image(server, name))
    assert server.http.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["v1"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/%2e%2e%2f%2e%2e%2fetc/passwd/tags/list",
        "/v2/a/manifests/%2e%2e%2f%2e%2e%2fx",
        "/v2/a/manifests/..%2fx",
        "/v2/a/blobs/sha256:%2e%2e%2fx",
        "/v2/a/blobs/uploads/%2e%2e%2f%2e%2e%2fx",
        "/v2/a/blobs/%73ha256:%00",
        "/v2/a/manifests/%00",
        "/v2/a/manifests/a%00b",
        "/v2/a/manifests/%ff%fe",
        "/v2/a/manifests/%",
        "/v2/a/manifests/%zz",
        "/v2/a/manifests/%u0041%",
        "/v2/a/manifests/..",
        "/v2/a/manifests/.",
        "/v2/a/../../manifests/x",
        "/v2/..;/a/manifests/x",
        "/v2/a/manifests/" + "x" * 129,
        "/v2/a/manifests/" + "x" * 5000,
        "/v2/a/manifests/sha256:" + "0" * 5000,
        "/v2/" + "a/" * 2500 + "tags/list",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST"])
def test_tricky_paths(server: Live, path: str, method: str) -> None:
    with Raw(server.port) as raw:
        answer = raw.ask(method, path, {"Content-Length": "0"})
    assert answer.status in (400, 404, 405), answer
    assert answer.header("docker-distribution-api-version") == "registry/2.0"


def test_a_path_that_is_too_long(server: Live) -> None:
    """RFC 9110, section 15.5.15: 414."""
    answer = server.http.get("/v2/" + "a" * 9000 + "/tags/list")
    error(answer, 414, "UNSUPPORTED")


@pytest.mark.parametrize(
    "query",
    [
        "n=%ff",
        "n=%",
        "last=%00",
        "last=" + "x" * 20_000,
        "n=1&" * 90 + "n=1",
        "&" * 50,
        "=&=&n",
        "last=%ed%a0%80",
        "n=1;n=2",
        "last[]=a&last[x]=b",
    ],
)
def test_tricky_queries(server: Live, query: str) -> None:
    """A query that makes no sense is ignored or refused."""
    for path in ("/v2/_catalog", "/v2/none/tags/list", f"/v2/a/referrers/{digest_of(b'')}"):
        with Raw(server.port) as raw:
            answer = raw.ask("GET", f"{path}?{query}")
        assert answer.status in (200, 400, 404), (query, answer)
    for query in ("n=1&" * 200, "&" * 5000):
        error(server.http.get(f"/v2/_catalog?{query}"), 414, "UNSUPPORTED")


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "," * 5000},
        {"Accept": "a/b;q=" + "9" * 5000},
        {"Accept": "*/*;q=nan"},
        {"Accept": ";q=1,/,//;;"},
        {"Range": "bytes=" + "0-0," * 5000},
        {"Range": "bytes=" + "9" * 5000 + "-"},
        {"If-None-Match": '"' * 5000},
        {"If-Range": "\\" * 5000},
        {"Forwarded": "for=" + '"\\' * 5000},
        {"X-Forwarded-For": "," * 5000},
        {"Authorization": "Basic " + "A" * 5000},
        {"Authorization": "\x7f\x80"},
        {"Content-Type": "\xff;\xfe"},
        {"Cookie": "=" * 5000},
        {"Host": "x" * 5000},
        {"Expect": "nonsense"},
    ],
)
def test_tricky_headers(server: Live, name: str, headers: dict[str, str]) -> None:
    server.manifest(name, "v1", image(server, name))
    blob = server.blob(name, b"x")
    for path in (f"/v2/{name}/manifests/v1", f"/v2/{name}/blobs/{blob}", "/v2/"):
        answer = server.http.get(
            path, headers={key.encode(): value.encode("latin-1") for key, value in headers.items()}
        )
        assert answer.status_code < 500
        assert answer.status_code in (200, 206, 400, 404, 416, 417, 431), answer.text


def test_headers_that_are_too_long(server: Live) -> None:
    """More than the server takes: an error without a stack trace, and it lives on."""
    with Raw(server.port) as raw:
        raw.send(head("GET", "/v2/", {"X": "y" * 200_000}))
        try:
            assert raw.answer().status in (400, 431)
        except ConnectionError:
            pass  # it hung up, which is an answer, too
    assert server.http.get("/v2/").status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\nab",
        b"POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n",
        b"POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
    ],
)
def test_what_is_no_http(server: Live, data: bytes) -> None:
    """The server answers 4xx or hangs up; never 5xx but for what it does not know of HTTP."""
    with Raw(server.port, timeout=3) as raw:
        raw.send(data)
        raw.socket.shutdown(1)
        try:
            assert raw.answer().status in (400, 404, 405, 408, 501, 505)
        except ConnectionError:
            pass  # it hung up
    assert server.http.get("/v2/").status_code == 200


# Manifests.


def valid(server: Live, name: str) -> bytes:
    return encoded(image(server, name))


NOT_JSON = {
    "nothing": b"",
    "space": b" \n",
    "a word": b"manifest",
    "half": b'{"schemaVersion": 2',
    "two": b"{}{}",
    "a trailing comma": b'{"schemaVersion": 2,}',
    "a comment": b'{"schemaVersion": 2 /* two */}',
    "single quotes": b"{'schemaVersion': 2}",
    "a BOM": b'\xef\xbb\xbf{"schemaVersion": 2}',
    "UTF-16": '{"schemaVersion": 2}'.encode("utf-16"),
    "UTF-16 BE": '{"schemaVersion": 2}'.encode("utf-16-be"),
    "UTF-32": '{"schemaVersion": 2}'.encode("utf-32"),
    "no UTF-8": b'{"schemaVersion": 2, "a": "\xff"}',
    "overlong UTF-8": b'{"schemaVersion": 2, "a": "\xc0\xaf"}',
    "a surrogate": b'{"schemaVersion": 2, "a": "\xed\xa0\x80"}',
    "NUL": b'{"schemaVersion": 2}\x00',
    "NaN": b'{"schemaVersion": 2, "a": NaN}',
    "infinity": b'{"schemaVersion": 2, "a": -Infinity}',
    "a control character": b'{"schemaVersion": 2, "a": "\x01"}',
    "hexadecimal": b'{"schemaVersion": 0x2}',
    "lists 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "lists without an end": b"[" * 1_000_000,
    "a number of a million digits": b'{"schemaVersion": ' + b"9" * 1_000_000 + b"}",
    "a number": b"2",
    "null": b"null",
    "a list": b"[]",
    "a string": b'"manifest"',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_manifests_that_are_no_json(server: Live, name: str, body: bytes) -> None:
    answer = server.put_manifest(name, "v1", body, OCI_MANIFEST)
    error(answer, 400, "MANIFEST_INVALID")
    error(server.http.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")
    error(server.http.get(f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN")


DIGEST = "sha256:" + "0" * 64
GOOD = {"mediaType": CONFIG, "digest": DIGEST, "size": 1}

WRONG = [
    {"schemaVersion": 3},
    {"schemaVersion": "2"},
    {"schemaVersion": None},
    {"schemaVersion": True},
    {"schemaVersion": 2.5},
    {"schemaVersion": 2.0},
    {"schemaVersion": [2]},
    {"schemaVersion": 10**400},
    {"mediaType": "application/json"},
    {"mediaType": 7},
    {"mediaType": ["x"]},
    {"mediaType": OCI_INDEX},
    {"config": None},
    {"config": []},
    {"config": {}},
    {"config": DIGEST},
    {"config": {**GOOD, "digest": "latest"}},
    {"config": {**GOOD, "digest": "sha256:../../etc"}},
    {"config": {**GOOD, "digest": f"sha384:{'0' * 96}"}},
    {"config": {**GOOD, "digest": 7}},
    {"config": {**GOOD, "digest": None}},
    {"config": {**GOOD, "size": -1}},
    {"config": {**GOOD, "size": "1"}},
    {"config": {**GOOD, "size": 1.5}},
    {"config": {**GOOD, "size": 2**63}},
    {"config": {**GOOD, "size": True}},
    {"config": {**GOOD, "size": 1e400}},
    {"config": {**GOOD, "mediaType": ""}},
    {"config": {**GOOD, "mediaType": 1}},
    {"config": {**GOOD, "urls": "http://x"}},
    {"config": {**GOOD, "urls": [1]}},
    {"config": {**GOOD, "annotations": []}},
    {"config": {**GOOD, "annotations": {"a": 1}}},
    {"config": {**GOOD, "platform": "linux"}},
    {"config": {**GOOD, "artifactType": 1}},
    {"layers": None},
    {"layers": {}},
    {"layers": "none"},
    {"layers": [None]},
    {"layers": [[]]},
    {"layers": [GOOD] * 20_001},
    {"manifests": []},
    {"manifests": [GOOD]},
    {"subject": []},
    {"subject": "x"},
    {"subject": {**GOOD, "digest": "x"}},
    {"annotations": []},
    {"annotations": {"a": None}},
    {"annotations": {"a": {"b": "c"}}},
    {"artifactType": {}},
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: json.dumps(change)[:60])
def test_wrong_manifests(server: Live, name: str, change: dict[str, object]) -> None:
    """Each is MANIFEST_INVALID, in words that name the place."""
    document = {**image(server, name), **change}
    body = json.dumps(document).encode().replace(b"Infinity", b"1e999")
    entry = error(server.put_manifest(name, "v1", body, OCI_MANIFEST), 400, "MANIFEST_INVALID")
    assert len(entry["message"]) < 400
    error(server.http.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("key", ["schemaVersion", "config", "layers"])
def test_missing_keys(server: Live, name: str, key: str) -> None:
    document = image(server, name)
    del document[key]
    entry = error(server.put_manifest(name, "v1", document), 400, "MANIFEST_INVALID")
    assert key in entry["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"config": GOOD},
        {"layers": []},
        {"manifests": None},
        {"manifests": {}},
        {"manifests": [{**GOOD, "platform": []}]},
        {"manifests": [{**GOOD, "platform": {"os": 1}}]},
        {"manifests": [1]},
    ],
)
def test_wrong_indexes(server: Live, name: str, change: dict[str, object]) -> None:
    """An index has no layers: one document must not be two things to two clients."""
    document = {**index(), **change}
    error(server.put_manifest(name, "v1", document), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "double",
    [
        b'"schemaVersion": 2, ',
        b'"config": {}, ',
        b'"layers": [], ',
        b'"annotations": {"a": "1", "a": "2"}, ',
        b'"unknown": {"x": {"a": 1, "b": [], "a": 2}}, ',
        b'"schemaVersio\\u006e": 2, ',
    ],
)
def test_duplicate_keys(server: Live, name: str, double: bytes) -> None:
    """Which one of two counts differs from parser to parser, so that neither may."""
    body = valid(server, name).replace(b"{", b"{" + double, 1)
    entry = error(server.put_manifest(name, "v1", body, OCI_MANIFEST), 400, "MANIFEST_INVALID")
    assert "twice" in entry["message"]


def test_moderately_deep_json(server: Live, name: str) -> None:
    """Depth that every parser takes is no reason to refuse."""
    body = valid(server, name).replace(b"{", b'{"deep": ' + b"[" * 200 + b"]" * 200 + b", ", 1)
    server.manifest(name, "v1", body, OCI_MANIFEST)
    assert server.http.get(f"/v2/{name}/manifests/v1").content == body


def test_sizes_that_lie(server: Live, name: str) -> None:
    """A descriptor's size is the client's to check; huge ones do no harm."""
    document = image(server, name)
    document["config"]["size"] = 2**63 - 1
    server.manifest(name, "v1", document)
    assert server.http.get(f"/v2/{name}/manifests/v1").json() == document


def test_many_missing_layers(server: Live, name: str) -> None:
    """10,000 missing layers: an answer in seconds, of bounded size."""
    document = image(server, name)
    document["layers"] = [descriptor(str(n).encode(), LAYER) for n in range(10_000)]
    began = time.monotonic()
    answer = server.put_manifest(name, "v1", document)
    error(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    assert time.monotonic() - began < 10
    assert len(answer.content) < 100_000


# Lengths that lie.


@pytest.mark.parametrize("under", ["hypercorn", "shipped", "uvicorn", "granian"])
def test_bodies_that_are_too_long(start: Callable[..., Live], under: str) -> None:
    """What follows Content-Length belongs to the next request, and never to the blob."""
    server = start(under=under)
    data = b"0123456789"
    path = f"/v2/x/blobs/uploads/?digest={digest_of(data)}"
    with Raw(server.port) as raw:
        raw.send(head("POST", path, {"Content-Length": "10"}) + data + b"GARBAGE\r\n\r\n")
        assert raw.answer().status == 201
    assert server.http.get(f"/v2/x/blobs/{digest_of(data)}").content == data


@pytest.mark.parametrize("under", ["hypercorn", "shipped", "uvicorn", "granian"])
def test_bodies_that_stall(start: Callable[..., Live], under: str) -> None:
    """A client that sends half and then nothing: 408 after the idle time, never a 500.

    What it sent of an upload is kept and reported; a manifest or a single POST leaves nothing.
    """
    server = start(under=under, idle=0.3)
    data = b"0123456789" * 10
    upload = server.begin("x").removeprefix(f"http://{server.address}")
    digest = digest_of(data)
    for method, path in (
        ("PATCH", upload),
        ("POST", f"/v2/x/blobs/uploads/?digest={digest}"),
        ("PUT", "/v2/x/manifests/v1"),
    ):
        with Raw(server.port) as raw:
            began = time.monotonic()
            raw.send(head(method, path, {"Content-Length": "100"}) + data[:50])
            answer = raw.answer(method)
            assert answer.status == 408
            assert json.loads(answer.body)["errors"]
            assert 0.2 < time.monotonic() - began < 5
    status = server.http.get(upload)
    assert status.headers["range"] == "0-49"
    assert server.patch(upload, data[50:], 50).status_code == 202
    assert server.finish(upload, digest).status_code == 201
    error(server.http.get("/v2/x/manifests/v1"), 404, "MANIFEST_UNKNOWN")


def test_an_unwanted_body(server: Live, name: str) -> None:
    """An error is heard although the client goes on sending for a while."""
    for size in (10, 100_000, 1_000_000):
        answer = server.patch(f"/v2/{name}/blobs/uploads/nonsense", b"x" * size)
        error(answer, 404, "BLOB_UPLOAD_UNKNOWN")
        answer = server.http.put(f"/v2/{name}/manifests/-bad", content=b" " * size)
        assert answer.status_code in (400, 413)
        answer = server.http.request("GET", "/v2/", content=b"x" * size)
        assert answer.status_code == 200
        answer = server.http.request("DELETE", f"/v2/{name}/manifests/v1", content=b"x" * size)
        error(answer, 404, "MANIFEST_UNKNOWN")
