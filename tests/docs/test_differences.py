"""The table of answers that differ is true of both registries."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

import httpx
import pytest

from tests.docs.pages import DOCS
from tests.fixtures.wire import OCI_INDEX, OCI_MANIFEST, sha256
from tests.servers.registries import Registry

PAGE = DOCS / "reference" / "docker-registry-differences.md"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCTETS = {"Content-Type": "application/octet-stream"}
UPLOADS = "/v2/team/app/blobs/uploads/"
MANIFESTS = "/v2/team/app/manifests"
INDEX = b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % OCI_INDEX.encode()
TWICE = INDEX.replace(b"}", b', "manifests": []}')
UNKNOWN = "0f8fad5b-d9cb-469f-a165-70867728950e"

Request = Callable[[httpx.Client], httpx.Response | list[httpx.Response]]


def upload(http: httpx.Client) -> httpx.URL:
    """Begin an upload."""
    return httpx.URL(http.post(UPLOADS).headers["location"])


def push(http: httpx.Client, reference: str, data: bytes, media_type: str) -> httpx.Response:
    """Push a manifest."""
    return http.put(f"{MANIFESTS}/{reference}", content=data, headers={"Content-Type": media_type})


def append(http: httpx.Client, **headers: str) -> httpx.Response:
    """Send three bytes to a new upload."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.patch(upload(http), content=b"abc", headers={**OCTETS, **headers})


def exactly(http: httpx.Client, target: str, method: str = "GET") -> httpx.Response:
    """Ask for a path as it is written; httpx would tidy it up."""
    return http.request(method, "/", extensions={"target": target.encode()})


def head_of(http: httpx.Client, path: str, **headers: str) -> httpx.Response:
    """Ask for a blob and leave it: with 416, the Docker registry's body is not what it says."""
    with http.stream("GET", path, headers=headers) as answer:
        return answer


def without_accept(http: httpx.Client, path: str) -> httpx.Response:
    """Ask without saying what is accepted."""
    request = http.build_request("GET", path)
    del request.headers["accept"]
    return http.send(request)


def image(**changes: object) -> bytes:
    """An image without layers, whose configuration is the blob `hello`."""
    config = {"mediaType": OCI_CONFIG, "digest": sha256(b"hello"), "size": 5}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    changed = {**manifest, **changes}
    return json.dumps({key: value for key, value in changed.items() if value is not None}).encode()


