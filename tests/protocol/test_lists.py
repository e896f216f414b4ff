"""Lists of tags and of repositories (OCI distribution specification, "Listing Tags")."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pyreg.content.rules import Rules
from tests.protocol.conftest import storage
from tests.protocol.live import Live, digest_of, error
from tests.protocol.material import encoded, image

TAGS = [
    "1", "1-", "1-a", "1.", "1.0", "1.0-rc", "1.0-rc1", "1.0.1", "1.0_", "1.00", "10", "1_",
    "1a", "2", "A", "B.b", "_", "a", "a--", "a-.", "a.-", "a.", "a..", "a_", "aa", "latest", "z",
]  # fmt: skip
NAMES = [
    "a", "a-b", "a-b/c", "a--b", "a.b", "a.b/c", "a/b", "a/b-c", "a/b.c", "a/b/c", "a0", "a_b",
    "a__b", "aa", "ab/c", "b/b/b/b", "b", "z-0", "z.0/y", "z/0",
]  # fmt: skip


def fill_tags(server: Live, name: str) -> None:
    document = image(server, name)
    server.http.put(
        f"/v2/{name}/manifests/{digest_of(encoded(document))}",
        params={"tag": TAGS},
        content=encoded(document),
    )


@pytest.fixture(scope="module", params=["inmemory", "filesystem"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A registry with some repositories, of which `tags` has many tags."""
    from pyreg.app import Registry

    driver = storage(request.param, tmp_path_factory.mktemp("lists"))
    with Live(Registry(driver, rules=Rules(max_tags=5, max_repositories=12))) as live:
        for name in NAMES:
            live.manifest(name, "v1", image(live, name))
        for tag in TAGS:
            live.manifest("tags", tag, image(live, "tags"))
        live.blob("only-blobs", b"blob")  # not in the catalog
        live.begin("only-an-upload")
        yield live


CATALOG = sorted([*NAMES, "tags"], key=str.encode)


def test_the_format(server: Live, name: str) -> None:
    """ "the response MUST be a json body in the following format"."""
    fill_tags(server, name)
    answer = server.http.get(f"/v2/{name}/tags/list")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"name": name, "tags": sorted(TAGS, key=str.encode)}
    assert "link" not in answer.headers


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_tags_in_order(filled: Live, count: int) -> None:
    """By Link headers, in pages of any size: each tag once, in ASCIIbetical order."""
    pages = filled.follow(f"/v2/tags/tags/list?n={count}")
    assert [tag for page in pages for tag in page["tags"]] == sorted(TAGS, key=str.encode)
    assert all(len(page["tags"]) == count for page in pages[:-1])


def test_a_page_is_limited(filled: Live) -> None:
    """`tags.maxtags` caps a page, also where no n is given; a Link then leads on."""
    for query in ("", "?n=6", "?n=1000000000"):
        answer = filled.http.get(f"/v2/tags/tags/list{query}")
        assert len(answer.json()["tags"]) == 5
        assert 'rel="next"' in answer.headers["link"]
        pages = filled.follow(f"/v2/tags/tags/list{query}")
        assert [tag for page in pages for tag in page["tags"]] == sorted(TAGS, key=str.encode)


@pytest.mark.parametrize(
    "last", [*TAGS, "0", "1.0.", "1-z", "zz", "~", "\x00", "ü", "../..", "a/b"]
)
def test_last(filled: Live, last: str) -> None:
    """ "beginning non-inclusively with <tagname>", whether there is such a tag or not."""
    wanted = [tag for tag in sorted(TAGS, key=str.encode) if tag.encode() > last.encode()]
    for count in (1, 3, 5):
        query = {"last": last, "n": count}
        answer = filled.http.get("/v2/tags/tags/list", params=query)
        assert answer.status_code == 200
        assert answer.json()["tags"] == wanted[:count]
        assert ("link" in answer.headers) == (len(wanted) > count)
    assert filled.http.get("/v2/tags/tags/list", params={"last": last}).json()["tags"] == wanted[:5]


