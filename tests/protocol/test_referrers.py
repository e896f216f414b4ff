"""Referrers (OCI distribution specification, "Listing Referrers")."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.content.rules import Rules
from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore
from tests.fixtures.wire import OCI_INDEX, OCI_MANIFEST
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import (
    CONFIG,
    EMPTY,
    Document,
    artifact,
    child,
    descriptor,
    encoded,
    image,
    index,
)

SBOM = "application/vnd.example.sbom.v1"
SIGNATURE = "application/vnd.example.signature.v1"


def listed(server: Live, name: str, digest: str, **query: str | int) -> list[Document]:
    answer = server.http.get(f"/v2/{name}/referrers/{digest}", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == OCI_INDEX
    document = answer.json()
    assert set(document) == {"schemaVersion", "mediaType", "manifests"}
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == OCI_INDEX
    found: list[Document] = document["manifests"]
    return found


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_descriptors(server: Live, name: str, algorithm: str) -> None:
    """artifactType, or the configuration's mediaType; none for an index without; annotations."""
    subject = descriptor(b"the subject", OCI_MANIFEST, algorithm)
    config = artifact(server, name, subject, 2)
    del config["artifactType"]
    empty = {**artifact(server, name, subject, 3), "artifactType": ""}
    plain = {**artifact(server, name, subject, 4)}
    del plain["annotations"]
    documents = [
        artifact(server, name, subject, 1, annotations={"org.example": "ä", "b": ""}),
        config,
        empty,
        plain,
        image(server, name, subject=subject),
        index(subject=subject, artifactType=SIGNATURE, annotations={"is": "index"}),
        index(subject=subject),
    ]
    wanted = []
    for document, kind in zip(
        documents, [SBOM, EMPTY, EMPTY, SBOM, CONFIG, SIGNATURE, None], strict=True
    ):
        answer = server.put_manifest(name, None, document)
        assert answer.headers["oci-subject"] == subject["digest"]
        entry = child(document)
        if kind:
            entry["artifactType"] = kind
        if "annotations" in document:
            entry["annotations"] = document["annotations"]
        wanted.append(entry)
    found = listed(server, name, subject["digest"])
    assert sorted(found, key=lambda item: str(item["digest"])) == sorted(
        wanted, key=lambda item: str(item["digest"])
    )


def test_filters(server: Live, name: str) -> None:
    """end-12b: only those of the type, and OCI-Filters-Applied."""
    subject = descriptor(b"filtered", OCI_MANIFEST)
    for number, kind in enumerate([SBOM, SIGNATURE, SBOM]):
        document = artifact(server, name, subject, number, artifactType=kind)
        server.manifest(name, None, document)
    for kind, count in ((SBOM, 2), (SIGNATURE, 1), (EMPTY, 0), ("*", 0), ("%", 0)):
        answer = server.http.get(
            f"/v2/{name}/referrers/{subject['digest']}", params={"artifactType": kind}
        )
        assert answer.headers["oci-filters-applied"] == "artifactType"
        assert [item["artifactType"] for item in answer.json()["manifests"]] == [kind] * count
    answer = server.http.get(f"/v2/{name}/referrers/{subject['digest']}")
    assert "oci-filters-applied" not in answer.headers
    assert len(answer.json()["manifests"]) == 3


def test_no_referrers(server: Live, name: str) -> None:
    """An empty list; never a 404, whether the repository or the manifest exists or not."""
    digest = server.manifest(f"{name}/known", "v1", image(server, f"{name}/known"))
    assert listed(server, f"{name}/known", digest) == []
    assert listed(server, f"{name}/known", digest_of(b"unknown", "sha512")) == []
    assert listed(server, f"{name}/unknown", digest) == []
    assert server.http.get(f"/v2/{name}/unknown/tags/list").status_code == 404