def finish(http: httpx.Client, **headers: str) -> httpx.Response:
    """Finish a new upload with five bytes."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    url = upload(http).copy_merge_params({"digest": sha256(b"hello")})
    return http.put(url, content=b"hello", headers={**OCTETS, **headers})


def mount(http: httpx.Client, digest: str, source: str) -> httpx.Response:
    """Mount a blob of another repository."""
    return http.post("/v2/team/other/blobs/uploads/", params={"mount": digest, "from": source})


BLOB = f"/v2/team/app/blobs/{sha256(b'hello')}"
FOREIGN = {"mediaType": OCI_FOREIGN, "digest": sha256(b"far"), "size": 3, "urls": ["https://a/b"]}

REQUESTS: dict[str, Request] = {
    "`GET /v2`": lambda http: http.get("/v2"),
    "`GET //v2/`, and other slashes in a row": lambda http: [
        exactly(http, path) for path in ("//v2/", "/v2//", "/v2/team//app/tags/list")
    ],
    "`GET /v2/<name>/tags/list/`, and other slashes at the end": lambda http: [
        http.get(f"{path}/") for path in ("/v2/team/app/tags/list", "/v2/_catalog", BLOB)
    ],
    "`GET` of a path with `.` or `..` in it": lambda http: [
        exactly(http, f"/v2/{path}/team/app/tags/list") for path in (".", "team/..")
    ],
    "`GET` of a path with an encoded slash, `%2F`": lambda http: exactly(
        http, "/v2/team%2Fapp/tags/list"
    ),
    "`POST /v2/<name>/blobs/uploads`, without the slash at the end": lambda http: http.post(
        UPLOADS.rstrip("/")
    ),
    "`GET /v2/<name>/blobs/uploads/`": lambda http: http.get(UPLOADS),
    "`HEAD` of the tags": lambda http: http.head("/v2/team/app/tags/list"),
    "`HEAD` of the catalog": lambda http: http.head("/v2/_catalog"),
    "`GET` of a path that is no endpoint": lambda http: http.get("/v2/no/endpoint"),
    "`PUT /v2/` and other methods that an endpoint does not have": lambda http: [
        http.request(method, path)
        for method, path in (("PUT", "/v2/"), ("DELETE", "/v2/"), ("PUT", "/v2/_catalog"))
    ],
    "`GET /v2/Bad/tags/list`, a malformed name": lambda http: http.get("/v2/Bad/tags/list"),
    "`GET` of the tags of a name with more than 255 characters": lambda http: http.get(
        f"/v2/{'a' * 256}/tags/list"
    ),
    "`GET` of a manifest by a malformed digest": lambda http: http.get(f"{MANIFESTS}/sha256:x"),
    "`POST` of a blob with `digest`": lambda http: http.post(
        UPLOADS, params={"digest": sha256(b"x")}, content=b"x", headers=OCTETS
    ),
    "`POST` with `mount`, without `from`": lambda http: http.post(
        "/v2/team/other/blobs/uploads/", params={"mount": sha256(b"hello")}
    ),
    "`POST` with `mount`, a malformed digest": lambda http: mount(http, "x", "team/app"),
    "`POST` with `mount` and a malformed `from`": lambda http: mount(
        http, sha256(b"hello"), "Team"
    ),
    "`PATCH` behind the end of the upload": lambda http: append(http, Content_Range="7-9"),
    "`PATCH` with a `Content-Range` that cannot be read": lambda http: append(
        http, Content_Range="some"
    ),
    "`PATCH` with a `Content-Range` of another length than its bytes": lambda http: append(
        http, Content_Range="0-9"
    ),
    "`PUT` that finishes an upload, with a `Content-Range` behind its end": lambda http: finish(
        http, Content_Range="7-11"
    ),
    "`PATCH` with a `Content-Type` of text": lambda http: append(http, Content_Type="text/plain"),
    "`GET` of an upload that is unknown, and `PATCH`, `PUT`, `DELETE`": lambda http: [
        http.request(method, f"{UPLOADS}{UNKNOWN}?digest={sha256(b'hello')}", headers=OCTETS)
        for method in ("GET", "PATCH", "PUT", "DELETE")
    ],
    "`GET` of an OCI manifest without `Accept`, or with `*/*`": lambda http: [
        http.get(f"{MANIFESTS}/v1", headers={"Accept": "*/*"}),
        without_accept(http, f"{MANIFESTS}/v1"),
    ],
    "`GET` of a blob with a `Range` that cannot be read": lambda http: head_of(
        http, BLOB, Range="bytes=some"
    ),
    "`HEAD` of a blob with a `Range`": lambda http: http.head(BLOB, headers={"Range": "bytes=0-1"}),
    "`PUT` of a manifest without `Content-Type`, or with `application/json` or `text/plain`": (
        lambda http: [
            http.put(f"{MANIFESTS}/v2", content=INDEX, headers=headers)
            for headers in (
                {},
                {"Content-Type": "application/json"},
                {"Content-Type": "text/plain"},
            )
        ]
    ),
    "`PUT` of a manifest by a malformed tag": lambda http: push(http, "-v2", INDEX, OCI_INDEX),
    "`PUT` of an OCI manifest with another `schemaVersion` than 2": lambda http: push(
        http, "v3", image(schemaVersion=1), OCI_MANIFEST
    ),
    "`PUT` of an OCI manifest without `layers`": lambda http: push(
        http, "v4", image(layers=None), OCI_MANIFEST
    ),
    "`PUT` of a manifest with a layer that has `urls`, which nothing allows": lambda http: push(
        http, "v5", image(layers=[FOREIGN]), OCI_MANIFEST
    ),
    "`PUT` of a manifest of 5 MB": lambda http: push(
        http, "big", b"{" + b" " * 5_000_000 + b"}", OCI_INDEX
    ),
    "`PUT` of a manifest with a key that stands twice": lambda http: push(
        http, "twice", TWICE, OCI_INDEX
    ),
    "`PUT` of a manifest by its sha512 digest": lambda http: push(
        http, f"sha512:{hashlib.sha512(INDEX).hexdigest()}", INDEX, OCI_INDEX
    ),
    "`DELETE` of a tag": lambda http: http.delete(f"{MANIFESTS}/v1"),
    "`GET` of the tags of a repository that has blobs only": lambda http: http.get(
        "/v2/blobs/only/tags/list"
    ),
    "`GET` of the tags with an `n` that is no number": lambda http: http.get(
        "/v2/team/app/tags/list?n=x"
    ),
    "`GET` of the catalog with a negative `n`": lambda http: http.get("/v2/_catalog?n=-1"),
    "`GET /v2/<name>/referrers/<digest>`": lambda http: http.get(
        f"/v2/team/app/referrers/{sha256(INDEX)}"
    ),
    "`GET /debug/health`": lambda http: http.get("/debug/health"),
}


def rows() -> dict[str, tuple[str, str]]:
    """What the page says of each request: the Docker registry's answer, and pyreg's."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("## Answers that differ")
    section, _, _ = rest.partition("\n## ")
    found = re.findall(r"^\| (`.+?) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", section, re.MULTILINE)
    return {request: (docker, pyreg) for request, docker, pyreg in found}


