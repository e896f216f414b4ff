"""A process of its own, for the tests of several processes and of sudden death.

`python worker.py JOB ROOT NAME`; it prints a line of JSON for what has been acknowledged.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import sys
from collections.abc import AsyncIterator

from pyreg.errors import PreconditionFailed
from pyreg.hooks import ABSENT, Match
from pyreg_storage_filesystem import FilesystemStorage


def sealed(name: str, size: int) -> bytes:
    """Content that tells whether it is whole."""
    body = name.encode() + b":" + random.Random(name).randbytes(size)
    return hashlib.sha256(body).digest() + body


def whole(data: bytes) -> bool:
    return hashlib.sha256(data[32:]).digest() == data[:32]


def say(*line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        await asyncio.sleep(0)
        yield data[start : start + 50_000]


async def write_forever(driver: FilesystemStorage, name: str) -> None:
    """Puts, uploads, renames and deletes, each said when it is done."""

    async def puts() -> None:
        for turn in itertools.count():
            data = sealed(f"{name}-{turn}", 3_000)
            await driver.put(f"tags/{name}", data)
            say("put", f"tags/{name}", turn)
            key = f"links/{name}/{turn}/link"
            await driver.put(key, data, when=ABSENT)
            say("there", key)
            if turn % 3 == 0:
                await driver.delete(key)
                say("gone", key)
            elif turn % 3 == 1:
                await driver.rename(key, f"moved/{name}/{turn}")
                say("gone", key)
                say("there", f"moved/{name}/{turn}")

    async def uploads(lane: str) -> None:
        for turn in itertools.count():
            data = sealed(f"{name}-{lane}-{turn}", 400_000)
            state = await driver.begin_upload(f"r/_uploads/{name}-{lane}-{turn}/data")
            offset = 0
            for end in (100_000, 250_000, len(data)):
                state, offset = await driver.append(state, offset, pieces(data[offset:end]))
                say("state", f"{name}-{lane}-{turn}", state, offset)
            await driver.finish(state, key=f"blobs/{name}-{lane}-{turn}/data")
            say("there", f"blobs/{name}-{lane}-{turn}/data")

    await asyncio.gather(puts(), uploads("a"), uploads("b"))


async def count(driver: FilesystemStorage, name: str) -> None:
    """Count to a hundred by compare-and-swap."""
    done = 0
    while done < 100:
        found = await driver.get("counter")
        assert found is not None
        assert found.info.etag is not None
        more = b"%d" % (int(found.data) + 1)
        try:
            await driver.put("counter", more, when=Match(found.info.etag), durable=False)
        except PreconditionFailed:
            continue
        done += 1


async def claim(driver: FilesystemStorage, name: str) -> None:
    """Try to be the first, again and again."""
    for turn in range(200):
        try:
            await driver.put(f"claims/{turn}/x", name.encode(), when=ABSENT, durable=False)
        except PreconditionFailed:
            continue
        say("won", turn)


async def decorate(driver: FilesystemStorage, name: str) -> None:
    """Put something behind whatever is there; never over it."""
    while True:
        found = await driver.get("value")
        assert found is not None
        if found.data == b"stop":
            return
        assert found.info.etag is not None
        value = found.data.split(b"+")[0] + b"+" + name.encode()
        try:
            await driver.put("value", value, when=Match(found.info.etag), durable=False)
        except PreconditionFailed:
            pass


async def main(job: str, root: str, name: str) -> None:
    driver = FilesystemStorage(root)
    await driver.open()
    jobs = {"write": write_forever, "count": count, "claim": claim, "decorate": decorate}
    await jobs[job](driver, name)
    await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
