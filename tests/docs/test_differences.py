"""The table of answers that differ is true of both registries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import httpx
import pytest

from tests.docs.pages import DOCS
from tests.fixtures.wire import OCI_INDEX, sha256
from tests.servers.registries import Registry

PAGE = DOCS / "reference" / "docker-registry-differences.md"
OCTETS = {"Content-Type": "application/octet-stream"}
UPLOADS = "/v2/team/app/blobs/uploads/"
MANIFESTS = "/v2/team/app/manifests"
INDEX = b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % OCI_INDEX.encode()
TWICE = INDEX.replace(b"}", b', "manifests": []}')
UNKNOWN = "0f8fad5b-d9cb-469f-a165-70867728950e"

Request = Callable[[httpx.Client], httpx.Response]


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


REQUESTS: dict[str, Request] = {
    "`GET /v2`": lambda http: http.get("/v2"),
    "`GET` of a path that is no endpoint": lambda http: http.get("/v2/no/endpoint"),
    "`PUT /v2/` and other methods that an endpoint does not have": lambda http: http.put("/v2/"),
    "`GET /v2/Bad/tags/list`, a malformed name": lambda http: http.get("/v2/Bad/tags/list"),
    "`GET` of a manifest by a malformed digest": lambda http: http.get(f"{MANIFESTS}/sha256:x"),
    "`POST` of a blob with `digest`": lambda http: http.post(
        UPLOADS, params={"digest": sha256(b"x")}, content=b"x", headers=OCTETS
    ),
    "`POST` with `mount`, without `from`": lambda http: http.post(
        "/v2/team/other/blobs/uploads/", params={"mount": sha256(b"hello")}
    ),
    "`PATCH` behind the end of the upload": lambda http: append(http, Content_Range="7-9"),
    "`PATCH` with a `Content-Type` of text": lambda http: append(http, Content_Type="text/plain"),
    "`GET` of an upload that is unknown": lambda http: http.get(f"{UPLOADS}{UNKNOWN}"),
    "`GET` of an OCI manifest without `Accept`, or with `*/*`": lambda http: http.get(
        f"{MANIFESTS}/v1", headers={"Accept": "*/*"}
    ),
    "`PUT` of a manifest without `Content-Type`, or with `application/json`": (
        lambda http: push(http, "v2", INDEX, "application/json")
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
    answer = REQUESTS[request](http)
    statuses = {int(status) for status in re.findall(r"\b\d{3}\b", wanted)}
    assert answer.status_code in statuses, f"{request}: {answer.status_code} {answer.text}"
    code = re.search(r"`([A-Z_]+)`", wanted)
    if code:
        assert answer.json()["errors"][0]["code"] == code[1], f"{request}: {answer.text}"
    if "JSON" in wanted:
        assert "errors" in answer.json()
    if "text" in wanted:
        assert answer.headers["content-type"].startswith("text/plain")
    if "`Allow`" in wanted:
        assert "GET" in answer.headers["allow"]
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
