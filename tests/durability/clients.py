"""Clients that push, move, delete and read while the server is killed, and note what they heard."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import httpx

from tests.durability.ledger import Content, Key, Ledger
from tests.fixtures.wire import OCI_MANIFEST, sha256

SHARED = "load/shared"
SHARED_TAGS = ("latest", "stable", "v1.0", "v1.0-rc1")
OWN_TAGS = ("a", "b", "b-1", "c")

_SIZES = ((6, 2, 4_000), (4, 4_000, 400_000), (2, 1_000_000, 4_000_000))
"""Weights of blobs, with the range of their sizes in bytes."""

_SLICE = 64 * 1024
_ACCEPT = {"Accept": OCI_MANIFEST}


class Untold(Exception):
    """No answer came: nobody knows what became of the request."""


class Gone(Untold):
    """The upload is gone, as it may be."""


class Watched(Protocol):
    """What a client has to know of the server that is killed."""

    kills: int
    cuts: int
    dark: bool

    @property
    def past_cuts(self) -> int:
        """How many cuts are over: one that is under way takes what is acknowledged now."""
        ...

    def wait(self) -> None:
        """Wait until it answers."""


@dataclass
class Image:
    """A manifest that was acknowledged, with its blobs."""

    manifest: Content
    blobs: list[Content]


class Client(threading.Thread):
    """One client.

    Args:
        number: Tells it from others; its own repository is called by it.
        url: Of the server.
        target: The server.
        ledger: Where it notes what it heard.
        seed: For its choices.
        gate: It begins nothing while this is not set.

    Attributes:
        turn: Held during each action.
        counts: How often it did what.
        failure: What it found to be wrong, which ended it.
    """

    def __init__(
        self,
        number: int,
        url: str,
        target: Watched,
        ledger: Ledger,
        seed: str,
        gate: threading.Event,
    ) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.repository = f"load/c{number}"
        self.counts: dict[str, int] = {}
        self.failure: BaseException | None = None
        self.turn = threading.Lock()
        self._target = target
        self._ledger = ledger
        self._chance = random.Random(f"{seed} {number}")
        self._gate = gate
        self._over = threading.Event()
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)
        self._made = 0
        self._loose: list[Content] = []
        self._images: list[Image] = []
        self._actions: list[tuple[int, Callable[[], None]]] = [
            (6, self.push_blob),
            (6, self.push_image),
            (3, self.move_tag),
            (2, self.delete_tag),
            (2, self.delete_image),
            (3, self.delete_blob),
            (2, self.mount_blob),
            (1, self.cancel_upload),
            (1, self.abandon_upload),
            (6, self.read_tag),
            (2, self.read_blob),
        ]

    def run(self) -> None:
        """Act until told to stop; what goes wrong is kept in `failure`."""
        weights, actions = zip(*self._actions, strict=True)
        try:
            while not self._over.is_set():
                self._gate.wait(0.1)
                with self.turn:
                    if self._gate.is_set():
                        self._act(self._chance.choices(actions, weights)[0])
        except BaseException as error:
            self.failure = error
        finally:
            self._http.close()

    def _act(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Untold:
            self._count("untold")
            self._target.wait()
        self._count(action.__name__)

    def stop(self) -> None:
        """End after the action under way."""
        self._over.set()
        self.join(120)
        assert not self.is_alive(), f"{self.name} does not end"

    # -- what a client does ----------------------------------------------------------------

    def push_blob(self) -> None:
        """A blob of its own that no image needs."""
        blob = self._blob()
        if self._push(self.repository, blob):
            self._loose.append(blob)

    def push_image(self) -> None:
        """An image: configuration, layers, manifest, and a tag that may have to move."""
        repository, tag = self._any_tag()
        blobs = [self._blob() for _ in range(self._chance.randint(1, 3))]
        for blob in blobs:
            if not self._push(repository, blob):
                return
        image = Image(self._manifest(blobs), blobs)
        self._put_manifest(repository, tag, image)
        if repository == self.repository:
            self._images.append(image)

    def move_tag(self) -> None:
        """Point a tag at an image of its own that is there already."""
        if self._images:
            tags = self._chance.sample(OWN_TAGS, self._chance.randint(1, 2))
            self._put_manifest(self.repository, None, self._chance.choice(self._images), tags)

    def delete_tag(self) -> None:
        """Delete a tag, which may not be there."""
        repository, tag = self._any_tag()
        key = Key("tag", repository, tag)
        operation = self._ledger.begin(key, None, note="delete")
        sure = False
        try:
            answer = self._ask("DELETE", f"/v2/{repository}/manifests/{tag}")
            if answer.status_code == 404:
                operation.kind = "read"  # it saw that there is nothing
            else:
                _expect(answer, 202)
            sure = True
        finally:
            self._ledger.end(key, operation, sure=sure)

    def delete_image(self) -> None:
        """Delete a manifest of its own by digest, and thereby all its tags."""
        if len(self._images) < 3:
            return
        image = self._images.pop(self._chance.randrange(len(self._images)))
        digest = image.manifest.digest
        pointing = [tag for tag in OWN_TAGS if self._tag(self.repository, tag) == digest]
        writes = [(Key("manifest", self.repository, digest), None)]
        writes += [(Key("tag", self.repository, tag), None) for tag in pointing]
        with self._ledger.writing(*writes, note="delete by digest"):
            _expect(self._ask("DELETE", f"/v2/{self.repository}/manifests/{digest}"), 202)
        self._loose += image.blobs

    def delete_blob(self) -> None:
        """Delete a blob of its own that no image needs."""
        if len(self._loose) > 5:
            blob = self._loose.pop(self._chance.randrange(len(self._loose)))
            with self._ledger.writing(
                (Key("blob", self.repository, blob.digest), None), note="delete"
            ):
                _expect(self._ask("DELETE", f"/v2/{self.repository}/blobs/{blob.digest}"), 202)

    def mount_blob(self) -> None:
        """Take a blob of its own over into the shared repository."""
        if self._images:
            blob = self._chance.choice(self._chance.choice(self._images).blobs)
            query = {"mount": blob.digest, "from": self.repository}
            with self._ledger.writing(
                (Key("blob", SHARED, blob.digest), blob.digest), note="mount"
            ):
                _expect(self._ask("POST", f"/v2/{SHARED}/blobs/uploads/", params=query), 201)

    def cancel_upload(self) -> None:
        """Begin an upload and throw it away; once that is acknowledged it is unknown."""
        location = self._begin(self.repository)
        self._ask("PATCH", location, content=self._blob().bytes())
        _expect(self._ask("DELETE", location), 204)
        _expect(self._ask("GET", location), 404)

    def abandon_upload(self) -> None:
        """Begin an upload and never end it: work for the purger."""
        location = self._begin(self.repository)
        if self._chance.random() < 0.7:
            _expect(self._ask("PATCH", location, content=self._blob().bytes()), 202)

    def read_tag(self) -> None:
        """Look where a tag points."""
        repository, tag = self._any_tag()
        self._tag(repository, tag)

    def read_blob(self) -> None:
        """Read a blob of its own; every byte must be there."""
        if self._images:
            blob = self._chance.choice(self._chance.choice(self._images).blobs)
            answer = self._ask("GET", f"/v2/{self.repository}/blobs/{blob.digest}")
            _expect(answer, 200)
            assert sha256(answer.content) == blob.digest, f"{blob} was damaged"

    # -- uploads ---------------------------------------------------------------------------

    def _push(self, repository: str, blob: Content) -> bool:
        """Push a blob in one of many ways. False if it was given up."""
        how = self._chance.choice(["single", "put", "patch", "stream", "chunks", "chunks"])
        self._count(f"push by {how}")
        key = Key("blob", repository, blob.digest)
        with self._ledger.writing((key, blob.digest), note=how):
            if how == "single":
                query = {"digest": blob.digest}
                path = f"/v2/{repository}/blobs/uploads/"
                _expect(self._ask("POST", path, params=query, content=self._slices(blob)), 201)
                return True
            cuts = self._target.past_cuts
            location = self._begin(repository)
            told = _Told()
            try:
                self._upload(location, blob, how, told)
            except Untold:
                self._resume(repository, location, blob, told, cuts)
        return True

    def _upload(self, location: str, blob: Content, how: str, told: _Told) -> None:
        closing = {"digest": blob.digest}
        if how == "put":
            told.closing = True
            answer = self._ask("PUT", location, params=closing, content=self._slices(blob))
        else:
            pieces = [(0, blob.size)]
            if how == "chunks":
                marks = sorted({0, *self._chance.sample(range(2, blob.size), 2), blob.size})
                pieces = list(pairwise(marks))
            last = pieces.pop() if how == "chunks" and self._chance.random() < 0.5 else None
            for start, stop in pieces:
                self._patch(location, blob, start, stop, chunked=how == "stream", told=told)
            told.closing = True
            headers, content = {}, None
            if last is not None:
                headers = {"Content-Range": f"{last[0]}-{last[1] - 1}"}
                content = blob.bytes()[last[0] : last[1]]
            answer = self._ask("PUT", location, params=closing, content=content, headers=headers)
        _expect(answer, 201)
        assert answer.headers["docker-content-digest"] == blob.digest

    def _patch(
        self, location: str, blob: Content, start: int, stop: int, *, chunked: bool, told: _Told
    ) -> None:
        if chunked:
            answer = self._ask("PATCH", location, content=self._slices(blob))
        else:
            answer = self._ask(
                "PATCH",
                location,
                content=blob.bytes()[start:stop],
                headers={"Content-Range": f"{start}-{stop - 1}"},
            )
        _expect(answer, 202)
        assert _offset(answer) == stop, f"{stop} bytes were sent, {answer.headers['range']} kept"
        told.kept = stop

    def _resume(
        self, repository: str, location: str, blob: Content, told: _Told, cuts: int
    ) -> None:
        """Go on at the offset that the server reports, however often it is killed meanwhile."""
        self._count("resumed")
        for _ in range(100):
            self._target.wait()
            kills = self._target.kills
            try:
                if self._resume_once(repository, location, blob, told, cuts):
                    return
            except Gone:
                raise
            except Untold:
                continue
            except AssertionError:
                # Killed between two of our questions: what held for the first may be over.
                if kills == self._target.kills:
                    raise
        raise AssertionError(f"{blob} could not be uploaded in 100 attempts")

    def _resume_once(
        self, repository: str, location: str, blob: Content, told: _Told, cuts: int
    ) -> bool:
        status = self._ask("GET", location)
        if status.status_code == 404:
            if told.closing:
                there = self._ask("HEAD", f"/v2/{repository}/blobs/{blob.digest}")
                if there.status_code == 200:
                    return True
            # Without power an upload may be lost that no byte was acknowledged of.
            excused = self._target.cuts > cuts and not told.kept
            assert excused, f"{location} is lost at {told}"
            raise Gone
        _expect(status, 204)
        offset = _offset(status)
        assert told.kept <= offset <= blob.size, f"{location} stands at {offset}, {told}"
        if offset < blob.size:
            self._patch(location, blob, offset, blob.size, chunked=False, told=told)
        told.closing = True
        answer = self._ask("PUT", location, params={"digest": blob.digest})
        _expect(answer, 201)
        return True

    def _begin(self, repository: str) -> str:
        answer = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        _expect(answer, 202)
        return str(answer.headers["location"])

    def _slices(self, blob: Content) -> Iterator[bytes]:
        """A body of unknown length, sometimes a slow one, so that a kill finds it half sent."""
        data = blob.bytes()
        pause = 0.01 if blob.size > 1_000_000 and self._chance.random() < 0.3 else 0
        for start in range(0, len(data), _SLICE):
            yield data[start : start + _SLICE]
            if pause:
                time.sleep(pause)

    # -- the rest --------------------------------------------------------------------------

    def _blob(self) -> Content:
        self._made += 1
        [(_, least, most)] = self._chance.choices(_SIZES, [size[0] for size in _SIZES])
        size = self._chance.randint(least, most) + 3
        return self._ledger.know(Content.made(f"{self.repository} {self._made}", size))

    def _manifest(self, blobs: list[Content]) -> Content:
        config, *layers = blobs
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(config, "config.v1+json"),
            "layers": [_descriptor(layer, "layer.v1.tar") for layer in layers],
            "annotations": {"made.by": f"{self.name}, {self._made}"},
        }
        return self._ledger.know(Content.of(json.dumps(document).encode()))

    def _put_manifest(
        self, repository: str, tag: str | None, image: Image, more: list[str] | None = None
    ) -> None:
        digest = image.manifest.digest
        names = [tag] if tag else (more or [])
        writes = [(Key("manifest", repository, digest), digest)]
        writes += [(Key("tag", repository, name), digest) for name in names]
        with self._ledger.writing(*writes, note="push"):
            answer = self._ask(
                "PUT",
                f"/v2/{repository}/manifests/{tag or digest}",
                params=None if tag else {"tag": names},
                content=image.manifest.bytes(),
                headers={"Content-Type": OCI_MANIFEST},
            )
            _expect(answer, 201)
            assert answer.headers["docker-content-digest"] == digest

    def _tag(self, repository: str, tag: str) -> str | None:
        """Read a tag, for the ledger, too."""
        key = Key("tag", repository, tag)
        operation = self._ledger.begin(key, None, kind="read")
        try:
            answer = self._ask("GET", f"/v2/{repository}/manifests/{tag}", headers=_ACCEPT)
            if answer.status_code == 404:
                value = None
            else:
                _expect(answer, 200)
                value = answer.headers["docker-content-digest"]
                assert sha256(answer.content) == value, f"{tag} of {repository} was damaged"
        except BaseException:
            self._ledger.end(key, operation, sure=False)
            raise
        self._ledger.saw(key, operation, value)
        return value

    def _any_tag(self) -> tuple[str, str]:
        if self._chance.random() < 0.4:
            return SHARED, self._chance.choice(SHARED_TAGS)
        return self.repository, self._chance.choice(OWN_TAGS)

    def _ask(self, method: str, url: str, **options: object) -> httpx.Response:
        dark, cuts = self._target.dark, self._target.past_cuts
        try:
            answer = self._http.request(method, url, **options)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            raise Untold from error
        if answer.status_code == 503 and (dark or self._target.cuts > cuts):
            raise Untold  # the disk died before the server did
        return answer

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


@dataclass
class _Told:
    """What the server has acknowledged of an upload.

    Attributes:
        kept: Bytes.
        closing: Whether the closing request has been sent, so that the upload may be done.
    """

    kept: int = 0
    closing: bool = False


def _descriptor(blob: Content, kind: str) -> dict[str, object]:
    media_type = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _offset(answer: httpx.Response) -> int:
    match = re.fullmatch(r"0-(\d+)", answer.headers["range"])
    assert match is not None, answer.headers["range"]
    last = int(match[1])
    return last + 1 if last else 0  # no blob here has a single byte, and no chunk ends there


def _expect(answer: httpx.Response, status: int) -> None:
    request = answer.request
    assert answer.status_code == status, (
        f"{request.method} {request.url}: expected {status}, got {answer.status_code} {answer.text}"
    )
