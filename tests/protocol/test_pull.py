"""Pull (OCI distribution specification, "Pull"), and what RFC 9110 says of it."""

from __future__ import annotations

import email.parser
import email.policy

import pytest

from tests.fixtures.wire import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import ALL_TYPES, child, docker_image, encoded, image, index

DATA = bytes(range(256)) * 400


@pytest.fixture
def blob(server: Live, name: str) -> str:
    """The path of a blob of 102,400 bytes."""
    return f"/v2/{name}/blobs/{server.blob(name, DATA)}"


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_determining_support(server: Live, path: str, method: str) -> None:
    """ "Determining Support": 200 at /v2/."""
    assert server.http.request(method, path).status_code == 200


@pytest.mark.parametrize("reference", ["v1", "digest"])
def test_pulling_manifests(server: Live, name: str, reference: str) -> None:
    """ "Pulling manifests": 200, the manifest, its digest, its type without parameters."""
    document = image(server, name)
    digest = server.manifest(name, "v1", document, f"{OCI_MANIFEST}; charset=utf-8")
    path = f"/v2/{name}/manifests/{digest if reference == 'digest' else reference}"
    got = server.http.get(path)
    assert got.status_code == 200
    assert got.content == encoded(document)
    assert got.headers["docker-content-digest"] == digest
    assert got.headers["content-type"] == OCI_MANIFEST
    head = server.http.head(path)
    assert head.status_code == 200
    assert head.content == b""
    for header in ("docker-content-digest", "content-type", "content-length", "etag"):
        assert head.headers[header] == got.headers[header]
    assert int(head.headers["content-length"]) == len(got.content)


def test_pulling_blobs(server: Live, blob: str) -> None:
    """ "Pulling blobs", "Checking if content exists": 200, digest, and length on HEAD."""
    got = server.http.get(blob)
    assert got.status_code == 200
    assert got.content == DATA
    head = server.http.head(blob)
    assert head.status_code == 200
    for answer in (got, head):
        assert answer.headers["docker-content-digest"] == digest_of(DATA)
        assert answer.headers["content-length"] == str(len(DATA))
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["accept-ranges"] == "bytes"
        assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_there(server: Live, name: str, method: str) -> None:
    """404 for manifests and blobs that are not in the repository, also if another one has them."""
    digest = server.blob(f"{name}/other", b"blob")
    manifest = server.manifest(f"{name}/other", "v1", image(server, f"{name}/other"))
    for path, code in (
        (f"{name}/manifests/v1", "MANIFEST_UNKNOWN"),
        (f"{name}/manifests/{manifest}", "MANIFEST_UNKNOWN"),
        (f"{name}/manifests/-not-a-tag", "MANIFEST_UNKNOWN"),
        (f"{name}/blobs/{digest}", "BLOB_UNKNOWN"),
        (f"{name}/blobs/{manifest}", "BLOB_UNKNOWN"),
        (f"{name}/manifests/{digest}", "MANIFEST_UNKNOWN"),
    ):
        answer = server.http.request(method, f"/v2/{path}")
        assert answer.status_code == 404, path
        if method == "GET":
            error(answer, 404, code)


def test_a_manifest_is_no_blob(server: Live, name: str) -> None:
    """A manifest is not served by the blobs endpoint, nor the other way round."""
    document = image(server, name)
    digest = server.manifest(name, None, document)
    error(server.http.get(f"/v2/{name}/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    config = document["config"]["digest"]
    error(server.http.get(f"/v2/{name}/manifests/{config}"), 404, "MANIFEST_UNKNOWN")


# Conditional requests (RFC 9110, section 13).


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (['"{digest}"'], 304),
        (["{digest}"], 304),
        (['W/"{digest}"'], 304),
        (['"other", "{digest}"'], 304),
        (['"other"', '"{digest}"'], 304),
        (["*"], 304),
        (['"other"'], 200),
        ([""], 200),
        (['"{digest}'], 200),
    ],
)
def test_if_none_match(server: Live, blob: str, values: list[str], status: int) -> None:
    digest = digest_of(DATA)
    headers = [("If-None-Match", value.format(digest=digest)) for value in values]
    for method in ("GET", "HEAD"):
        answer = server.http.request(method, blob, headers=headers)
        assert answer.status_code == status
        if status == 304:
            assert answer.headers["etag"] == f'"{digest}"'
            assert answer.headers["docker-content-digest"] == digest
            assert "max-age" in answer.headers["cache-control"]
            assert "content-type" not in answer.headers


