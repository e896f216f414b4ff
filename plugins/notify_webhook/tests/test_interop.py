"""The same pushes, pulls, mounts and deletes as the Docker registry and pyreg tell of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from plugins.notify_webhook.tests.receiver import Receiver, Request
from tests.fixtures.in_process import image
from tests.fixtures.wire import OCI_MANIFEST, sha256
from tests.servers.process import until
from tests.servers.registries import Registry

Starter = Callable[..., Registry]
AGENT = "interop/1.0 <&>"
CONFIG, LAYER = b'{"architecture": "amd64", "os": "linux"}', b"a layer" * 100
MANIFEST = image(CONFIG, [LAYER])
NAME, OTHER = "team/app", "team/other"


class Narrator:
    """A registry, and what it tells of each request.

    Args:
        registry: It notifies `receiver`.
        receiver: Hears of everything.
    """

    def __init__(self, registry: Registry, receiver: Receiver) -> None:
        self.registry = registry
        self.receiver = receiver
        self.http = httpx.Client(
            base_url=registry.url, headers={"User-Agent": AGENT}, trust_env=False
        )

    def tells(self, method: str, path: str, **more: Any) -> list[Request]:
        """The requests to the endpoint that one request to the registry brings about."""
        before = len(self.receiver.requests())
        answer = self.http.request(method, path, **more)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        # A marker that is sure to be told of: events of one registry come in their order.
        self.marker += 1
        data = b"marker %d" % self.marker
        upload = self.http.post(f"/v2/{MARKERS}/blobs/uploads/").headers["location"]
        self.http.put(upload, params={"digest": sha256(data)}, content=data).raise_for_status()

        def told() -> bool:
            return any(sha256(data) in each.body for each in self.receiver.requests())

        until(told, seconds=30, what=f"events of {method} {path}")
        found = self.receiver.requests()[before:]
        return [each for each in found if each.events[0]["target"]["repository"] != MARKERS]

    marker = 0


MARKERS = "markers"


def upload(narrator: Narrator, name: str, data: bytes) -> tuple[str, str, dict[str, Any]]:
    """The request that ends an upload."""
    location = narrator.http.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    return "PUT", location, {"params": {"digest": sha256(data)}, "content": data}


def get(path: str, method: str = "GET", **more: Any) -> Callable[..., Any]:
    """A request without preparations."""
    return lambda _: (method, f"/v2/{path}", more)


ACCEPT = {"headers": {"Accept": OCI_MANIFEST}}
PUT = {"headers": {"Content-Type": OCI_MANIFEST}, "content": MANIFEST}
BY_DIGEST = f"{NAME}/manifests/{sha256(MANIFEST)}"
BLOB = f"{NAME}/blobs/{sha256(LAYER)}"

STEPS: dict[str, Callable[[Narrator], tuple[str, str, dict[str, Any]]]] = {
    "push a blob": lambda narrator: upload(narrator, NAME, LAYER),
    "push it again": lambda narrator: upload(narrator, NAME, LAYER),
    "push another": lambda narrator: upload(narrator, NAME, CONFIG),
    "push a manifest by tag": get(f"{NAME}/manifests/v1", "PUT", **PUT),
    "push it again by tag": get(f"{NAME}/manifests/v1", "PUT", **PUT),
    "push it by digest": get(BY_DIGEST, "PUT", **PUT),
    "pull by tag": get(f"{NAME}/manifests/v1", **ACCEPT),
    "pull by digest": get(BY_DIGEST, **ACCEPT),
    "head by tag": get(f"{NAME}/manifests/v1", "HEAD", **ACCEPT),
    "head by digest": get(BY_DIGEST, "HEAD", **ACCEPT),
    "pull a blob": get(BLOB),
    "pull a part of a blob": get(BLOB, headers={"Range": "bytes=2-5"}),
    "head of a blob": get(BLOB, "HEAD"),
    "mount a blob": get(
        f"{OTHER}/blobs/uploads/", "POST", params={"mount": sha256(LAYER), "from": NAME}
    ),
    "list tags": get(f"{NAME}/tags/list"),
    "delete a blob": get(f"{OTHER}/blobs/{sha256(LAYER)}", "DELETE"),
    "delete a manifest": get(BY_DIGEST, "DELETE"),
}


@pytest.fixture(scope="module")
def stories(request: pytest.FixtureRequest) -> dict[str, dict[str, list[Request]]]:
    """What each registry tells, by step; see `tell`."""
    return {}


@pytest.fixture
def docker(short_dir: Path, start_go_registry: Starter) -> Iterator[Narrator]:
    yield from _narrator(short_dir / "docker", start_go_registry, {})


@pytest.fixture
def pyreg(short_dir: Path, start_registry: Starter) -> Iterator[Narrator]:
    yield from _narrator(short_dir / "pyreg", start_registry, {"envelope": "v1"})


def _narrator(directory: Path, start: Starter, more: dict[str, Any]) -> Iterator[Narrator]:
    receiver = Receiver(directory).start()
    endpoint = {"name": "audit", "url": receiver.url, "headers": {"X-Two": ["a", "b"]}, **more}
    events = {"events": {"includereferences": True}, "endpoints": [endpoint]}
    try:
        yield Narrator(start(config={"notifications": events}), receiver)
    finally:
        receiver.stop()


def tell(narrator: Narrator) -> dict[str, list[Request]]:
    """All steps, one after the other."""
    return {step: narrator.tells(*prepare(narrator)) for step, prepare in STEPS.items()}


def shape(value: Any, where: str = "") -> Any:
    """A document with its keys in their order, and with the values that have to be equal."""
    if isinstance(value, dict):
        return [(name, shape(inner, name)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner, where) for inner in value]
    patterns = {
        "id": r"[0-9a-f-]{36}",
        "instanceID": r"[0-9a-f-]{36}",
        "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?(Z|[-+]\d\d:\d\d)",
        "addr": r"\S+:\d+",
        "host": r"127\.0\.0\.1:\d+",
        "url": r"http://127\.0\.0\.1:\d+(/v2/.+)",
    }
    if where in patterns:
        found = re.fullmatch(patterns[where], value)
        assert found, f"{where}: {value}"
        return found[1] if where == "url" else f"<{where}>"
    return value


def test_both_tell_the_same(docker: Narrator, pyreg: Narrator) -> None:
    theirs, ours = tell(docker), tell(pyreg)
    for step in STEPS:
        expected = [shape(each.events) for each in theirs[step]]
        found = [shape(each.events) for each in ours[step]]
        assert found == expected, step
    for mine, other in zip(ours.values(), theirs.values(), strict=True):
        for request, original in zip(mine, other, strict=True):
            check_request(request, original)


def check_request(ours: Request, theirs: Request) -> None:
    """What is around the events is the same, too."""
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.path == theirs.path
    for request in (ours, theirs):
        assert [value for name, value in request.pairs if name == "X-Two"] == ["a", "b"]
    # The same bytes, but for the values.
    pattern = re.compile(r'(": )(?:"[^"]*"|\d+)')
    assert pattern.sub(r"\1_", ours.body) == pattern.sub(r"\1_", theirs.body)
    assert r"interop/1.0 \u003c\u0026\u003e" in ours.body
    assert r"interop/1.0 \u003c\u0026\u003e" in theirs.body
    json.loads(ours.body)
