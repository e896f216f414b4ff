"""Pushing manifests (OCI distribution specification, "Pushing Manifests")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pyreg.content.media_types import SCHEMA1
from pyreg.content.rules import Rules
from tests.fixtures.wire import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import (
    CONFIG,
    Document,
    artifact,
    child,
    descriptor,
    docker_image,
    encoded,
    image,
    index,
)

MISSING = b"never pushed"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_push_by_digest(server: Live, name: str, algorithm: str) -> None:
    """201, a pullable Location, and exactly the digest that the client gave."""
    body = encoded(image(server, name))
    digest = digest_of(body, algorithm)
    answer = server.put_manifest(name, digest, body, OCI_MANIFEST)
    assert answer.status_code == 201
    assert answer.headers["content-length"] == "0"
    assert answer.headers["docker-content-digest"] == digest
    assert "oci-tag" not in answer.headers
    assert "oci-subject" not in answer.headers
    got = server.http.get(answer.headers["location"])
    assert got.content == body
    assert got.headers["docker-content-digest"] == digest
    assert server.http.get(f"/v2/{name}/tags/list").json()["tags"] == []


def test_push_by_tag(server: Live, name: str) -> None:
    """201; the Location names the digest, so that it stays true when the tag moves."""
    body = encoded(image(server, name))
    answer = server.put_manifest(name, "v1", body, OCI_MANIFEST)
    assert answer.status_code == 201
    assert answer.headers["location"].endswith(f"/manifests/{digest_of(body)}")
    assert server.http.get(answer.headers["location"]).content == body


def test_a_tag_moves(server: Live, name: str) -> None:
    documents = [image(server, name, number) for number in range(3)]
    for document in [*documents, documents[0]]:
        server.manifest(name, "latest", document)
        got = server.http.get(f"/v2/{name}/manifests/latest")
        assert got.content == encoded(document)
    for document in documents:
        path = f"/v2/{name}/manifests/{child(document)['digest']}"
        assert server.http.get(path).status_code == 200


def test_push_by_another_digest(server: Live, name: str) -> None:
    body = encoded(image(server, name))
    for algorithm in ("sha256", "sha512"):
        wrong = digest_of(b"other", algorithm)
        entry = error(server.put_manifest(name, wrong, body, OCI_MANIFEST), 400, "DIGEST_INVALID")
        assert entry["detail"]["computed"] == digest_of(body, algorithm)
        error(server.http.get(f"/v2/{name}/manifests/{wrong}"), 404, "MANIFEST_UNKNOWN")


def test_byte_for_byte(server: Live, name: str) -> None:
    """ "The registry MUST store the manifest in the exact byte representation"."""
    document = image(server, name, annotations={"schön": "größer", "z": "1", "a": "2"})
    plain = json.dumps(document, indent=7, ensure_ascii=False)
    forms = [
        plain.encode(),
        json.dumps(document, ensure_ascii=True).encode(),
        ("\n\t " + plain + "\r\n\n").encode(),
        json.dumps(document, separators=(" ,", " : ")).encode(),
        json.dumps(dict(reversed(document.items()))).encode(),
        encoded(document).replace(b'"schemaVersion"', b'"\\u0073chemaVersion"'),
        encoded(document).replace(b"/", b"\\/"),
        encoded({**document, "unknown": {"deep": [1.50, 1e2, None, True, "\ud800"]}}),
    ]
    for number, body in enumerate(forms):
        server.manifest(name, f"form{number}", body, OCI_MANIFEST)
        got = server.http.get(f"/v2/{name}/manifests/form{number}")
        assert got.content == body
        assert got.headers["docker-content-digest"] == digest_of(body)
    assert len({digest_of(body) for body in forms}) == len(forms)


def test_docker_media_types(server: Live, name: str) -> None:
    """Docker's schema 2 and manifest list, beside OCI's."""
    document = docker_image(server, name)
    server.manifest(name, "image", document)
    server.manifest(name, "list", index(child(document), media_type=DOCKER_LIST))
    for tag, kind in (("image", DOCKER_MANIFEST), ("list", DOCKER_LIST)):
        got = server.http.get(f"/v2/{name}/manifests/{tag}", headers={"Accept": kind})
        assert got.headers["content-type"] == kind


@pytest.mark.parametrize(
    "content_type",
    [
        OCI_MANIFEST,
        OCI_MANIFEST.upper(),
        f"{OCI_MANIFEST}; charset=utf-8",
        "application/json",
        "application/octet-stream",
    ],
)
def test_content_types(server: Live, name: str, content_type: str) -> None:
    """ "The registry SHOULD ignore parameters on the Content-Type header"."""
    server.manifest(name, "v1", image(server, name), content_type)
    answer = server.http.get(f"/v2/{name}/manifests/v1")
    assert answer.headers["content-type"] == OCI_MANIFEST


@pytest.mark.parametrize("kind", [OCI_MANIFEST, OCI_INDEX])
def test_without_a_media_type(server: Live, name: str, kind: str) -> None:
    """mediaType is only a SHOULD; without it, the Content-Type decides, or else the shape."""
    document = image(server, name)
    server.manifest(name, None, document)
    if kind == OCI_INDEX:
        document = index(child(document))
    del document["mediaType"]
    server.manifest(name, "v1", document, kind)
    assert server.http.get(f"/v2/{name}/manifests/v1").headers["content-type"] == kind
    body = encoded(document) + b" "
    answer = server.http.put(f"/v2/{name}/manifests/v2", content=body)
    assert answer.status_code == 201
    assert server.http.get(f"/v2/{name}/manifests/v2").headers["content-type"] == kind


@pytest.mark.parametrize(
    "content_type",
    [
        OCI_INDEX,
        DOCKER_MANIFEST,
        "text/html",
        "application/vnd.oci.artifact.manifest.v1+json",
        "x" * 3000,
        "/",
    ],
)
def test_a_content_type_that_differs(server: Live, name: str, content_type: str) -> None:
    """ "clients MUST set the Content-Type header to the value specified by mediaType"."""
    answer = server.put_manifest(name, "v1", image(server, name), content_type)
    error(answer, 400, "MANIFEST_INVALID")
    error(server.http.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("kind", sorted(SCHEMA1))
def test_schema_1(server: Live, name: str, kind: str) -> None:
    """Refused, in words that tell the user what to do."""
    document = {"schemaVersion": 1, "name": name, "tag": "v1", "fsLayers": [], "history": []}
    for content_type in (kind, "application/json"):
        entry = error(
            server.put_manifest(name, "v1", document, content_type), 400, "MANIFEST_INVALID"
        )
        assert "schema 1 is not supported" in entry["message"]
        assert "schema 2" in entry["message"]


@pytest.mark.parametrize("count", [1, 10, 50])
def test_tag_parameters(server: Live, name: str, count: int) -> None:
    """end-7b: at least ten tags, each confirmed in OCI-Tag, and all of them there."""
    body = encoded(image(server, name))
    wanted = [f"tag-{number}" for number in range(count)]
    for algorithm in ("sha256", "sha512"):
        digest = digest_of(body, algorithm)
        answer = server.http.put(
            f"/v2/{name}/manifests/{digest}",
            params={"tag": wanted},
            content=body,
            headers={"Content-Type": OCI_MANIFEST},
        )
        assert answer.status_code == 201
        lines = ",".join(answer.headers.get_list("oci-tag"))
        assert [tag.strip() for tag in lines.split(",")] == wanted
        for tag in wanted:
            got = server.http.head(f"/v2/{name}/manifests/{tag}")
            assert got.headers["docker-content-digest"] == digest


def test_tag_parameters_that_cannot_be(server: Live, name: str) -> None:
    """One bad tag, or tags on a push by tag: nothing happens. Too many: 414."""
    body = encoded(image(server, name))
    path = f"/v2/{name}/manifests/{digest_of(body)}"
    headers = {"Content-Type": OCI_MANIFEST}

    def push(path: str, tags: list[str]) -> Any:
        return server.http.put(path, params={"tag": tags}, content=body, headers=headers)

    error(push(path, ["good", "-bad"]), 400, "TAG_INVALID")
    error(push(path, ["good", ""]), 400, "TAG_INVALID")
    error(push(path, ["good", digest_of(body)]), 400, "TAG_INVALID")
    error(push(f"/v2/{name}/manifests/v1", ["good"]), 400, "TAG_INVALID")
    assert push(path, [f"t{number}" for number in range(500)]).status_code == 414
    error(server.http.get(path), 404, "MANIFEST_UNKNOWN")
    error(server.http.get(f"/v2/{name}/manifests/good"), 404, "MANIFEST_UNKNOWN")


def test_the_same_tag_twice(server: Live, name: str) -> None:
    body = encoded(image(server, name))
    answer = server.http.put(
        f"/v2/{name}/manifests/{digest_of(body)}?tag=a&tag=b&tag=a",
        content=body,
        headers={"Content-Type": OCI_MANIFEST},
    )
    assert answer.headers.get_list("oci-tag") == ["a, b"]


def test_many_tags_are_few_headers(server: Live, name: str) -> None:
    """RFC 9110, section 5.3: a list in few lines. Many clients take no more than 100 headers."""
    body = encoded(image(server, name))
    tags = [f"t{number}" for number in range(99)]
    answer = server.http.put(
        f"/v2/{name}/manifests/{digest_of(body)}?" + "&".join(f"tag={tag}" for tag in tags),
        content=body,
        headers={"Content-Type": OCI_MANIFEST},
    )
    assert answer.status_code == 201
    lines = answer.headers.get_list("oci-tag")
    assert len(lines) == 10
    assert [tag.strip() for line in lines for tag in line.split(",")] == tags


def test_conditional_pushes(server: Live, name: str) -> None:
    """RFC 9110, section 13.1, on the tag, or the digest, that is pushed to."""
    old, new = encoded(image(server, name)), encoded(index())
    path, here = f"/v2/{name}/manifests/v1", f'"{digest_of(old)}"'

    def push(body: bytes, at: str = path, kind: str = OCI_INDEX, **condition: str) -> int:
        headers = {name.replace("_", "-"): value for name, value in condition.items()}
        answer = server.http.put(at, content=body, headers={"Content-Type": kind, **headers})
        if answer.status_code == 412:
            error(answer, 412, "DENIED")
        return answer.status_code

    assert push(old, kind=OCI_MANIFEST, If_Match="*") == 412
    assert server.http.get(path).status_code == 404
    assert push(old, kind=OCI_MANIFEST, If_None_Match="*") == 201
    assert push(new, If_None_Match="*") == 412
    assert push(new, If_None_Match=f'"sha256:{"0" * 64}", {here}') == 412
    assert push(new, If_Match=f'"sha256:{"0" * 64}"') == 412
    assert push(new, If_Match=f"W/{here}") == 412  # compared strongly
    assert server.http.get(path).headers["etag"] == here
    assert push(new, If_Match=f'"sha256:{"0" * 64}", {here}') == 201
    assert push(new, If_Match="*", If_None_Match=here) == 201
    by_digest = f"/v2/{name}/manifests/{digest_of(new)}"
    assert push(new, by_digest, If_None_Match="*") == 412
    assert push(new, by_digest, If_Match="*") == 201


TAGS = ["-a", ".a", "a b", "a:b", "ä", "a\x00", "", "a" * 129, "a%", "a\n", "..", "a+b"]


@pytest.mark.parametrize("tag", TAGS[:6] + TAGS[7:10] + TAGS[11:])
def test_bad_tags(server: Live, name: str, tag: str) -> None:
    """A tag MUST have at most 128 characters and match its expression."""
    from urllib.parse import quote

    body = encoded(image(server, name))
    answer = server.http.put(
        f"/v2/{name}/manifests/{quote(tag, safe='')}",
        content=body,
        headers={"Content-Type": OCI_MANIFEST},
    )
    error(answer, 400, "DIGEST_INVALID" if ":" in tag else "TAG_INVALID")


@pytest.mark.parametrize("tag", ["a", "A" * 128, "_", "0", "a.b-c_d", "__--..", "latest"])
def test_good_tags(server: Live, name: str, tag: str) -> None:
    server.manifest(name, tag, image(server, name))
    assert server.http.get(f"/v2/{name}/tags/list").json()["tags"] == [tag]


# Sizes.


def test_four_mebibytes(server: Live, name: str) -> None:
    """ "manifest pushes of at least 4 megabytes" work; more is a 413."""
    document = image(server, name)
    body = encoded({**document, "annotations": {"padding": ""}})
    room = (4 << 20) - len(body)
    largest = encoded({**document, "annotations": {"padding": "x" * room}})
    assert len(largest) == 4 << 20
    server.manifest(name, "largest", largest, OCI_MANIFEST)
    got = server.http.get(f"/v2/{name}/manifests/largest")
    assert got.content == largest
    answer = server.put_manifest(name, "more", largest + b" ", OCI_MANIFEST)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "MANIFEST_INVALID"
    answer = server.http.put(f"/v2/{name}/manifests/more", content=iter([largest, b" " * 100_000]))
    assert answer.status_code == 413


# References.


def test_missing_references(server: Live, name: str) -> None:
    """ "one or more MANIFEST_BLOB_UNKNOWN errors", one for each."""
    document = image(server, name)
    document["layers"] += [descriptor(f"missing {number}".encode(), CONFIG) for number in range(3)]
    document["config"] = descriptor(MISSING, CONFIG)
    answer = server.put_manifest(name, "v1", document)
    error(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    told = {entry["detail"]["digest"] for entry in answer.json()["errors"]}
    assert {entry["code"] for entry in answer.json()["errors"]} == {"MANIFEST_BLOB_UNKNOWN"}
    assert told == {
        document["config"]["digest"],
        *(layer["digest"] for layer in document["layers"][1:]),
    }
    error(server.http.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")


def test_references_of_another_repository(server: Live, name: str) -> None:
    """Blobs of another repository must be mounted first: digests are no permission."""
    document = image(server, f"{name}/other")
    error(server.put_manifest(name, "v1", document), 400, "MANIFEST_BLOB_UNKNOWN")


def test_an_empty_list_of_layers(server: Live, name: str) -> None:
    """ "the list of blobs MAY be empty"."""
    document = image(server, name)
    document["layers"] = []
    server.manifest(name, "v1", document)
    server.manifest(name, "none", index())


def test_an_index_of_itself(server: Live, name: str) -> None:
    """No document can hold its own digest; one that tries names something that is missing."""
    document = index(descriptor(b"itself", OCI_INDEX))
    for _ in range(3):
        document = index(child(document))
    error(server.put_manifest(name, "self", document), 400, "MANIFEST_BLOB_UNKNOWN")


def test_a_child_must_be_a_manifest(server: Live, name: str) -> None:
    """A blob of that digest is none, nor is a manifest a layer."""
    document = image(server, name)
    digest = server.manifest(name, None, document)
    layer_as_child = index(document["layers"][0])
    error(server.put_manifest(name, "v1", layer_as_child), 400, "MANIFEST_BLOB_UNKNOWN")
    document["layers"].append({**child(document), "digest": digest})
    error(server.put_manifest(name, "v1", document), 400, "MANIFEST_BLOB_UNKNOWN")


def test_mixed_algorithms(server: Live, name: str) -> None:
    """An image of sha512 layers and a sha256 configuration; an index of both kinds."""
    one, two = image(server, name, 1), image(server, name, 2, algorithm="sha512")
    one["layers"] += two["layers"]
    server.manifest(name, "one", one)
    server.manifest(name, digest_of(encoded(two), "sha512"), two)
    both = index(child(one), child(two, "sha512"))
    server.manifest(name, "both", both)
    server.manifest(name, digest_of(encoded(both), "sha512"), both)
    for item in both["manifests"]:
        got = server.http.get(f"/v2/{name}/manifests/{item['digest']}")
        assert got.headers["docker-content-digest"] == item["digest"]
    error(server.http.get(f"/v2/{name}/manifests/{child(two)['digest']}"), 404, "MANIFEST_UNKNOWN")
    wrong = index(child(two))
    error(server.put_manifest(name, "wrong", wrong), 400, "MANIFEST_BLOB_UNKNOWN")


# What the operator may allow.


def sparse(server: Live, name: str) -> Document:
    """An index of linux/amd64, which is there, and linux/arm64, which is not."""
    there = image(server, name)
    server.manifest(name, None, there)
    return index(
        child(there, platform={"os": "linux", "architecture": "amd64"}),
        descriptor(MISSING, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm64"}),
    )


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        (Rules(), False),
        (Rules(index_platforms="none"), True),
        (Rules(index_platforms="list", platforms=frozenset({("linux", "amd64")})), True),
        (Rules(index_platforms="list", platforms=frozenset({("linux", "arm64")})), False),
        (Rules(validate=False), True),
    ],
)
def test_sparse_indexes(start: Callable[..., Live], name: str, rules: Rules, taken: bool) -> None:
    """`validation.manifests.indexes` says which children must be there."""
    server = start(rules=rules)
    answer = server.put_manifest(name, "v1", sparse(server, name))
    if taken:
        assert answer.status_code == 201
        assert server.http.get(f"/v2/{name}/manifests/v1").json() == sparse(server, name)
    else:
        entry = error(answer, 400, "MANIFEST_BLOB_UNKNOWN")
        assert entry["detail"]["digest"] == digest_of(MISSING)


@pytest.mark.parametrize("platform", [{"os": ["linux"]}, {"architecture": {}}, {"os": 1}, [], "x"])
def test_platforms_of_the_wrong_kind(
    start: Callable[..., Live], name: str, platform: object
) -> None:
    server = start(rules=Rules(index_platforms="list", platforms=frozenset({("linux", "amd64")})))
    document = index(descriptor(MISSING, OCI_MANIFEST, platform=platform))
    error(server.put_manifest(name, "v1", document), 400, "MANIFEST_INVALID")


def test_without_validation(start: Callable[..., Live], name: str) -> None:
    """`validation.disabled: true` takes images without their layers; never bad documents."""
    server = start(rules=Rules(validate=False))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(MISSING, CONFIG),
        "layers": [descriptor(b"none", CONFIG, urls=["ftp://anywhere"])],
    }
    server.manifest(name, "v1", document)
    error(server.put_manifest(name, "v2", {**document, "config": {}}), 400, "MANIFEST_INVALID")


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@pytest.mark.parametrize(
    ("allow", "deny", "url", "taken"),
    [
        ([], [], "https://example.com/layer", False),
        (["^https://example\\.com/"], [], "https://example.com/layer", True),
        (["^https://example\\.com/"], [], "https://example.org/layer", False),
        (["^https://"], ["\\.org/"], "https://example.org/layer", False),
        ([], ["\\.org/"], "https://example.com/layer", True),
        (["."], [], "ftp://example.com/layer", False),
        (["."], [], "https://example.com/layer#part", False),
        (["."], [], "https:///layer", False),
        (["."], [], "https://[::1/layer", False),
        (["."], [], "not a url", False),
    ],
)
def test_foreign_layers(
    start: Callable[..., Live],
    name: str,
    allow: list[str],
    deny: list[str],
    url: str,
    taken: bool,
) -> None:
    """`validation.manifests.urls`; a foreign layer that has an address need not be there."""
    server = start(
        rules=Rules(url_allow=tuple(map(re.compile, allow)), url_deny=tuple(map(re.compile, deny)))
    )
    document = image(server, name)
    document["layers"].append(descriptor(MISSING, FOREIGN, urls=[url]))
    answer = server.put_manifest(name, "v1", document)
    if taken:
        assert answer.status_code == 201
    else:
        error(answer, 400, "MANIFEST_INVALID")


def test_a_foreign_layer_without_an_address(server: Live, name: str) -> None:
    document = image(server, name)
    document["layers"].append(descriptor(MISSING, FOREIGN))
    error(server.put_manifest(name, "v1", document), 400, "MANIFEST_BLOB_UNKNOWN")


def test_a_subject_that_is_not_there(server: Live, name: str) -> None:
    """ "MUST initially accept" a manifest whose subject does not exist, with OCI-Subject."""
    subject = descriptor(MISSING, OCI_MANIFEST)
    for document in (
        artifact(server, name, subject),
        index(subject=subject),
        {**docker_image(server, name), "subject": subject},
    ):
        answer = server.put_manifest(name, None, document)
        assert answer.status_code == 201
        assert answer.headers["oci-subject"] == subject["digest"]


def test_a_sha512_subject(server: Live, name: str) -> None:
    subject = descriptor(MISSING, OCI_MANIFEST, "sha512")
    answer = server.put_manifest(name, None, artifact(server, name, subject))
    assert answer.headers["oci-subject"] == digest_of(MISSING, "sha512")