def test_a_moved_tag_is_not_unchanged(server: Live, name: str) -> None:
    """If-None-Match on a tag: 304 until it moves."""
    old = server.manifest(name, "v1", image(server, name, "old"))
    headers = {"If-None-Match": f'"{old}"'}
    assert server.http.get(f"/v2/{name}/manifests/v1", headers=headers).status_code == 304
    new = server.manifest(name, "v1", image(server, name, "new"))
    answer = server.http.get(f"/v2/{name}/manifests/v1", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["docker-content-digest"] == new


def test_precedence_of_preconditions(server: Live, blob: str) -> None:
    """RFC 9110, section 13.2.2: If-None-Match comes before Range."""
    headers = {"If-None-Match": f'"{digest_of(DATA)}"', "Range": "bytes=0-1"}
    assert server.http.get(blob, headers=headers).status_code == 304


# Range requests (RFC 9110, section 14).


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 102_400),
        ("bytes=-1", 102_399, 102_400),
        ("bytes=-102400", 0, 102_400),
        ("bytes=-999999", 0, 102_400),
        ("bytes=102399-102399", 102_399, 102_400),
        ("bytes=102399-999999999999", 102_399, 102_400),
        ("bytes=0-99999999999999999999", 0, 102_400),
        ("BYTES=5-9", 5, 10),
        ("bytes= 5-9", 5, 10),
        ("bytes=5-9,", 5, 10),
        ("bytes=5-9,999999-", 5, 10),
        ("bytes=5-9,3-7", 3, 10),
        ("bytes=5-9,10-19", 5, 20),
        ("bytes=0-,0-,0-,-5", 0, 102_400),
    ],
)
def test_one_range(server: Live, blob: str, header: str, start: int, stop: int) -> None:
    """206 with Content-Range; ranges that overlap or touch become one."""
    answer = server.http.get(blob, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/102400"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["docker-content-digest"] == digest_of(DATA)
    assert answer.headers["etag"] == f'"{digest_of(DATA)}"'
    assert answer.content == DATA[start:stop]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-4,100-199", [(0, 5), (100, 200)]),
        ("bytes=100-199,0-4", [(100, 200), (0, 5)]),
        ("bytes=-3 , 7-7 ,\t9-9", [(102_397, 102_400), (7, 8), (9, 10)]),
        ("bytes=0-1,999999-,-2", [(0, 2), (102_398, 102_400)]),
        ("bytes=10-19,0-4,15-29", [(0, 5), (10, 30)]),
    ],
)
def test_several_ranges(
    server: Live, blob: str, header: str, wanted: list[tuple[int, int]]
) -> None:
    """RFC 9110, section 14.6: multipart/byteranges, parsed back with a parser of its own."""
    answer = server.http.get(blob, headers={"Range": header})
    assert answer.status_code == 206
    assert "content-range" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.content))
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.content)
    assert message.get_content_type() == "multipart/byteranges"
    parts = list(message.iter_parts())
    assert [part["content-range"] for part in parts] == [
        f"bytes {start}-{stop - 1}/102400" for start, stop in wanted
    ]
    for part, (start, stop) in zip(parts, wanted, strict=True):
        assert part["content-type"] == "application/octet-stream"
        assert part.get_content() == DATA[start:stop]