def check(http: httpx.Client, request: str, wanted: str) -> None:
    """Compare an answer with a cell of the table."""
    answers = REQUESTS[request](http)
    for answer in [answers] if isinstance(answers, httpx.Response) else answers:
        check_one(answer, request, wanted)


def check_one(answer: httpx.Response, request: str, wanted: str) -> None:
    """Compare one answer with a cell of the table."""
    statuses = {int(status) for status in re.findall(r"\b\d{3}\b", wanted)}
    assert answer.status_code in statuses, f"{request}: {answer.status_code} {answer.text}"
    code = re.search(r"`([A-Z_]+)`", wanted)
    if code:
        assert answer.json()["errors"][0]["code"] == code[1], f"{request}: {answer.text}"
    if "JSON" in wanted:
        assert "errors" in answer.json()
    if "text" in wanted:
        assert answer.headers["content-type"].startswith("text/plain")
    if answer.status_code == 301:
        assert answer.headers["location"].startswith("/v2/")
    if "`Allow`" in wanted:
        assert {"GET", "POST"} & set(answer.headers["allow"].split(", "))
    if "empty list" in wanted:
        assert answer.json()["tags"] == []


def test_every_request_of_the_table_is_tried() -> None:
    assert set(rows()) == set(REQUESTS)


@pytest.mark.parametrize("fixture", ["start_go_registry", "start_registry"])
def test_answers(fixture: str, request: pytest.FixtureRequest) -> None:
    start: Callable[..., Registry] = request.getfixturevalue(fixture)
    registry = start()
    # A connection for each request: some are answered before their body has been read.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=registry.url, trust_env=False, timeout=30, limits=limits) as http:
        for repository in ("team/app", "blobs/only"):
            begun = httpx.URL(http.post(f"/v2/{repository}/blobs/uploads/").headers["location"])
            done = http.put(
                begun.copy_merge_params({"digest": sha256(b"hello")}),
                content=b"hello",
                headers=OCTETS,
            )
            assert done.status_code == 201
        assert push(http, "v1", INDEX, OCI_INDEX).status_code == 201
        for asked, (docker, pyreg) in rows().items():
            check(http, asked, pyreg if registry.pyreg else docker)