@pytest.mark.parametrize("digest", ["latest", "sha256:abc", f"sha384:{'0' * 96}", "sha256:%2e%2e"])
def test_invalid_digests(server: Live, name: str, digest: str) -> None:
    """ "such as a <digest> with an invalid syntax, a 400 Bad Request MUST be returned"."""
    error(server.http.get(f"/v2/{name}/referrers/{digest}"), 400, "DIGEST_INVALID")


def test_order_of_pushes(server: Live, name: str) -> None:
    """Referrer first, subject later: listed before and after."""
    subject = image(server, name)
    referrer = child(artifact(server, name, child(subject)))
    server.manifest(name, None, artifact(server, name, child(subject)))
    assert [item["digest"] for item in listed(server, name, child(subject)["digest"])] == [
        referrer["digest"]
    ]
    server.manifest(name, "v1", subject)
    assert len(listed(server, name, child(subject)["digest"])) == 1


def test_only_in_this_repository(server: Live, name: str) -> None:
    subject = descriptor(b"shared subject", OCI_MANIFEST)
    server.manifest(f"{name}/one", None, artifact(server, f"{name}/one", subject))
    assert len(listed(server, f"{name}/one", subject["digest"])) == 1
    assert listed(server, f"{name}/two", subject["digest"]) == []


def test_deleting(server: Live, name: str) -> None:
    """A deleted referrer is no longer listed; a deleted subject keeps its referrers."""
    subject = image(server, name)
    digest = server.manifest(name, None, subject)
    one, two = (
        server.manifest(name, None, artifact(server, name, child(subject), seed)) for seed in "12"
    )
    assert {item["digest"] for item in listed(server, name, digest)} == {one, two}
    server.http.delete(f"/v2/{name}/manifests/{one}")
    assert {item["digest"] for item in listed(server, name, digest)} == {two}
    server.http.delete(f"/v2/{name}/manifests/{digest}")
    assert {item["digest"] for item in listed(server, name, digest)} == {two}


def test_pushing_again(server: Live, name: str) -> None:
    """Each referrer once, however often and under whatever tag it was pushed."""
    subject = descriptor(b"pushed again", OCI_MANIFEST)
    document = artifact(server, name, subject)
    for reference in (None, "a", "b", None):
        server.manifest(name, reference, document)
    assert len(listed(server, name, subject["digest"])) == 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pages(start: Callable[..., Live], name: str, count: int) -> None:
    """Link leads from page to page, each an index of other descriptors; the filter stays."""
    server = start(rules=Rules(max_referrers=5))
    subject = descriptor(b"pages", OCI_MANIFEST)
    for number in range(12):
        kind = SBOM if number % 3 else SIGNATURE
        server.manifest(name, None, artifact(server, name, subject, number, artifactType=kind))
    path = f"/v2/{name}/referrers/{subject['digest']}"
    everything = []
    for query, total in (("", 12), (f"artifactType={SBOM}", 8)):
        for size in ("", f"&n={count}"):
            pages = server.follow(f"{path}?{query}{size}")
            digests = [item["digest"] for page in pages for item in page["manifests"]]
            assert len(digests) == len(set(digests)) == total
            assert all(page["mediaType"] == OCI_INDEX for page in pages)
            most = count if size else 5
            assert all(len(page["manifests"]) == most for page in pages[:-1])
            everything.append(digests)
    answer = server.http.get(f"{path}?artifactType={SBOM}&n=1")
    assert answer.headers["oci-filters-applied"] == "artifactType"
    assert server.http.get(answer.links["next"]["url"]).headers["oci-filters-applied"]
    assert everything[0] == everything[1]


@pytest.mark.parametrize("n", ["-1", "x", ""])
def test_n_is_no_number(server: Live, name: str, n: str) -> None:
    answer = server.http.get(f"/v2/{name}/referrers/{digest_of(b'')}", params={"n": n})
    error(answer, 400, "PAGINATION_NUMBER_INVALID")