@pytest.mark.parametrize(
    "header",
    [
        "bytes=102400-",
        "bytes=102400-102401",
        "bytes=-0",
        "bytes=999999999999-",
        "bytes=" + "9" * 40 + "-",
    ],
)
def test_unsatisfiable_ranges(server: Live, blob: str, header: str) -> None:
    """RFC 9110, section 15.5.17: 416 with the length in Content-Range."""
    answer = server.http.get(blob, headers={"Range": header})
    error(answer, 416, "RANGE_INVALID")
    assert answer.headers["content-range"] == "bytes */102400"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=5-4",
        "bytes=",
        "bytes",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=--1",
        "bytes=0x1-2",
        "bytes=1-2-3",
        "bytes=0-1,x",
        "items=0-1",
        "0-1",
        "bytes=²-9",
        "bytes=" + "9" * 41 + "-",
        "bytes=" + ",".join(f"{start}-{start}" for start in range(0, 200, 2)),
    ],
)
def test_ranges_that_are_ignored(server: Live, blob: str, header: str) -> None:
    """RFC 9110, section 14.2: what cannot be read, or is abusive, is answered with the whole."""
    answer = server.http.get(blob, headers={b"Range": header.encode("latin-1")})
    assert answer.status_code == 200
    assert answer.content == DATA


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{digest}"', 206),
        ('"other"', 200),
        ('W/"{digest}"', 200),
        ("Mon, 23 Nov 2026 17:31:20 GMT", 200),
    ],
)
def test_if_range(server: Live, blob: str, condition: str, status: int) -> None:
    """RFC 9110, section 13.1.5: a strong comparison, or else the whole."""
    headers = {"Range": "bytes=0-9", "If-Range": condition.format(digest=digest_of(DATA))}
    answer = server.http.get(blob, headers=headers)
    assert answer.status_code == status
    assert answer.content == (DATA[:10] if status == 206 else DATA)


def test_ranges_are_for_get(server: Live, blob: str) -> None:
    """RFC 9110, section 14.2: Range on any other method is ignored."""
    for header in ("bytes=0-9", "bytes=999999-"):
        answer = server.http.head(blob, headers={"Range": header})
        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(len(DATA))


def test_ranges_of_nothing(server: Live, name: str) -> None:
    """An empty blob has no byte to ask for; its last five are all of it (section 14.1.2)."""
    path = f"/v2/{name}/blobs/{server.blob(name, b'')}"
    assert server.http.get(path).content == b""
    assert server.http.get(path, headers={"Range": "bytes=-5"}).status_code == 200
    answer = server.http.get(path, headers={"Range": "bytes=0-"})
    error(answer, 416, "RANGE_INVALID")
    assert answer.headers["content-range"] == "bytes */0"


# Content negotiation (RFC 9110, section 12), as far as the Docker registry has any.


