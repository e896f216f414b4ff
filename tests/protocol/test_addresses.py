"""Addresses in answers: `http.host`, `prefix`, `relativeurls`, proxies; headers of every answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pyreg.api.address import Addresses
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import image

LOCAL = [ipaddress.ip_network("127.0.0.0/8")]
FORWARDED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "proxy.test:8443",
    "X-Forwarded-For": "203.0.113.7",
}


def locations(server: Live, prefix: str = "", **headers: str) -> list[str]:
    """Every Location that a push brings, and that of a mount."""
    uploads = f"{prefix}/v2/loc/blobs/uploads/"
    data = b"location"
    begun = server.http.post(uploads, headers=headers)
    upload = begun.headers["docker-upload-uuid"]
    chunk = server.http.patch(f"{uploads}{upload}", content=data, headers=headers)
    status = server.http.get(f"{uploads}{upload}", headers=headers)
    early = server.http.patch(
        f"{uploads}{upload}", content=data, headers={**headers, "Content-Range": "0-7"}
    )
    assert early.status_code == 416
    done = server.http.put(
        f"{uploads}{upload}", params={"digest": digest_of(data)}, headers=headers
    )
    mounted = server.http.post(uploads, params={"mount": digest_of(data)}, headers=headers)
    document = b'{"schemaVersion":2,"manifests":[]}'
    pushed = server.http.put(f"{prefix}/v2/loc/manifests/v1", content=document, headers=headers)
    answers = (begun, chunk, status, early, done, mounted, pushed)
    found = [answer.headers["location"] for answer in answers]
    bases = {location.partition("/v2/")[0] for location in found}
    paths = [location.partition("/v2/")[2] for location in found]
    assert paths == [f"loc/blobs/uploads/{upload}"] * 4 + [
        f"loc/blobs/{digest_of(data)}",
        f"loc/blobs/{digest_of(data)}",
        f"loc/manifests/{digest_of(document)}",
    ]
    assert len(bases) == 1, found
    return found


@pytest.mark.parametrize(
    ("options", "headers", "base"),
    [
        ({}, {}, "http://{address}"),
        ({}, {"Host": "registry.test"}, "http://registry.test"),
        ({}, {"Host": "[::1]:5000"}, "http://[::1]:5000"),
        ({}, {"Host": "evil.test/path?"}, ""),
        ({}, {"Host": "a b"}, ""),
        ({}, {"Host": 'evil.test">'}, ""),
        ({"relative": True}, {}, ""),
        ({"external": "https://public.test"}, {}, "https://public.test"),
        ({"external": "https://public.test:443/"}, {"Host": "x"}, "https://public.test:443"),
        ({"external": "https://public.test/below"}, {}, "https://public.test/below"),
        ({"external": "https://public.test", "relative": True}, {}, ""),
        # Forwarding headers count only from those who are trusted.
        ({}, FORWARDED, "http://{address}"),
        ({"trusted": [ipaddress.ip_network("10.0.0.0/8")]}, FORWARDED, "http://{address}"),
        ({"trusted": LOCAL}, FORWARDED, "https://proxy.test:8443"),
        ({"trusted": LOCAL}, {"X-Forwarded-Proto": "https"}, "https://{address}"),
        ({"trusted": LOCAL}, {"X-Forwarded-Proto": "javascript"}, "http://{address}"),
        ({"trusted": LOCAL}, {"X-Forwarded-Host": "evil.test/x"}, "http://{address}"),
        ({"trusted": LOCAL}, {"X-Forwarded-Host": "first.test, last.test"}, "http://last.test"),
        (
            {"trusted": LOCAL},
            {"Forwarded": 'for="[2001:db8::1]:47";proto=https;host="rfc.test"'},
            "https://rfc.test",
        ),
        (
            {"trusted": LOCAL},
            {"Forwarded": "host=client.test, host=near.test;PROTO=HTTPS"},
            "https://near.test",
        ),
        (
            {"trusted": LOCAL},
            {"Forwarded": "host=rfc.test", "X-Forwarded-Host": "x.test"},
            "http://rfc.test",
        ),
        ({"trusted": LOCAL}, {"Forwarded": 'host="unended'}, "http://{address}"),
        (
            {"trusted": LOCAL, "external": "https://public.test"},
            FORWARDED,
            "https://public.test",
        ),
    ],
)
def test_locations(
    start: Callable[..., Live],
    options: Mapping[str, Any],
    headers: Mapping[str, str],
    base: str,
) -> None:
    server = start(addresses=Addresses(**options))
    for location in locations(server, **headers):
        assert location.startswith(base.format(address=server.address) + "/v2/")


def test_a_prefix(start: Callable[..., Live]) -> None:
    """`http.prefix`: the API lies below a path, and every address says so."""
    server = start(addresses=Addresses(prefix="/registry/"))
    for location in locations(server, "/registry"):
        assert location.startswith(f"http://{server.address}/registry/v2/")
        assert server.http.get(location).status_code in (200, 404)  # the upload has ended
    for number in range(3):
        server.http.put(
            f"/registry/v2/loc/manifests/t{number}", content=b'{"schemaVersion":2,"manifests":[]}'
        )
    assert server.http.get("/registry/v2/").status_code == 200
    assert server.http.get("/v2/").status_code == 404
    for path, key in (("loc/tags/list", "tags"), ("_catalog", "repositories")):
        pages = server.follow(f"/registry/v2/{path}?n=1")
        assert len({name for page in pages for name in page[key]}) == len(pages)
    link = server.http.get("/registry/v2/loc/tags/list?n=1").headers["link"]
    assert link == '</registry/v2/loc/tags/list?last=t0&n=1>; rel="next"'


def test_a_prefix_behind_an_external_address(start: Callable[..., Live]) -> None:
    server = start(addresses=Addresses(prefix="/registry", external="https://public.test"))
    for location in locations(server, "/registry"):
        assert location.startswith("https://public.test/registry/v2/")


@pytest.mark.parametrize("form", ["http://{address}/v2/", "http://other.test/v2/"])
def test_a_target_in_absolute_form(server: Live, form: str) -> None:
    """RFC 9112, section 3.2.2: a server MUST accept the absolute form."""
    from tests.protocol.raw import Raw

    with Raw(server.port) as raw:
        answer = raw.ask("GET", form.format(address=server.address))
        assert answer.status == 200
        assert answer.body == b"{}"


def test_headers_of_every_answer(start: Callable[..., Live]) -> None:
    """`http.headers` and Docker-Distribution-Api-Version, also on errors, streams and 304."""
    server = start(headers={"X-Content-Type-Options": ["nosniff"], "Set-Cookie": ["a=1", "b=2"]})
    large = server.blob("x", b"large" * 100_000)
    small = server.blob("x", b"small")
    digest = server.manifest("x", "v1", image(server, "x"))
    upload = server.begin("x")
    get = server.http.get
    for answer, status in (
        (get("/v2/"), 200),
        (get("/v2/_catalog"), 200),
        (get("/v2/x/tags/list"), 200),
        (get("/v2/x/manifests/v1"), 200),
        (get("/v2/x/manifests/v1", headers={"If-None-Match": f'"{digest}"'}), 304),
        (get("/v2/x/manifests/none"), 404),
        (server.http.head("/v2/x/manifests/none"), 404),
        (get(f"/v2/x/blobs/{large}"), 200),
        (get(f"/v2/x/blobs/{large}", headers={"Range": "bytes=0-9,20-29"}), 206),
        (get(f"/v2/x/blobs/{large}", headers={"Range": "bytes=999999-"}), 416),
        (get(f"/v2/x/blobs/{small}"), 200),
        (server.http.head(f"/v2/x/blobs/{small}"), 200),
        (get(f"/v2/x/referrers/{digest}"), 200),
        (get(upload), 204),
        (server.patch(upload, b"x"), 202),
        (server.finish(upload, digest_of(b"y")), 400),
        (server.http.post("/v2/x/blobs/uploads/"), 202),
        (server.http.post("/v2/x/tags/list"), 405),
        (get("/v2/UPPER/tags/list"), 400),
        (get("/v2/nonsense"), 404),
        (server.http.delete("/v2/x/manifests/v1"), 202),
    ):
        assert answer.status_code == status
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_who_is_told_to_be_the_client(start: Callable[..., Live]) -> None:
    """Events name the client behind trusted proxies, and nobody can pretend to be another."""
    from pyreg.hooks import Event, hookimpl

    class Witness:
        api_version = (1, 0)

        def __init__(self) -> None:
            self.seen: list[tuple[str, str]] = []

        @hookimpl
        async def pyreg_observe(self, event: Event) -> None:
            self.seen.append((event.request.client, event.request.host))

    for trusted, headers, client in (
        ([], {"X-Forwarded-For": "203.0.113.7"}, "127.0.0.1"),
        (LOCAL, {"X-Forwarded-For": "203.0.113.7"}, "203.0.113.7"),
        (LOCAL, {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}, "203.0.113.7"),
        (LOCAL, {"X-Forwarded-For": "203.0.113.7, 127.0.0.2"}, "203.0.113.7"),
        (LOCAL, {"X-Forwarded-For": "nonsense"}, "127.0.0.1"),
        (LOCAL, {"X-Forwarded-For": "203.0.113.7, unknown"}, "127.0.0.1"),
        (LOCAL, {"Forwarded": "for=203.0.113.7, for=_hidden, for=127.0.0.2"}, "127.0.0.1"),
        (LOCAL, {"Forwarded": "proto=https", "X-Forwarded-For": "203.0.113.7"}, "203.0.113.7"),
        (LOCAL, {"Forwarded": 'for="[2001:db8::1]:47"'}, "2001:db8::1"),
    ):
        witness = Witness()
        server = start(addresses=Addresses(trusted=trusted), plugins=[witness])
        server.http.headers.update(headers)
        server.blob("x", b"x")
        assert witness.seen == [(client, server.address)]


def test_errors_tell_nothing_of_the_inside(start: Callable[..., Live]) -> None:
    """Storage that fails is a 503 without the storage's own words."""
    from pyreg.errors import StorageDenied, StorageFull, StorageUnavailable
    from pyreg.hooks import ObjectInfo, StoredObject
    from pyreg_storage_inmemory import InMemoryStorage

    class Failing(InMemoryStorage):
        failure: Exception | None = None

        async def get(self, key: str, *, unless: str | None = None) -> StoredObject | None:
            if self.failure is not None:
                raise self.failure
            return await super().get(key, unless=unless)

        async def put(self, key: str, data: bytes, **more: Any) -> ObjectInfo:
            if self.failure is not None:
                raise self.failure
            return await super().put(key, data, **more)

    driver = Failing()
    server = start(driver)
    for failure, status in (
        (StorageFull("secret-bucket is full"), 507),
        (StorageUnavailable("secret-bucket is slow", retry_after=17.4), 503),
        (StorageDenied("secret-bucket denies"), 503),
        (RuntimeError("secret-bucket broke"), 503),
    ):
        driver.failure = failure
        for answer in (
            server.http.get("/v2/x/manifests/v1"),
            server.http.post("/v2/x/blobs/uploads/"),
        ):
            error(answer, status, "UNAVAILABLE")
            assert "secret" not in answer.text
            if isinstance(failure, StorageUnavailable):
                assert answer.headers["retry-after"] == "17"
    driver.failure = None
    server.expect_log("secret-bucket is full")
    assert server.http.post("/v2/x/blobs/uploads/").status_code == 202


def test_a_full_disk(start: Callable[..., Live]) -> None:
    """A push that no room is left for is a 507, and leaves nothing that takes up room."""
    from pyreg.errors import StorageFull
    from pyreg.hooks import ObjectInfo
    from pyreg_storage_inmemory import InMemoryStorage, InMemoryStore

    class Full(InMemoryStorage):
        async def finish(self, state: str, *, key: str | None = None) -> ObjectInfo:
            raise StorageFull("no room")

    store = InMemoryStore()
    server = start(Full(store))
    answer = server.http.post(
        "/v2/x/blobs/uploads/", params={"digest": digest_of(b"x")}, content=b"x"
    )
    error(answer, 507, "UNAVAILABLE")
    error(server.http.get(f"/v2/x/blobs/{digest_of(b'x')}"), 404, "BLOB_UNKNOWN")
    server.expect_log("no room")
    assert not store.uploads
    assert not [key for key in store.objects if "_uploads" in key]
