"""The same pushes, pulls, mounts and deletes as the Docker registry and pyreg tell of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import httpx

from plugins.notify_webhook.tests.receiver import Receiver, Request
from tests.fixtures.in_process import image
from tests.fixtures.wire import OCI_INDEX, OCI_MANIFEST, sha256
from tests.servers.process import until
from tests.servers.registries import Registry

Starter = Callable[..., Registry]
AGENT = "interop/1.0 <&>"
LOGIN = ("ada", "correct horse")
CONFIG, LAYER = b'{"architecture": "amd64", "os": "linux"}', b"a layer" * 100
MANIFEST = image(CONFIG, [LAYER])
INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": sha256(MANIFEST),
                "size": len(MANIFEST),
                "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
                "annotations": {"b": "<2>", "a": "1"},
            }
        ],
        "annotations": {"c": "3"},
    }
).encode()
NAME, OTHER = "team/app", "team/other"


class Narrator:
    """A registry, and what it tells of each request.

    Args:
        registry: It notifies `receiver`.
        receiver: Hears of everything.
    """

    def __init__(self, registry: Registry, receiver: Receiver) -> None:
        self.receiver = receiver
        # One connection leads to one worker, whose pulls come in their order.
        self.http = httpx.Client(base_url=registry.url, trust_env=False, auth=LOGIN)

    def ask(self, step: str, method: str, path: str, **more: Any) -> httpx.Response:
        """One request; by its `User-Agent` its events are known."""
        headers = {"User-Agent": f"{AGENT} {step}", **more.pop("headers", {})}
        answer = self.http.request(method, path, headers=headers, **more)
        assert answer.status_code < 300, f"{step}: {answer.status_code} {answer.text}"
        return answer

    def upload(self, step: str, name: str, data: bytes) -> None:
        """Push a blob."""
        location = self.ask("upload", "POST", f"/v2/{name}/blobs/uploads/").headers["location"]
        joint = "&" if "?" in location else "?"
        self.ask(step, "PUT", f"{location}{joint}digest={sha256(data)}", content=data)

    def story(self) -> dict[str, list[Request]]:
        """What is told of each step, once the last of all is told of."""
        self.ask("end", "GET", f"/v2/{BLOB}")
        self.upload("end", NAME, b"the end")

        def told() -> bool:
            return len(self._of("end")) == 2

        until(told, seconds=60, what="the last events")
        return {step: self._of(step) for step in STEPS}

    def _of(self, step: str) -> list[Request]:
        agent = f"{AGENT} {step}"
        return [
            each
            for each in self.receiver.requests()
            if each.events[0]["request"]["useragent"] == agent
        ]


def get(path: str, method: str = "GET", **more: Any) -> Callable[[Narrator, str], object]:
    """A step of one request."""
    return lambda narrator, step: narrator.ask(step, method, f"/v2/{path}", **dict(more))


def push(name: str, data: bytes) -> Callable[[Narrator, str], object]:
    """A step that pushes a blob."""
    return lambda narrator, step: narrator.upload(step, name, data)


def put(reference: str, body: bytes, kind: str = OCI_MANIFEST) -> Callable[..., object]:
    """A step that pushes a manifest."""
    headers = {"Content-Type": kind}
    return get(f"{NAME}/manifests/{reference}", "PUT", headers=headers, content=body)


ACCEPT: dict[str, Any] = {"headers": {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}"}}
BY_DIGEST = f"{NAME}/manifests/{sha256(MANIFEST)}"
BLOB = f"{NAME}/blobs/{sha256(LAYER)}"
MOUNT = {"mount": sha256(LAYER), "from": NAME}

STEPS: dict[str, Callable[[Narrator, str], object]] = {
    "push a blob": push(NAME, LAYER),
    "push a blob again": push(NAME, LAYER),
    "push another blob": push(NAME, CONFIG),
    "push a manifest by tag": put("v1", MANIFEST),
    "push a manifest again": put("v1", MANIFEST),
    "push a manifest by digest": put(sha256(MANIFEST), MANIFEST),
    "push an index": put("multi", INDEX, OCI_INDEX),
    "pull by tag": get(f"{NAME}/manifests/v1", **ACCEPT),
    "pull by digest": get(BY_DIGEST, **ACCEPT),
    "pull an index": get(f"{NAME}/manifests/multi", **ACCEPT),
    "head by tag": get(f"{NAME}/manifests/v1", "HEAD", **ACCEPT),
    "head by digest": get(BY_DIGEST, "HEAD", **ACCEPT),
    "pull a blob": get(BLOB),
    "pull a part of a blob": get(BLOB, headers={"Range": "bytes=2-5"}),
    "head of a blob": get(BLOB, "HEAD"),
    "come by a proxy": get(BLOB, headers={"X-Forwarded-For": "192.0.2.7"}),
    "mount a blob": get(f"{OTHER}/blobs/uploads/", "POST", params=MOUNT),
    "list tags": get(f"{NAME}/tags/list"),
    "begin an upload": get(f"{NAME}/blobs/uploads/", "POST"),
    "delete a blob": get(f"{OTHER}/blobs/{sha256(LAYER)}", "DELETE"),
    "delete a manifest": get(BY_DIGEST, "DELETE"),
}


def tell(directory: Path, start: Starter, more: dict[str, Any]) -> dict[str, list[Request]]:
    """What a registry tells of all steps, one after the other."""
    receiver = Receiver(directory).start()
    users = directory / "htpasswd"
    users.write_text(f"{LOGIN[0]}:{bcrypt.hashpw(LOGIN[1].encode(), bcrypt.gensalt(5)).decode()}\n")
    endpoint = {"name": "audit", "url": receiver.url, "headers": {"X-Two": ["a", "b"]}, **more}
    config = {
        "auth": {"htpasswd": {"realm": "tests", "path": str(users)}},
        "notifications": {"events": {"includereferences": True}, "endpoints": [endpoint]},
    }
    try:
        narrator = Narrator(start(config=config), receiver)
        for step, act in STEPS.items():
            act(narrator, step)
        return narrator.story()
    finally:
        receiver.stop()


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
        "addr": r"\S+:\d+|192\.0\.2\.7",
        "host": r"127\.0\.0\.1:\d+",
        "url": r"http://127\.0\.0\.1:\d+(/v2/.+)",
    }
    if where in patterns:
        found = re.fullmatch(patterns[where], value)
        assert found, f"{where}: {value}"
        return found[1] if where == "url" else f"<{where}>"
    return value


def test_both_tell_the_same(
    short_dir: Path, start_go_registry: Starter, start_registry: Starter
) -> None:
    theirs = tell(short_dir / "docker", start_go_registry, {})
    ours = tell(short_dir / "pyreg", start_registry, {"envelope": "v1"})
    for step in STEPS:
        expected = [shape(each.events) for each in theirs[step]]
        found = [shape(each.events) for each in ours[step]]
        assert found == expected, step
        for request, original in zip(ours[step], theirs[step], strict=True):
            check_request(request, original)


def check_request(ours: Request, theirs: Request) -> None:
    """What is around the events is the same, too."""
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.path == theirs.path
    for request in (ours, theirs):
        assert [value for name, value in request.pairs if name == "X-Two"] == ["a", "b"]
    # The same bytes, but for the values.
    value = re.compile(r'(": )(?:"[^"]*"|\d+)')
    assert value.sub(r"\1_", ours.body) == value.sub(r"\1_", theirs.body)
    agent = re.compile(r'"useragent": "interop/1\.0 \\u003c\\u0026\\u003e [a-z ]+"')
    assert agent.findall(ours.body) == agent.findall(theirs.body) != []