@pytest.mark.parametrize(
    "accept",
    [
        None,
        OCI_MANIFEST,
        ALL_TYPES,
        "*/*",
        "application/*",
        "application/json",
        f"text/html, {OCI_MANIFEST};q=0.1",
        f"{OCI_MANIFEST.upper()}",
        f"{OCI_INDEX};q=1.0, */*;q=0.5",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_accepted_manifests(server: Live, name: str, accept: str | None, method: str) -> None:
    digest = server.manifest(name, "v1", image(server, name))
    headers = {"Accept": accept} if accept else {}
    for reference in ("v1", digest):
        answer = server.http.request(method, f"/v2/{name}/manifests/{reference}", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == OCI_MANIFEST


@pytest.mark.parametrize(
    "accept",
    [DOCKER_MANIFEST, "text/html", f"{OCI_MANIFEST};q=0, {OCI_INDEX};q=0, */*", ";;,"],
)
def test_an_oci_manifest_that_is_not_accepted(server: Live, name: str, accept: str) -> None:
    """Clients from before OCI get a 404, as from the Docker registry, with the reason."""
    document = image(server, name)
    server.manifest(name, "v1", document)
    server.manifest(name, "list", index(child(document)))
    for reference in ("v1", "list"):
        path = f"/v2/{name}/manifests/{reference}"
        entry = error(server.http.get(path, headers={"Accept": accept}), 404, "MANIFEST_UNKNOWN")
        assert "Accept" in entry["message"]


def test_several_accept_headers(server: Live, name: str) -> None:
    """Docker's engine sends one Accept header for each type."""
    server.manifest(name, "v1", image(server, name))
    headers = [("Accept", DOCKER_MANIFEST), ("Accept", OCI_MANIFEST)]
    answer = server.http.get(f"/v2/{name}/manifests/v1", headers=headers)
    assert answer.status_code == 200


def test_an_old_client_and_a_manifest_list(server: Live, name: str) -> None:
    """Who accepts only an image gets the one for linux/amd64 out of Docker's manifest list."""
    arm, amd = docker_image(server, name, "arm"), docker_image(server, name, "amd")
    for document in (arm, amd):
        server.manifest(name, None, document)
    document = index(
        child(arm, platform={"os": "linux", "architecture": "arm64"}),
        child(amd, platform={"os": "linux", "architecture": "amd64"}),
        media_type=DOCKER_LIST,
    )
    digest = server.manifest(name, "multi", document)
    path = f"/v2/{name}/manifests/multi"
    old = server.http.get(path, headers={"Accept": DOCKER_MANIFEST})
    assert old.status_code == 200
    assert old.content == encoded(amd)
    assert old.headers["content-type"] == DOCKER_MANIFEST
    assert old.headers["docker-content-digest"] == child(amd)["digest"]
    assert old.headers["etag"] == f'"{child(amd)["digest"]}"'
    new = server.http.get(path, headers={"Accept": f"{DOCKER_MANIFEST}, {DOCKER_LIST}"})
    assert new.content == encoded(document)
    by_digest = server.http.get(
        f"/v2/{name}/manifests/{digest}", headers={"Accept": DOCKER_MANIFEST}
    )
    assert by_digest.content == encoded(document)
    unchanged = server.http.get(
        path, headers={"Accept": DOCKER_MANIFEST, "If-None-Match": old.headers["etag"]}
    )
    assert unchanged.status_code == 304
    changed = server.http.get(
        path, headers={"Accept": DOCKER_MANIFEST, "If-None-Match": f'"{digest}"'}
    )
    assert changed.status_code == 200


def test_a_manifest_list_without_that_platform(server: Live, name: str) -> None:
    arm = docker_image(server, name)
    server.manifest(name, None, arm)
    document = index(
        child(arm, platform={"os": "linux", "architecture": "arm64"}), media_type=DOCKER_LIST
    )
    server.manifest(name, "arm", document)
    got = server.http.get(f"/v2/{name}/manifests/arm", headers={"Accept": DOCKER_MANIFEST})
    assert got.content == encoded(document)


def test_the_namespace_parameter(server: Live, name: str) -> None:
    """ "Registry Proxying": a registry may ignore `ns`, and then does not answer to it."""
    server.manifest(name, "v1", image(server, name))
    answer = server.http.get(f"/v2/{name}/manifests/v1", params={"ns": "docker.io"})
    assert answer.status_code == 200
    assert "oci-namespace" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/v2/x",
        "/v2/_catalog/",
        "/v2/tags/list",
        "/v2/x/manifests/",
        "/v2/x/blobs/",
        "/v2/x/tags",
        "/v2/x/tags/other",
        "/v2/x/referrers/",
        "/v2/manifests/latest",
        "/v2/x/unknown/y",
    ],
)
def test_no_endpoint(server: Live, path: str) -> None:
    error(server.http.get(path), 404, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("POST", "/v2/x/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/v2/x/tags/list", "GET, HEAD"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("PUT", "/v2/x/blobs/sha256:00", "DELETE, GET, HEAD"),
        ("GET", "/v2/x/blobs/uploads/", "POST"),
        ("POST", "/v2/x/blobs/uploads/id", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/v2/x/referrers/sha256:00", "GET, HEAD"),
        ("BREW", "/v2/x/tags/list", "GET, HEAD"),
    ],
)
def test_unknown_methods(server: Live, method: str, path: str, allowed: str) -> None:
    """405 with Allow (RFC 9110, section 15.5.6)."""
    answer = server.http.request(method, path)
    error(answer, 405, "UNSUPPORTED")
    assert answer.headers["allow"] == allowed


def test_names_that_look_like_endpoints(server: Live) -> None:
    """Components of a name may be called manifests, blobs, uploads, tags."""
    for name in ("manifests", "blobs/uploads", "tags/list", "a/manifests/b", "a/blobs/uploads/b"):
        digest = server.manifest(name, "list", image(server, name))
        assert server.http.get(f"/v2/{name}/manifests/{digest}").status_code == 200
        assert server.http.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["list"]}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/a/tags/list", "GET, HEAD"),
        ("/v2/a/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("/v2/a/blobs/uploads/", "POST"),
    ],
)
def test_options(server: Live, path: str, methods: str) -> None:
    """RFC 9110, section 9.3.7; browsers ask so, without credentials, on behalf of other sites."""
    answer = server.http.options(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["allow"] == methods
    error(server.http.options("/v2/nothing/of/the/kind"), 404, "UNSUPPORTED")
