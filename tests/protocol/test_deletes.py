"""Content management (OCI distribution specification, "Content Management")."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyreg.content.rules import Rules
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore
from tests.protocol.live import OCTETS, Live, digest_of, error
from tests.protocol.material import artifact, child, encoded, image, index


def test_deleting_tags(server: Live, name: str) -> None:
    """ "Deleting tags": 202, then 404; the manifest and its other tags stay."""
    digest = server.manifest(name, "a", image(server, name))
    server.manifest(name, "b", image(server, name))
    answer = server.http.delete(f"/v2/{name}/manifests/a")
    assert answer.status_code == 202
    assert answer.headers["content-length"] == "0"
    error(server.http.get(f"/v2/{name}/manifests/a"), 404, "MANIFEST_UNKNOWN")
    error(server.http.delete(f"/v2/{name}/manifests/a"), 404, "MANIFEST_UNKNOWN")
    for reference in ("b", digest):
        assert server.http.get(f"/v2/{name}/manifests/{reference}").status_code == 200
    assert server.http.get(f"/v2/{name}/tags/list").json()["tags"] == ["b"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_deleting_manifests(server: Live, name: str, algorithm: str) -> None:
    """ "Deleting Manifests": 202; the digest and every tag that points at it are then 404."""
    document = image(server, name)
    digest = server.manifest(name, digest_of(encoded(document), algorithm), document)
    other = server.manifest(name, "other", image(server, name, "other"))
    body = encoded(document)
    server.http.put(f"/v2/{name}/manifests/{digest}", params={"tag": ["a", "b", "c"]}, content=body)
    server.manifest(name, "b", image(server, name, "other"))  # no longer points there
    assert server.http.delete(f"/v2/{name}/manifests/{digest}").status_code == 202
    for reference in (digest, "a", "c"):
        error(server.http.get(f"/v2/{name}/manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    assert server.http.get(f"/v2/{name}/tags/list").json()["tags"] == ["b", "other"]
    assert server.http.head(f"/v2/{name}/manifests/b").headers["docker-content-digest"] == other
    error(server.http.delete(f"/v2/{name}/manifests/{digest}"), 404, "MANIFEST_UNKNOWN")
    server.manifest(name, digest, document)
    assert server.http.get(f"/v2/{name}/manifests/{digest}").content == body


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_deleting_blobs(server: Live, name: str, algorithm: str) -> None:
    """ "Deleting Blobs": 202, then 404; other repositories keep theirs."""
    digest = server.blob(name, b"deleted", algorithm)
    server.blob(f"{name}/other", b"deleted", algorithm)
    path = f"/v2/{name}/blobs/{digest}"
    assert server.http.delete(path).status_code == 202
    for method in ("GET", "DELETE"):
        error(server.http.request(method, path), 404, "BLOB_UNKNOWN")
    assert server.http.get(f"/v2/{name}/other/blobs/{digest}").content == b"deleted"
    server.blob(name, b"deleted", algorithm)
    assert server.http.get(path).content == b"deleted"


def test_an_unknown_repository(server: Live, name: str) -> None:
    """ "If the repository does not exist, the response MUST return 404"."""
    for path, code in (
        (f"manifests/{digest_of(b'x')}", "MANIFEST_UNKNOWN"),
        ("manifests/v1", "MANIFEST_UNKNOWN"),
        ("manifests/-no-tag", "MANIFEST_UNKNOWN"),
        (f"blobs/{digest_of(b'x')}", "BLOB_UNKNOWN"),
    ):
        error(server.http.delete(f"/v2/{name}/{path}"), 404, code)


def test_deleting_by_bad_digests(server: Live, name: str) -> None:
    for path in ("manifests/sha256:x", "blobs/sha256:x", "blobs/latest"):
        error(server.http.delete(f"/v2/{name}/{path}"), 400, "DIGEST_INVALID")


def test_children_of_a_deleted_index(server: Live, name: str) -> None:
    document = image(server, name)
    digest = server.manifest(name, None, document)
    both = server.manifest(name, "index", index(child(document)))
    server.http.delete(f"/v2/{name}/manifests/{both}")
    assert server.http.get(f"/v2/{name}/manifests/{digest}").status_code == 200


@pytest.fixture
def closed(start: Callable[..., Live]) -> Callable[[Rules], Live]:
    """Starts a registry under other rules on a store that has been filled under the usual ones."""

    def starter(rules: Rules) -> Live:
        store = InMemoryStore()
        first = start(InMemoryStorage(store))
        first.manifest("x", "v1", image(first, "x"))
        first.blob("x", b"blob")
        first.upload = first.begin("x")  # type: ignore[attr-defined]
        second = start(InMemoryStorage(store), rules=rules)
        second.upload = first.upload.replace(first.address, second.address)  # type: ignore[attr-defined]
        return second

    return starter


def test_deletes_are_disabled(closed: Callable[[Rules], Live]) -> None:
    """ "the registry MUST respond with either a 400 Bad Request or a 405"; the default."""
    server = closed(Rules())
    digest = server.http.head("/v2/x/manifests/v1").headers["docker-content-digest"]
    for path in (
        "manifests/v1",
        f"manifests/{digest}",
        f"blobs/{digest_of(b'blob')}",
        "manifests/unknown",
        f"manifests/{digest_of(b'unknown')}",
        f"blobs/{digest_of(b'unknown')}",
    ):
        entry = error(server.http.delete(f"/v2/x/{path}"), 405, "UNSUPPORTED")
        assert "storage.delete.enabled" in entry["message"]
    assert server.http.get("/v2/x/manifests/v1").status_code == 200
    assert server.http.delete(server.upload).status_code == 204  # type: ignore[attr-defined]


def test_readonly(closed: Callable[[Rules], Live]) -> None:
    """`storage.maintenance.readonly`: every write is a 405, every read works."""
    server = closed(Rules(delete=True, readonly=True))
    upload: str = server.upload  # type: ignore[attr-defined]
    answer = server.http.get("/v2/x/manifests/v1")
    digest, body = answer.headers["docker-content-digest"], answer.content
    query = {"digest": digest_of(b"blob")}
    uploads = "/v2/x/blobs/uploads/"
    for refused in (
        server.http.post(uploads),
        server.http.post(uploads, params=query, content=b"blob", headers=OCTETS),
        server.http.post(uploads, params={"mount": query["digest"], "from": "x"}),
        server.http.post("/v2/y/blobs/uploads/", params={"mount": query["digest"]}),
        server.patch(upload, b"blob"),
        server.finish(upload, query["digest"], b"blob"),
        server.finish(upload, query["digest"]),
        server.http.delete(upload),
        server.put_manifest("x", "v2", body, answer.headers["content-type"]),
        server.http.delete("/v2/x/manifests/v1"),
        server.http.delete(f"/v2/x/manifests/{digest}"),
        server.http.delete(f"/v2/x/blobs/{query['digest']}"),
    ):
        entry = error(refused, 405, "UNSUPPORTED")
        assert "read-only" in entry["message"]
    assert server.http.get(upload).status_code == 204
    assert server.http.get(f"/v2/x/blobs/{query['digest']}").content == b"blob"
    assert server.http.get("/v2/x/tags/list").json()["tags"] == ["v1"]
    assert server.http.get("/v2/_catalog").json()["repositories"] == ["x"]
    assert server.http.get(f"/v2/x/referrers/{digest}").status_code == 200


def test_readonly_writes_nothing(start: Callable[..., Live]) -> None:
    """Reads of a read-only registry leave the store as it is."""
    store = InMemoryStore()
    first = start(InMemoryStorage(store))
    subject = image(first, "x")
    digest = first.manifest("x", "v1", subject)
    first.manifest("x", None, artifact(first, "x", child(subject)))
    before = dict(store.objects)
    second = start(InMemoryStorage(store), rules=Rules(readonly=True))
    for path in (
        "x/manifests/v1",
        f"x/referrers/{digest}",
        "x/tags/list",
        "_catalog",
        f"x/blobs/{subject['config']['digest']}",
    ):
        assert second.http.get(f"/v2/{path}").status_code == 200
    assert store.objects == before
