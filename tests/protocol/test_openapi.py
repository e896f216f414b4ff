"""The OpenAPI description: complete, true, and the ground for fuzzing the real application."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from ruamel.yaml import YAML
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pyreg import routes
from pyreg.api.address import Addresses
from pyreg.app import Registry
from pyreg.content.names import is_name, is_tag
from pyreg.errors import CODES
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.project import ROOT
from tests.protocol.live import Live, digest_of
from tests.protocol.material import encoded, image

DOCUMENT: dict[str, Any] = YAML(typ="safe", pure=True).load(
    (ROOT / "docs/reference/openapi.yaml").read_text()
)

EXAMPLES = {
    "/v2/": "/v2/",
    "/v2/_catalog": "/v2/_catalog",
    "/v2/{name}/tags/list": "/v2/a/b/tags/list",
    "/v2/{name}/manifests/{reference}": "/v2/a/b/manifests/latest",
    "/v2/{name}/blobs/{digest}": "/v2/a/b/blobs/sha256:0",
    "/v2/{name}/referrers/{digest}": "/v2/a/b/referrers/sha256:0",
    "/v2/{name}/blobs/uploads/": "/v2/a/b/blobs/uploads/",
    "/v2/{name}/blobs/uploads/{upload}": "/v2/a/b/blobs/uploads/1",
}
METHODS = {"get", "head", "put", "post", "patch", "delete", "options", "trace"}
TABLES = (
    routes.SUPPORT,
    routes.CATALOG,
    routes.TAGS,
    routes.MANIFESTS,
    routes.BLOBS,
    routes.REFERRERS,
    routes.UPLOADS,
    routes.UPLOAD,
)


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    """Path by path, method by method, both ways."""
    assert set(DOCUMENT["paths"]) == set(EXAMPLES)
    described = []
    for path, item in DOCUMENT["paths"].items():
        methods = {method.upper() for method in METHODS & set(item)}
        table, _, _ = routes._find(EXAMPLES[path][4:])
        assert methods == set(table), path
        described.append(table)
    assert {id(table) for table in described} == {id(table) for table in TABLES}


def test_every_table_of_routes_is_known_here() -> None:
    found = [
        value
        for name, value in vars(routes).items()
        if name.isupper() and isinstance(value, dict) and not name.startswith("_")
    ]
    assert {id(value) for value in found} == {id(table) for table in TABLES}


def test_every_error_code_is_described() -> None:
    codes = DOCUMENT["components"]["schemas"]["Errors"]["properties"]["errors"]["items"][
        "properties"
    ]["code"]["enum"]
    assert codes == sorted(CODES)


def test_names_and_tags_are_described_as_they_are_checked() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for text in ("a", "a/b", "a..b", "a__b", "a___b", "A", "", "-a", "a/", "a-b.c/d--e", "a\n"):
        assert bool(re.search(schemas["Name"]["pattern"][:-1] + r"\Z", text)) == is_name(text)
        assert bool(re.search(schemas["Tag"]["pattern"][:-1] + r"\Z", text)) == is_tag(text)
    assert schemas["Name"]["maxLength"] == 255


def test_every_success_of_the_specification_is_described() -> None:
    """The table "Endpoints": each method with its success."""
    for path, method, statuses in (
        ("/v2/", "get", {"200"}),
        ("/v2/{name}/blobs/{digest}", "get", {"200", "206"}),
        ("/v2/{name}/blobs/{digest}", "head", {"200"}),
        ("/v2/{name}/manifests/{reference}", "get", {"200"}),
        ("/v2/{name}/manifests/{reference}", "head", {"200"}),
        ("/v2/{name}/blobs/uploads/", "post", {"201", "202"}),
        ("/v2/{name}/blobs/uploads/{upload}", "patch", {"202", "416"}),
        ("/v2/{name}/blobs/uploads/{upload}", "put", {"201", "416"}),
        ("/v2/{name}/blobs/uploads/{upload}", "get", {"204"}),
        ("/v2/{name}/blobs/uploads/{upload}", "delete", {"204"}),
        ("/v2/{name}/manifests/{reference}", "put", {"201", "413"}),
        ("/v2/{name}/tags/list", "get", {"200"}),
        ("/v2/{name}/manifests/{reference}", "delete", {"202", "404", "400", "405"}),
        ("/v2/{name}/blobs/{digest}", "delete", {"202", "404", "400", "405"}),
        ("/v2/{name}/referrers/{digest}", "get", {"200", "400"}),
    ):
        assert statuses <= set(DOCUMENT["paths"][path][method]["responses"]), (path, method)


# Fuzzing. The client encodes slashes in names, so that the fuzzed ones have none; and it is told
# of some names, tags and digests that are there.

BLOB, MANIFEST = b"known blob", "known manifest"
NAME, TAG = "known", "latest"


def for_fuzzing() -> dict[str, Any]:
    """The description with things that exist among what is to be tried."""
    document = copy.deepcopy(DOCUMENT)
    schemas = document["components"]["schemas"]
    schemas["Name"] = {
        "anyOf": [
            {"const": NAME},
            {"type": "string", "maxLength": 255, "pattern": r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"},
        ]
    }
    schemas["Tag"] = {"anyOf": [{"const": TAG}, schemas["Tag"]]}
    schemas["Digest"] = {
        "anyOf": [
            {"enum": [digest_of(BLOB), digest_of(BLOB, "sha512"), digest_of(b"")]},
            schemas["Digest"],
        ]
    }
    return document


schema = schemathesis.openapi.from_dict(for_fuzzing())
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Live]:
    """A registry to be fuzzed."""
    with Live(Registry(InMemoryStorage(), addresses=Addresses(relative=True))) as live:
        yield live


@pytest.fixture
def known(fuzzed: Live) -> Live:
    """What the fuzzer is told of is there when it begins with an endpoint."""
    for algorithm in ("sha256", "sha512"):
        fuzzed.blob(NAME, BLOB, algorithm)
    fuzzed.manifest(NAME, TAG, image(fuzzed, NAME, MANIFEST))
    return fuzzed


@schema.parametrize()  # type: ignore[misc,unused-ignore]
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_fuzz(case: schemathesis.Case[Any], known: Live) -> None:
    """Whatever is sent, the answer is one that the description has."""
    response = case.call(base_url=f"http://{known.address}")
    case.validate_response(response, checks=CHECKS)


UPLOADS, UPLOAD = "/v2/{name}/blobs/uploads/", "/v2/{name}/blobs/uploads/{upload}"
BLOBS, MANIFESTS = "/v2/{name}/blobs/{digest}", "/v2/{name}/manifests/{reference}"


def test_real_answers_conform(known: Live) -> None:
    """A whole life of an image, each answer checked against the description."""
    http = known.http
    body = encoded(image(known, NAME, "conforming"))
    begun = http.post(f"/v2/{NAME}/blobs/uploads/")
    upload = begun.headers["location"]
    patched = http.patch(upload, content=b"0123456789", headers={"Content-Range": "0-9"})
    digest = digest_of(b"0123456789")
    uploads, blob = f"/v2/{NAME}/blobs/uploads/", f"/v2/{NAME}/blobs/{digest}"
    manifests = f"/v2/{NAME}/manifests/"
    early = {"Content-Range": "5-5"}
    answers = [
        ("/v2/", http.get("/v2/")),
        ("/v2/_catalog", http.get("/v2/_catalog?n=1")),
        (UPLOADS, begun),
        (UPLOAD, patched),
        (UPLOAD, http.get(upload)),
        (UPLOAD, http.patch(upload, content=b"x", headers=early)),
        (UPLOAD, http.put(upload, params={"digest": digest})),
        (UPLOADS, http.post(uploads, params={"mount": digest})),
        (UPLOAD, http.delete(known.begin(NAME))),
        (BLOBS, http.get(blob)),
        (BLOBS, http.head(blob)),
        (BLOBS, http.get(blob, headers={"Range": "bytes=0-1"})),
        (BLOBS, http.get(blob, headers={"Range": "bytes=0-1,5-6"})),
        (BLOBS, http.get(blob, headers={"Range": "bytes=99-"})),
        (BLOBS, http.get(blob, headers={"If-None-Match": "*"})),
        (MANIFESTS, http.put(manifests + f"{digest_of(body)}?tag=a&tag=b", content=body)),
        (MANIFESTS, http.get(manifests + "a")),
        (MANIFESTS, http.get(manifests + "a", headers={"If-None-Match": "*"})),
        ("/v2/{name}/tags/list", http.get(f"/v2/{NAME}/tags/list?n=1")),
        (
            "/v2/{name}/referrers/{digest}",
            http.get(f"/v2/{NAME}/referrers/{digest}?artifactType=x"),
        ),
        (MANIFESTS, http.delete(manifests + "a")),
        (BLOBS, http.delete(blob)),
        (BLOBS, http.delete(blob)),
    ]
    seen = [answer.status_code for _, answer in answers]
    assert seen == [
        200, 200, 202, 202, 204, 416, 201, 201, 204, 200, 200, 206, 206, 416, 304,
        201, 200, 304, 200, 200, 202, 202, 404,
    ]  # fmt: skip
    for path, answer in answers:
        operation = schema[path][answer.request.method]
        assert set(described(operation.definition.raw, answer)) >= told(answer), (path, answer)
        if answer.request.method != "HEAD":
            operation.validate_response(answer)


STANDARD = {"date", "server", "connection", "content-type", "content-length"}


def told(answer: httpx.Response) -> set[str]:
    """The names of an answer's headers."""
    return set(answer.headers) - STANDARD


def described(operation: dict[str, Any], answer: httpx.Response) -> set[str]:
    """The names of the headers that the description has for an answer."""
    response = operation["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return {name.lower() for name in response.get("headers", {})}


def test_the_description_is_json_too() -> None:
    """No dates, no tags: any YAML reader gets the same document."""
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
