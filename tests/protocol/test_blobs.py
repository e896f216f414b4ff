"""Pushing blobs (OCI distribution specification, "Pushing blobs")."""

from __future__ import annotations

import re
import uuid

import httpx
import pytest

from tests.protocol.live import OCTETS, Live, digest_of, error

DATA = b"0123456789" * 1000


def assert_pullable(server: Live, answer: httpx.Response, data: bytes) -> None:
    """The Location of a push is a pullable address."""
    assert answer.headers["content-length"] == "0"
    got = server.http.get(answer.headers["location"])
    assert got.status_code == 200
    assert got.content == data
    digest = answer.headers["docker-content-digest"]
    assert got.headers["docker-content-digest"] == digest
    assert digest_of(data, digest.partition(":")[0]) == digest


def test_a_session(server: Live, name: str) -> None:
    """ "POST then PUT": 202 with a Location that contains a UUID."""
    answer = server.http.post(f"/v2/{name}/blobs/uploads/")
    assert answer.status_code == 202
    assert answer.headers["content-length"] == "0"
    upload = answer.headers["docker-upload-uuid"]
    assert str(uuid.UUID(upload)) == upload
    assert upload in answer.headers["location"]
    assert answer.headers["range"] == "0-0"
    assert "oci-chunk-min-length" not in answer.headers
    without_slash = server.http.post(f"/v2/{name}/blobs/uploads")
    assert without_slash.status_code == 202
    assert without_slash.headers["docker-upload-uuid"] != upload


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_single_post(server: Live, name: str, algorithm: str) -> None:
    """ "Single POST", end-4b: 201 and a Location."""
    answer = server.http.post(
        f"/v2/{name}/blobs/uploads/",
        params={"digest": digest_of(DATA, algorithm)},
        content=DATA,
        headers=OCTETS,
    )
    assert answer.status_code == 201
    assert_pullable(server, answer, DATA)


def test_single_post_of_nothing(server: Live, name: str) -> None:
    answer = server.http.post(f"/v2/{name}/blobs/uploads/", params={"digest": digest_of(b"")})
    assert answer.status_code == 201
    assert_pullable(server, answer, b"")


def test_single_post_with_a_wrong_digest(server: Live, name: str) -> None:
    """ "Likewise, the <digest> MUST match the blob's digest"."""
    answer = server.http.post(
        f"/v2/{name}/blobs/uploads/", params={"digest": digest_of(b"other")}, content=DATA
    )
    entry = error(answer, 400, "DIGEST_INVALID")
    assert entry["detail"]["computed"] == digest_of(DATA)


INVALID = [
    "",
    "sha256",
    "sha256:",
    "sha256:abc",
    f"sha256:{'0' * 63}",
    f"sha256:{'0' * 65}",
    f"sha256:{'A' * 64}",
    f"sha256:{'g' * 64}",
    f"SHA256:{'0' * 64}",
    f"sha512:{'0' * 64}",
    f"sha256:{'0' * 64}\n",
    f" sha256:{'0' * 64}",
    f"sha256:{'٠' * 64}",
    "sha256:../../../etc/passwd",
    f"sha384:{'0' * 96}",
    f"md5:{'0' * 32}",
    f"blake3:{'0' * 64}",
    f"multihash+base58:{'Q' * 46}",
    "x" * 4000,
]


@pytest.mark.parametrize("digest", INVALID)
def test_invalid_digests(server: Live, name: str, digest: str) -> None:
    """ "if the client provided digest is invalid or uses an unsupported algorithm": 400."""
    path = f"/v2/{name}/blobs/uploads/"
    for query in ({"digest": digest}, {"mount": digest}, {"mount": digest, "from": name}):
        error(server.http.post(path, params=query, content=DATA), 400, "DIGEST_INVALID")
    location = server.begin(name)
    error(server.finish(location, digest, DATA), 400, "DIGEST_INVALID")
    # The upload was not at fault.
    assert server.finish(location, digest_of(DATA), DATA).status_code == 201


def test_closing_without_a_digest(server: Live, name: str) -> None:
    """The closing PUT MUST include the digest."""
    location = server.begin(name)
    error(server.http.put(location, content=DATA, headers=OCTETS), 400, "DIGEST_INVALID")


def test_two_digests(server: Live, name: str) -> None:
    """The first of several digest parameters counts, on every endpoint alike."""
    path = f"/v2/{name}/blobs/uploads/?digest={digest_of(DATA)}&digest={digest_of(b'')}"
    assert server.http.post(path, content=DATA, headers=OCTETS).status_code == 201


