"""The protocol suite: the core of the specification, under every server and on every storage."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from tests.fixtures.wire import OCI_INDEX, OCI_MANIFEST
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import ALL_TYPES, artifact, child, encoded, image, index
from tests.protocol.raw import Raw


def test_support(every_server: Live) -> None:
    """Determining Support, end-1."""
    answer = every_server.http.get("/v2/")
    assert answer.status_code == 200
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    assert answer.json() == {}


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_push_and_pull(every_server: Live, name: str, algorithm: str) -> None:
    """Pushing and pulling a whole image: end-2, end-3, end-4b, end-7a."""
    document = image(every_server, name, algorithm, algorithm=algorithm)
    body = encoded(document)
    digest = digest_of(body, algorithm)
    assert every_server.manifest(name, digest, document) == digest
    every_server.manifest(name, "v1", document)
    answer = every_server.http.get(f"/v2/{name}/manifests/{digest}")
    assert answer.status_code == 200
    assert answer.content == body
    assert answer.headers["content-type"] == OCI_MANIFEST
    assert answer.headers["docker-content-digest"] == digest
    for item in [document["config"], *document["layers"]]:
        got = every_server.http.get(f"/v2/{name}/blobs/{item['digest']}")
        assert got.status_code == 200
        assert got.headers["docker-content-digest"] == item["digest"]
        assert digest_of(got.content, algorithm) == item["digest"]
        head = every_server.http.head(f"/v2/{name}/blobs/{item['digest']}")
        assert head.status_code == 200
        assert int(head.headers["content-length"]) == item["size"]
        assert head.content == b""
    tagged = every_server.http.get(f"/v2/{name}/manifests/v1", headers={"Accept": ALL_TYPES})
    assert tagged.content == body
    assert every_server.http.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["v1"]}
    assert name in every_server.follow("/v2/_catalog?n=1000")[-1]["repositories"]


@pytest.mark.parametrize("size", [0, 1, 524_287, 524_288, 524_289, 3_000_000])
def test_post_then_put(every_server: Live, name: str, size: int) -> None:
    """Pushing a blob monolithically, POST then PUT: end-4a, end-6."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    digest = digest_of(data)
    done = every_server.finish(every_server.begin(name), digest, data)
    assert done.status_code == 201, done.text
    assert done.headers["docker-content-digest"] == digest
    assert every_server.http.get(done.headers["location"]).content == data


def test_chunks(every_server: Live, name: str) -> None:
    """Pushing a blob in chunks: end-5, end-6, end-13, with 416 for those out of order."""
    data = b"0123456789" * 50_000
    location = every_server.begin(name)
    first = every_server.patch(location, data[:200_000], 0)
    assert first.status_code == 202, first.text
    assert first.headers["range"] == "0-199999"
    early = every_server.patch(location, data[300_000:], 300_000)
    error(early, 416, "RANGE_INVALID")
    status = every_server.http.get(location)
    assert status.status_code == 204
    assert status.headers["range"] == "0-199999"
    wrong = every_server.finish(
        location, digest_of(data), data[300_000:], **{"Content-Range": "300000-499999"}
    )
    error(wrong, 416, "RANGE_INVALID")
    second = every_server.patch(status.headers["location"], data[200_000:400_000], 200_000)
    assert second.status_code == 202, second.text
    assert second.headers["range"] == "0-399999"
    done = every_server.finish(
        second.headers["location"],
        digest_of(data),
        data[400_000:],
        **{"Content-Range": "400000-499999"},
    )
    assert done.status_code == 201, done.text
    assert every_server.http.get(done.headers["location"]).content == data


def test_a_chunked_request(every_server: Live, name: str) -> None:
    """A body without Content-Length, as Docker's engine sends it."""
    data = b"streamed" * 100_000
    location = every_server.begin(name)
    answer = every_server.http.patch(
        location, content=(data[at : at + 65_536] for at in range(0, len(data), 65_536))
    )
    assert answer.status_code == 202, answer.text
    done = every_server.finish(answer.headers["location"], digest_of(data))
    assert done.status_code == 201
    assert every_server.http.get(done.headers["location"]).content == data