def test_large_descriptors(start: Callable[..., Live], name: str) -> None:
    """A page stays below 4 MiB, however much the descriptors hold."""
    server = start()
    subject = descriptor(b"large", OCI_MANIFEST)
    for number in range(4):
        document = artifact(server, name, subject, annotations={str(number): "x" * (2_000_000)})
        server.manifest(name, None, document)
    path = f"/v2/{name}/referrers/{subject['digest']}"
    answer = server.http.get(path)
    assert len(answer.content) < 4_300_000
    assert sum(len(page["manifests"]) for page in server.follow(path)) == 4


# Before and beside the referrers API.


def referrers_tag(digest: str) -> str:
    """ "Referrers Tag Schema", for the two algorithms that there are."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}-{encoded[:64]}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_fallback_of_older_clients(server: Live, name: str, algorithm: str) -> None:
    """An index that a client keeps under the referrers tag is a manifest like any other."""
    subject = descriptor(b"fallback", OCI_MANIFEST, algorithm)
    tag = referrers_tag(subject["digest"])
    path = f"/v2/{name}/manifests/{tag}"
    error(server.http.get(path), 404, "MANIFEST_UNKNOWN")
    server.manifest(name, tag, index())
    document = artifact(server, name, subject)
    server.manifest(name, None, document)
    server.manifest(name, tag, index(child(document)))
    assert server.http.get(path, headers={"Accept": OCI_INDEX}).json() == index(child(document))
    assert len(listed(server, name, subject["digest"])) == 1


def test_what_another_registry_stored(start: Callable[..., Live], name: str) -> None:
    """ "Enabling the Referrers API": manifests that were there before are listed, too."""
    store = InMemoryStore()
    driver = InMemoryStorage(store)
    subject = descriptor(b"before", OCI_MANIFEST)
    server = start(InMemoryStorage(store))
    document = artifact(server, name, subject)
    body = encoded(document)
    digest = Digest.of(body)

    async def as_the_docker_registry_does() -> None:
        await driver.put(layout.blob_data(digest), body)
        for key in (
            layout.revision_link(name, digest),
            layout.tag_link(name, referrers_tag(subject["digest"])),
        ):
            await driver.put(key, digest.encode())

    server.run(as_the_docker_registry_does())
    assert [item["digest"] for item in listed(server, name, subject["digest"])] == [digest]


def test_bad_neighbours(start: Callable[..., Live], name: str) -> None:
    """Schema 1, and what is no manifest at all, keep nobody from listing the others."""
    store = InMemoryStore()
    driver = InMemoryStorage(store)
    server = start(InMemoryStorage(store))
    subject = descriptor(b"neighbours", OCI_MANIFEST)
    good = encoded(artifact(server, name, subject))

    async def fill() -> None:
        for body in (good, b'{"schemaVersion": 1}', b"\xff\xfe", b"[]", b""):
            digest = Digest.of(body)
            await driver.put(layout.blob_data(digest), body)
            await driver.put(layout.revision_link(name, digest), digest.encode())

    server.run(fill())
    assert [item["digest"] for item in listed(server, name, subject["digest"])] == [Digest.of(good)]
    old = Digest.of(b'{"schemaVersion": 1}')
    entry = error(server.http.get(f"/v2/{name}/manifests/{old}"), 404, "MANIFEST_UNKNOWN")
    assert "schema 1 is not supported" in entry["message"]
    assert server.http.delete(f"/v2/{name}/manifests/{old}").status_code == 202


def test_two_replicas(name: str) -> None:
    """What one process pushes, another one lists at once."""
    from pyreg.app import Registry

    async def both() -> None:
        store = InMemoryStore()
        async with (
            Registry(InMemoryStorage(store)) as one,
            Registry(InMemoryStorage(store)) as two,
        ):
            subject = Digest.of(b"subject")
            config = await one.repository(name).blobs.put(b"{}")
            for number in range(3):
                document = {
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "config": {"mediaType": EMPTY, "digest": config, "size": 2},
                    "layers": [],
                    "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7},
                    "annotations": {"number": str(number)},
                }
                await one.repository(name).manifests.put(json.dumps(document).encode())
                page = await two.repository(name).referrers.list(subject)
                assert len(page.descriptors) == number + 1

    asyncio.run(both())
