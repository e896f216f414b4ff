"""A server that is killed at any moment tells endpoints of all that it acknowledged."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from plugins.notify_webhook.tests.receiver import Receiver
from tests.durability.disk import Disk
from tests.durability.target import Target
from tests.durability.test_kill_loop import disk, seed
from tests.fixtures.wire import OCI_MANIFEST

__all__ = ["disk", "seed"]

CLIENTS = 4
PATIENCE = 120.0
"""Seconds after the last kill in which everything has to arrive."""

What = tuple[str, str, str, str]
"""The action, the repository, the digest and the tag of an event."""


class Client(threading.Thread):
    """Pushes, tags and deletes things that nobody had before.

    Args:
        target: What it speaks to.
        number: Names its repository.
        seed: Decides what it does.
        deletes: Whether it deletes what it pushed, too.

    Attributes:
        acknowledged: What was answered with success.
        doubtful: What was asked for, and never answered.
    """

    def __init__(self, target: Target, number: int, seed: str, *, deletes: bool) -> None:
        super().__init__(daemon=True)
        self.repository = f"team/app{number}"
        self.acknowledged: list[What] = []
        self.doubtful: set[What] = set()
        self.trouble: list[str] = []
        self._target = target
        self._chance = random.Random(f"{seed}-{number}")
        self._ending = threading.Event()
        self._number = 0
        self._deletes = deletes

    def run(self) -> None:
        """Work until told to end."""
        while not self._ending.is_set():
            try:
                self._push()
            except (OSError, HTTPException):
                time.sleep(0.02)  # it was killed just now

    def end(self) -> None:
        """Finish what is under way."""
        self._ending.set()
        self.join(60)
        assert not self.is_alive()

    def _push(self) -> None:
        blob = self._chance.randbytes(self._chance.choice([10, 5000, 200_000]))
        digest = _digest(blob)
        path = f"/v2/{self.repository}/blobs"
        if not self._ask("POST", f"{path}/uploads/?digest={digest}", blob, ("push", digest, "")):
            return
        self._number += 1
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest}
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {**config, "size": len(blob)},
            "layers": [],
            "annotations": {"number": str(self._number)},
        }
        payload = json.dumps(document).encode()
        manifest = _digest(payload)
        manifests = f"/v2/{self.repository}/manifests"
        # A tag that moves all the time, one that is new, and now and then their deletion.
        for tag in ("moving", f"v{self._number}"):
            if not self._ask("PUT", f"{manifests}/{tag}", payload, ("push", manifest, tag)):
                return
        if not self._deletes:
            return
        tags = ["moving", f"v{self._number}"]
        if self._chance.random() < 0.3:
            tag = tags.pop()
            if not self._ask("DELETE", f"{manifests}/{tag}", b"", ("delete", "", tag)):
                return
        if self._chance.random() < 0.2:
            gone = [("delete", manifest, ""), *(("delete", "", tag) for tag in tags)]
            if not self._ask("DELETE", f"{manifests}/{manifest}", b"", *gone):
                return
        if self._chance.random() < 0.2:
            self._ask("DELETE", f"{path}/{digest}", b"", ("delete", digest, ""))

    def _ask(self, method: str, path: str, body: bytes, *what: tuple[str, str, str]) -> bool:
        events = [(action, self.repository, digest, tag) for action, digest, tag in what]
        connection = HTTPConnection(self._target.registry.address, timeout=30)
        try:
            connection.connect()
            # Noted before: an event may arrive before the answer.
            self.doubtful.update(events)
            kind = OCI_MANIFEST if "/manifests/" in path else "application/octet-stream"
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in (201, 202):
            # A worker that dies may leave another with half of what it had in hand.
            self.trouble.append(f"{method} {path}: {answer.status} {said[:200]!r}")
            return False
        self.acknowledged += events
        self.doubtful.difference_update(events)
        return True


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _read(receiver: Receiver) -> Iterator[tuple[str, What]]:
    """The events that the receiver took, with their ids."""
    for request in receiver.requests():
        if 200 <= request.status < 400:
            for event in request.events:
                target = event["target"]
                digest = target.get("digest", "")
                if event["action"] == "delete" and target.get("tag"):
                    digest = ""
                yield (
                    event["id"],
                    (event["action"], target["repository"], digest, target.get("tag", "")),
                )


def torment(directory: Path, kills: int, seed: str, disk: Disk | None = None) -> None:
    """Kill a registry again and again while an endpoint comes and goes; then count.

    Args:
        directory: For logs, and without a disk for its data.
        kills: How often at least.
        seed: For all choices.
        disk: Where its data lies; its power is cut as well.
    """
    chance = random.Random(seed)
    receiver = Receiver(directory / "receiver").start()
    endpoint = {
        "name": "flapping",
        "url": receiver.url,
        "threshold": 3,
        "backoff": "100ms",
        "ignore": {"actions": ["pull"]},
    }
    config = {"notifications": {"endpoints": [endpoint]}}
    target = Target(directory / "registry", chance, disk, config=config)
    ways = [target.kill_worker] * 6 + [target.kill_server] * 3 + [target.kill_supervisor]
    if disk is not None:
        ways = [target.kill_worker, *[target.cut_power] * 3]
    # What is undone by another request at the moment of a power cut may be told as undone only.
    clients = [Client(target, number, seed, deletes=disk is None) for number in range(CLIENTS)]
    began = time.monotonic()
    try:
        for client in clients:
            client.start()
        while target.kills < kills:
            target.pause(0.05, 1.2)
            receiver.behave(fails=chance.choice([0, 0, -1, 3]))
            chance.choice(ways)()
            if chance.random() < 0.1:
                receiver.kill()
                target.pause(0.1, 1.0)
                receiver.start()
            target.wait()
        for client in clients:
            client.end()
        receiver.behave(fails=0)
        target.steady()
        acknowledged = [what for client in clients for what in client.acknowledged]
        doubtful = {what for client in clients for what in client.doubtful}
        trouble = [text for client in clients for text in client.trouble]
        assert len(acknowledged) > 10 * kills, trouble[:5]
        missing = _wait_for(receiver, acknowledged)
        assert not missing, f"seed {seed}: never told: {missing[:5]} and {len(missing)} in all"
        told = list(_read(receiver))
        invented = {what for _, what in told} - set(acknowledged) - doubtful
        assert not invented, f"seed {seed}: invented: {sorted(invented)[:5]}"
        # Nobody went on with what was never answered: it is as it was left.
        unseen = [
            what
            for what in {what for _, what in told} & doubtful
            if what[3] != "moving" and not _has_happened(target, what)
        ]
        assert not unseen, f"seed {seed}: told of what has not happened: {unseen[:5]}"
        ids: dict[str, What] = {}
        for id, what in told:
            assert ids.setdefault(id, what) == what
        again = Counter(what for id, what in ids.items() if what[3] != "moving")
        print(
            f"\nseed {seed}: {target.kills} kills in {time.monotonic() - began:.0f} s, "
            f"{len(acknowledged)} writes acknowledged, {len(doubtful)} never answered, "
            f"{len(told)} deliveries of {len(ids)} events; {max(again.values())} ids for one "
            "write at the most"
        )
        target.stop()
    finally:
        target.end()
        receiver.stop()


def _has_happened(target: Target, what: What) -> bool:
    """Whether the registry shows what an event tells of."""
    action, repository, digest, tag = what
    found = []
    for path in (f"manifests/{tag or digest}", f"blobs/{digest}")[: 1 if tag else 2]:
        connection = HTTPConnection(target.registry.address, timeout=30)
        connection.request("HEAD", f"/v2/{repository}/{path}", headers={"Accept": OCI_MANIFEST})
        found.append(connection.getresponse().status == 200)
        connection.close()
    return any(found) == (action == "push")


def _wait_for(receiver: Receiver, acknowledged: list[What]) -> list[What]:
    """Wait until all of it was told; what is still missing in the end."""
    wanted = Counter(acknowledged)
    end = time.monotonic() + PATIENCE
    while True:
        told = Counter(what for _, what in dict(_read(receiver)).items())
        missing = [what for what, count in wanted.items() if told[what] < count]
        if not missing or time.monotonic() > end:
            return missing
        time.sleep(0.5)


def test_killed_processes_tell_of_all_they_acknowledged(tmp_path: Path, seed: str) -> None:
    torment(tmp_path, 8, seed)


def test_a_power_cut_leaves_nothing_untold(tmp_path: Path, disk: Disk, seed: str) -> None:
    torment(tmp_path, 4, seed, disk)


@pytest.mark.soak
def test_60_power_cuts_leave_nothing_untold(tmp_path: Path, disk: Disk, seed: str) -> None:
    torment(tmp_path, 80, seed, disk)


@pytest.mark.soak
def test_200_killed_processes_tell_of_all_they_acknowledged(tmp_path: Path, seed: str) -> None:
    torment(tmp_path, 200, seed)
    shutil.rmtree(tmp_path)