def test_wrong_digest(every_server: Live, name: str) -> None:
    """A blob that has another digest is refused, and nothing of it can be seen."""
    digest = digest_of(b"other")
    error(every_server.finish(every_server.begin(name), digest, b"data"), 400, "DIGEST_INVALID")
    error(every_server.http.get(f"/v2/{name}/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    error(every_server.http.get(f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN")


def test_cancel(every_server: Live, name: str) -> None:
    """Cancel a blob upload, end-14."""
    location = every_server.begin(name)
    every_server.patch(location, b"data")
    assert every_server.http.delete(location).status_code == 204
    for method in ("GET", "DELETE"):
        error(every_server.http.request(method, location), 404, "BLOB_UPLOAD_UNKNOWN")
    error(every_server.patch(location, b"more"), 404, "BLOB_UPLOAD_UNKNOWN")


def test_mount(every_server: Live, name: str) -> None:
    """Mounting a blob from another repository, end-11."""
    digest = every_server.blob(f"{name}/source", b"mounted")
    path = f"/v2/{name}/blobs/uploads/"
    for query in ({"from": f"{name}/source"}, {}):
        answer = every_server.http.post(path, params={"mount": digest, **query})
        assert answer.status_code == 201, answer.text
        assert every_server.http.get(answer.headers["location"]).content == b"mounted"
    missing = {"mount": digest_of(b"missing"), "from": f"{name}/source"}
    assert every_server.http.post(path, params=missing).status_code == 202


def test_tag_parameters(every_server: Live, name: str) -> None:
    """Pushing Manifests, end-7b: tags as parameters, each confirmed by OCI-Tag."""
    document = image(every_server, name)
    body = encoded(document)
    wanted = [f"v{number}" for number in range(12)]
    answer = every_server.http.put(
        f"/v2/{name}/manifests/{digest_of(body)}",
        params={"tag": wanted},
        content=body,
        headers={"Content-Type": OCI_MANIFEST},
    )
    assert answer.status_code == 201, answer.text
    confirmed = [
        tag.strip() for line in answer.headers.get_list("oci-tag") for tag in line.split(",")
    ]
    assert confirmed == wanted
    assert every_server.http.get(f"/v2/{name}/tags/list").json()["tags"] == sorted(wanted)


def test_referrers(every_server: Live, name: str) -> None:
    """Listing Referrers: end-12a, end-12b."""
    subject = image(every_server, name)
    referrer = artifact(every_server, name, child(subject))
    answer = every_server.put_manifest(name, None, referrer)
    assert answer.status_code == 201, answer.text
    assert answer.headers["oci-subject"] == child(subject)["digest"]
    listed = every_server.http.get(f"/v2/{name}/referrers/{child(subject)['digest']}")
    assert listed.headers["content-type"] == OCI_INDEX
    assert [item["digest"] for item in listed.json()["manifests"]] == [child(referrer)["digest"]]
    filtered = every_server.http.get(
        f"/v2/{name}/referrers/{child(subject)['digest']}", params={"artifactType": "none/such"}
    )
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert filtered.json()["manifests"] == []


def test_an_index(every_server: Live, name: str) -> None:
    """An index needs its children."""
    one, two = image(every_server, name, 1), image(every_server, name, 2)
    every_server.manifest(name, None, one)
    both = index(child(one), child(two))
    entry = error(every_server.put_manifest(name, "both", both), 400, "MANIFEST_BLOB_UNKNOWN")
    assert entry["detail"]["digest"] == child(two)["digest"]
    every_server.manifest(name, None, two)
    every_server.manifest(name, "both", both)
    got = every_server.http.get(f"/v2/{name}/manifests/both", headers={"Accept": OCI_INDEX})
    assert got.json() == both


def test_delete(every_server: Live, name: str) -> None:
    """Content Management: end-9, end-10."""
    document = image(every_server, name)
    digest = every_server.manifest(name, "v1", document)
    every_server.manifest(name, "v2", document)
    assert every_server.http.delete(f"/v2/{name}/manifests/v1").status_code == 202
    error(every_server.http.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")
    assert every_server.http.get(f"/v2/{name}/manifests/{digest}").status_code == 200
    assert every_server.http.delete(f"/v2/{name}/manifests/{digest}").status_code == 202
    for reference in (digest, "v2"):
        path = f"/v2/{name}/manifests/{reference}"
        error(every_server.http.get(path), 404, "MANIFEST_UNKNOWN")
        error(every_server.http.delete(path), 404, "MANIFEST_UNKNOWN")
    path = f"/v2/{name}/blobs/{document['config']['digest']}"
    assert every_server.http.delete(path).status_code == 202
    error(every_server.http.get(path), 404, "BLOB_UNKNOWN")
    error(every_server.http.delete(path), 404, "BLOB_UNKNOWN")


def test_ranges(every_server: Live, name: str) -> None:
    """Pulling blobs: the Range header (RFC 9110, section 14)."""
    data = bytes(range(256)) * 4096
    path = f"/v2/{name}/blobs/{every_server.blob(name, data)}"
    for header, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=1000-500000", 1000, 500_001),
        ("bytes=1048575-", 1_048_575, 1_048_576),
        ("bytes=-10", 1_048_566, 1_048_576),
        ("bytes=5-99999999", 5, 1_048_576),
    ):
        answer = every_server.http.get(path, headers={"Range": header})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/1048576"
        assert answer.content == data[start:stop]
    answer = every_server.http.get(path, headers={"Range": "bytes=1048576-"})
    error(answer, 416, "RANGE_INVALID")
    assert answer.headers["content-range"] == "bytes */1048576"


def test_conditional_requests(every_server: Live, name: str) -> None:
    """If-None-Match (RFC 9110, section 13.1.2)."""
    document = image(every_server, name)
    digest = every_server.manifest(name, "v1", document)
    paths = ("manifests/v1", f"manifests/{digest}", f"blobs/{document['config']['digest']}")
    for path in paths:
        full = every_server.http.get(f"/v2/{name}/{path}")
        for method in ("GET", "HEAD"):
            again = every_server.http.request(
                method, f"/v2/{name}/{path}", headers={"If-None-Match": full.headers["etag"]}
            )
            assert again.status_code == 304
            assert again.content == b""
            assert again.headers["etag"] == full.headers["etag"]


def test_head_of_errors(every_server: Live, name: str) -> None:
    """A HEAD request's error has no body."""
    for path in (f"{name}/manifests/none", f"{name}/blobs/{digest_of(b'none')}", "_catalog/x"):
        answer = every_server.http.head(f"/v2/{path}")
        assert answer.status_code == 404
        assert answer.content == b""


def test_encoded_slashes_and_dots(every_server: Live) -> None:
    """Tricks with paths lead nowhere."""
    with Raw(every_server.port) as raw:
        for path in (
            "/v2/a%2fb/tags/list",
            "/v2/a%2Fb/tags/list",
            "/v2/..%2f..%2fetc/tags/list",
            "/v2/%2e%2e/%2e%2e/tags/list",
            "/v2/../../etc/tags/list",
            "/v2/a/../b/tags/list",
            "/v2/a%00b/tags/list",
            "/v2/a/%00/tags/list",
            "/v2/%c3%bc/tags/list",
            "/v2//tags/list",
            "/v2/a//b/tags/list",
        ):
            answer = raw.ask("GET", path)
            assert answer.status in (400, 404), (path, answer)
            assert json.loads(answer.body)["errors"][0]["code"] in ("NAME_INVALID", "UNSUPPORTED")


def test_an_empty_name(every_server: Live) -> None:
    """A repository has a name, also where something is to be written."""
    with Raw(every_server.port) as raw:
        answer = raw.ask("POST", "/v2//blobs/uploads/", {"Content-Length": "0"})
        assert answer.status == 400
        assert json.loads(answer.body)["errors"][0]["code"] == "NAME_INVALID"


def test_many_at_once(every_server: Live, name: str) -> None:
    """Sixteen clients push and pull the same and different things at the same time."""
    failures: list[BaseException] = []
    base = every_server.http.base_url

    def client(number: int) -> None:
        try:
            with httpx.Client(base_url=base, trust_env=False, timeout=30) as http:
                for data in (b"shared", f"own {number}".encode() * 10_000):
                    digest = digest_of(data)
                    answer = http.post(
                        f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=data
                    )
                    assert answer.status_code == 201, answer.text
                    assert http.get(f"/v2/{name}/blobs/{digest}").content == data
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_the_log_is_clean(every_server: Live) -> None:
    """Nothing of the above was an error of the registry's; runs last in this module."""
    every_server.check_log()