@pytest.mark.parametrize("path", ["/v2/tags/tags/list", "/v2/_catalog"])
def test_n_is_zero(filled: Live, path: str) -> None:
    """ "When n is zero, this endpoint MUST return an empty list, and MUST NOT include Link"."""
    answer = filled.http.get(path, params={"n": 0})
    assert answer.status_code == 200
    assert [] in answer.json().values()
    assert "link" not in answer.headers


@pytest.mark.parametrize("path", ["/v2/tags/tags/list", "/v2/_catalog"])
@pytest.mark.parametrize("n", ["-1", "x", "", "1.5", "0x1", "1e3", "+1", " 1", "²", "٣", "9" * 40])
def test_n_is_no_number(filled: Live, path: str, n: str) -> None:
    error(filled.http.get(path, params={"n": n}), 400, "PAGINATION_NUMBER_INVALID")


def test_an_unknown_repository(server: Live, name: str) -> None:
    """ "An attempt to pull a nonexistent repository MUST return 404"."""
    for query in ("", "n=0", "last=a", "n=5&last=a"):
        answer = server.http.get(f"/v2/{name}/tags/list?{query}")
        error(answer, 404, "NAME_UNKNOWN")
    # One that begins alike is another one.
    server.manifest(f"{name}-more", "v1", image(server, f"{name}-more"))
    server.manifest(f"{name}/more", "v1", image(server, f"{name}/more"))
    error(server.http.get(f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN")


def test_no_tags(server: Live, name: str) -> None:
    """ "The list of tags MAY be empty"."""
    server.manifest(name, None, image(server, name))
    assert server.http.get(f"/v2/{name}/tags/list").text == f'{{"name":"{name}","tags":[]}}'


def test_after_the_last_tag(filled: Live) -> None:
    answer = filled.http.get("/v2/tags/tags/list", params={"last": "zzz"})
    assert answer.json() == {"name": "tags", "tags": []}


# The catalog.


def test_the_format_of_the_catalog(filled: Live) -> None:
    answer = filled.http.get("/v2/_catalog", params={"n": 3})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"repositories": CATALOG[:3]}
    assert json.loads(answer.text) == answer.json()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_repositories_in_order(filled: Live, count: int) -> None:
    """Each repository that has manifests once, in the order of bytes: a, a-b, a.b, a/b."""
    pages = filled.follow(f"/v2/_catalog?n={count}")
    assert [name for page in pages for name in page["repositories"]] == CATALOG
    assert all(len(page["repositories"]) == count for page in pages[:-1])


def test_the_default_page_of_the_catalog(filled: Live) -> None:
    """At most 100, and at most `catalog.maxentries`; more than that is refused."""
    assert len(filled.http.get("/v2/_catalog").json()["repositories"]) == 12
    answer = filled.http.get("/v2/_catalog", params={"n": 13})
    error(answer, 400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize(
    "last", [*NAMES, "0", "a/", "a/b/", "a-", "a.", "a/a", "a/b/c/d", "zz", "//", "..", "\x00", "ü"]
)
def test_last_of_the_catalog(filled: Live, last: str) -> None:
    wanted = [name for name in CATALOG if name.encode() > last.encode()]
    for count in (1, 4, 12):
        answer = filled.http.get("/v2/_catalog", params={"last": last, "n": count})
        assert answer.status_code == 200
        assert answer.json()["repositories"] == wanted[:count]
        assert ("link" in answer.headers) == (len(wanted) > count)


def test_deleted_repositories(start: Callable[..., Live], tmp_path: Path) -> None:
    """A repository leaves the catalog with its last manifest."""
    server = start(storage("filesystem", tmp_path))
    names = ["a", "a/b", "c"]
    digests = {name: server.manifest(name, "v1", image(server, name)) for name in names}
    for name in names:
        assert server.follow("/v2/_catalog") == [{"repositories": names[names.index(name) :]}]
        server.http.delete(f"/v2/{name}/manifests/{digests[name]}")
    assert server.follow("/v2/_catalog") == [{"repositories": []}]


@pytest.mark.parametrize("depth", [1, 20, 60])
def test_deep_names(start: Callable[..., Live], depth: int) -> None:
    server = start()
    names = ["/".join(["ab"] * count) for count in (1, depth)]
    for name in names:
        server.manifest(name, "v1", image(server, name))
    assert server.follow("/v2/_catalog")[0]["repositories"] == sorted(set(names))