# Digest algorithms ("Pushing a blob in chunks", end-4c).


@pytest.mark.parametrize("announced", ["sha256", "sha512", None])
@pytest.mark.parametrize("used", ["sha256", "sha512"])
@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_digest_algorithms(
    server: Live, name: str, announced: str | None, used: str, chunks: int
) -> None:
    """Whatever was announced, the digest that closes the upload names the blob."""
    query = {"digest-algorithm": announced} if announced else {}
    location = server.begin(name, **query)
    size = len(DATA) // (chunks + 1)
    for number in range(chunks):
        answer = server.patch(location, DATA[number * size : (number + 1) * size], number * size)
        assert answer.status_code == 202
        location = answer.headers["location"]
    done = server.finish(location, digest_of(DATA, used), DATA[chunks * size :])
    assert done.status_code == 201
    assert done.headers["docker-content-digest"] == digest_of(DATA, used)
    assert_pullable(server, done, DATA)
    other = digest_of(DATA, "sha512" if used == "sha256" else "sha256")
    error(server.http.get(f"/v2/{name}/blobs/{other}"), 404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("algorithm", ["sha384", "md5", "SHA256", "sha256:", "../x", "x" * 3000])
def test_unsupported_algorithms(server: Live, name: str, algorithm: str) -> None:
    answer = server.http.post(f"/v2/{name}/blobs/uploads/", params={"digest-algorithm": algorithm})
    error(answer, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_empty_blob(server: Live, name: str, algorithm: str) -> None:
    """A blob of no bytes, closed without any, with an empty chunk, and announced."""
    digest = digest_of(b"", algorithm)
    for prepare in (lambda at: None, lambda at: server.patch(at, b"")):
        location = server.begin(name)
        prepare(location)
        done = server.finish(location, digest)
        assert done.status_code == 201, done.text
        assert_pullable(server, done, b"")


# Chunks ("Pushing a blob in chunks").


def test_chunk_headers(server: Live, name: str) -> None:
    """Each chunk: 202, Location, Range; GET: 204 with both, wherever the upload stands."""
    location = server.begin(name)
    for start in range(0, 10_000, 2500):
        answer = server.patch(location, DATA[start : start + 2500], start)
        assert answer.status_code == 202
        assert answer.headers["content-length"] == "0"
        assert answer.headers["range"] == f"0-{start + 2499}"
        assert re.search(r"[0-9a-f-]{36}", answer.headers["location"])
        for method in ("GET", "HEAD"):
            status = server.http.request(method, answer.headers["location"])
            assert status.status_code == 204
            assert status.headers["range"] == f"0-{start + 2499}"
            assert status.headers["docker-upload-uuid"] == answer.headers["docker-upload-uuid"]
            assert "content-length" not in status.headers
        location = status.headers["location"]
    done = server.finish(location, digest_of(DATA))
    assert done.status_code == 201
    assert_pullable(server, done, DATA)
    error(server.http.get(location), 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("start", [0, 999, 1001, 2000, 10**17])
def test_chunks_out_of_order(server: Live, name: str, start: int) -> None:
    """416 for a chunk, and for a final chunk, that does not follow the last one."""
    location = server.begin(name)
    server.patch(location, DATA[:1000], 0)
    refused = server.patch(location, DATA[:500], start)
    error(refused, 416, "RANGE_INVALID")
    assert refused.headers["range"] == "0-999"
    assert server.http.get(refused.headers["location"]).status_code == 204
    closing = server.finish(
        location, digest_of(DATA), DATA[:500], **{"Content-Range": f"{start}-{start + 499}"}
    )
    error(closing, 416, "RANGE_INVALID")
    empty = server.finish(location, digest_of(DATA), b"", **{"Content-Range": f"{start}-{start}"})
    error(empty, 416, "RANGE_INVALID")
    status = server.http.get(location)
    assert status.status_code == 204
    assert status.headers["range"] == "0-999"
    done = server.finish(
        status.headers["location"], digest_of(DATA), DATA[1000:], **{"Content-Range": "1000-9999"}
    )
    assert done.status_code == 201
    assert_pullable(server, done, DATA)


def test_the_first_chunk_begins_at_zero(server: Live, name: str) -> None:
    """ "The first chunk's range MUST begin with 0"."""
    location = server.begin(name)
    error(server.patch(location, DATA, 1), 416, "RANGE_INVALID")
    assert server.patch(location, DATA, 0).status_code == 202


def test_chunks_without_a_range(server: Live, name: str) -> None:
    """Docker's engine sends no Content-Range; chunks then follow each other."""
    location = server.begin(name)
    for start in range(0, 10_000, 5000):
        answer = server.patch(location, DATA[start : start + 5000])
        assert answer.status_code == 202
    done = server.finish(location, digest_of(DATA))
    assert_pullable(server, done, DATA)


@pytest.mark.parametrize("form", ["bytes {}", "bytes={}", "{}/*", "bytes {}/10000"])
def test_forms_of_content_range(server: Live, name: str, form: str) -> None:
    """RFC 9110's own form of Content-Range is understood beside the specification's."""
    location = server.begin(name)
    headers = {**OCTETS, "Content-Range": form.format("0-9999")}
    answer = server.http.patch(location, content=DATA, headers=headers)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("0-9998", 400, "SIZE_INVALID"),
        ("0-10000", 400, "SIZE_INVALID"),
        ("0-0", 400, "SIZE_INVALID"),
        ("5-4", 400, "SIZE_INVALID"),
        ("1000-0", 400, "SIZE_INVALID"),
        ("", 416, "RANGE_INVALID"),
        ("0", 416, "RANGE_INVALID"),
        ("-9999", 416, "RANGE_INVALID"),
        ("0-", 416, "RANGE_INVALID"),
        ("a-b", 416, "RANGE_INVALID"),
        ("0-9999,0-9999", 416, "RANGE_INVALID"),
        ("-1-9998", 416, "RANGE_INVALID"),
        ("0x0-0x10", 416, "RANGE_INVALID"),
        ("9" * 30 + "-" + "9" * 31, 416, "RANGE_INVALID"),
    ],
)
def test_a_content_range_that_lies(
    server: Live, name: str, header: str, status: int, code: str
) -> None:
    """What Content-Range says and what comes must agree; if not, nothing is kept."""
    location = server.begin(name)
    headers = {**OCTETS, "Content-Range": header}
    error(server.http.patch(location, content=DATA, headers=headers), status, code)
    closing = server.finish(location, digest_of(DATA), DATA, **{"Content-Range": header})
    error(closing, status, code)
    assert server.http.get(location).headers["range"] == "0-0"
    done = server.finish(location, digest_of(DATA), DATA)
    assert_pullable(server, done, DATA)


def test_a_content_range_that_lies_about_a_stream(server: Live, name: str) -> None:
    """Without Content-Length the bytes are counted: too many are forgotten, too few are kept."""
    location = server.begin(name)
    for claimed in (5000, 20_000):
        answer = server.http.patch(
            location,
            content=iter([DATA[:6000], DATA[6000:]]),
            headers={**OCTETS, "Content-Range": f"0-{claimed - 1}"},
        )
        error(answer, 400, "SIZE_INVALID")
    status = server.http.get(location)
    assert status.headers["range"] == "0-9999"
    assert_pullable(server, server.finish(location, digest_of(DATA)), DATA)


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data"])
def test_wrong_content_types(server: Live, name: str, kind: str) -> None:
    """A blob is application/octet-stream."""
    location = server.begin(name)
    headers = {"Content-Type": kind}
    query = {"digest": digest_of(DATA)}
    url = httpx.URL(location).copy_merge_params(query)
    for answer in (
        server.http.patch(location, content=DATA, headers=headers),
        server.http.put(url, content=DATA, headers=headers),
        server.http.post(f"/v2/{name}/blobs/uploads/", params=query, content=DATA, headers=headers),
    ):
        error(answer, 400, "BLOB_UPLOAD_INVALID")
    assert server.http.get(location).headers["range"] == "0-0"


@pytest.mark.parametrize("kind", [None, "application/octet-stream; charset=binary", ""])
def test_lenient_content_types(server: Live, name: str, kind: str | None) -> None:
    """Clients leave the type out, or add parameters."""
    location = server.begin(name)
    headers = {} if kind is None else {"Content-Type": kind}
    assert server.http.patch(location, content=DATA, headers=headers).status_code == 202


def test_a_wrong_digest_ends_the_upload(server: Live, name: str) -> None:
    location = server.begin(name)
    server.patch(location, DATA)
    error(server.finish(location, digest_of(b"other")), 400, "DIGEST_INVALID")
    error(server.http.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
    error(server.http.get(f"/v2/{name}/blobs/{digest_of(DATA)}"), 404, "BLOB_UNKNOWN")


def test_cancel(server: Live, name: str) -> None:
    """ "Cancel a blob upload": 204, then 404."""
    for prepare in (lambda at: None, lambda at: server.patch(at, DATA)):
        location = server.begin(name)
        prepare(location)
        answer = server.http.delete(location)
        assert answer.status_code == 204
        assert answer.headers["docker-upload-uuid"] in location
        error(server.http.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
        error(server.patch(location, DATA), 404, "BLOB_UPLOAD_UNKNOWN")
        error(server.finish(location, digest_of(DATA), DATA), 404, "BLOB_UPLOAD_UNKNOWN")
        error(server.http.delete(location), 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize(
    "upload",
    [
        "00000000-0000-4000-8000-000000000000",
        "nonsense",
        "..",
        "%2e%2e",
        "%00",
        "A0000000-0000-4000-8000-00000000000A",
        "{00000000-0000-4000-8000-000000000000}",
        "00000000000040008000000000000000",
        "x" * 2000,
    ],
)
def test_unknown_uploads(server: Live, name: str, upload: str) -> None:
    location = f"/v2/{name}/blobs/uploads/{upload}"
    if upload == "..":
        location = f"/v2/{name}/blobs/uploads/%2e%2e"  # the client would resolve it
    query = {"digest": digest_of(DATA)}
    for answer in (
        server.http.get(location),
        server.patch(location, DATA),
        server.http.put(location, params=query, content=DATA),
        server.http.delete(location),
    ):
        error(answer, 404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_belongs_to_its_repository(server: Live, name: str) -> None:
    location = server.begin(name)
    elsewhere = location.replace(f"/{name}/", f"/{name}/other/")
    error(server.http.get(elsewhere), 404, "BLOB_UPLOAD_UNKNOWN")
    error(server.patch(elsewhere, DATA), 404, "BLOB_UPLOAD_UNKNOWN")


def test_pushing_what_is_there(server: Live, name: str) -> None:
    """The same blob again, in the same and in another repository."""
    for repository in (name, name, f"{name}/other"):
        done = server.finish(server.begin(repository), digest_of(DATA), DATA)
        assert done.status_code == 201
        assert_pullable(server, done, DATA)


# Mounting ("Mounting a blob from another repository", end-11).


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("source", [True, False])
def test_mount(server: Live, name: str, algorithm: str, source: bool) -> None:
    """201, Location, digest; `from` is optional."""
    data = f"mounted {name}".encode()
    digest = server.blob(f"{name}/source", data, algorithm)
    query = {"mount": digest} | ({"from": f"{name}/source"} if source else {})
    answer = server.http.post(f"/v2/{name}/blobs/uploads/", params=query)
    assert answer.status_code == 201
    assert f"/v2/{name}/blobs/" in answer.headers["location"]
    assert_pullable(server, answer, data)


def test_mount_of_what_is_not_there(server: Live, name: str) -> None:
    """202: the session has begun, and the client may go on with the upload."""
    digest = server.blob(f"{name}/source", DATA + name.encode())
    for query in (
        {"mount": digest_of(b"nothing")},
        {"mount": digest_of(b"nothing"), "from": f"{name}/source"},
        {"mount": digest, "from": f"{name}/elsewhere"},
        {"mount": digest, "from": name},
    ):
        answer = server.http.post(f"/v2/{name}/blobs/uploads/", params=query)
        assert answer.status_code == 202
        done = server.finish(answer.headers["location"], digest_of(DATA), DATA)
        assert done.status_code == 201


@pytest.mark.parametrize("source", ["..", "../x", "UPPER", "a//b", "a\x00b", "ü", "x" * 300])
def test_mount_from_a_bad_name(server: Live, name: str, source: str) -> None:
    answer = server.http.post(
        f"/v2/{name}/blobs/uploads/", params={"mount": digest_of(DATA), "from": source}
    )
    error(answer, 400, "NAME_INVALID")


def test_a_deleted_blob_is_not_mounted_from_there(server: Live, name: str) -> None:
    digest = server.blob(f"{name}/source", b"deleted " + name.encode())
    server.http.delete(f"/v2/{name}/source/blobs/{digest}")
    query = {"mount": digest, "from": f"{name}/source"}
    assert server.http.post(f"/v2/{name}/blobs/uploads/", params=query).status_code == 202
