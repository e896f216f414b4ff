"""Which process delivers to a sink: an object that its holder writes anew all the time."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

from pyreg.errors import ObjectNotFound, PreconditionFailed
from pyreg.hooks.storage import ABSENT, ANY, Condition, Match, ObjectInfo, StorageDriver
from pyreg.outbox.process import has_ended, this_process

RENEWALS = 3
"""How often a lease is renewed in the time after which it counts as abandoned."""


class LeaseLost(Exception):
    """Another process has taken the lease."""


class Lease:
    """One process's side of a lease.

    Clocks of different machines are never compared: a lease is abandoned when whoever wants it
    has not seen it change for `silence` seconds, or sees that its holder has ended.

    Args:
        driver: Where it is.
        key: Which.
        holder: Names this process.
        silence: Seconds without a renewal after which another process takes it.
    """

    def __init__(self, driver: StorageDriver, key: str, holder: str, *, silence: float) -> None:
        self._driver = driver
        self._key = key
        self._holder = holder
        self._silence = silence
        self._seen: tuple[str | None, bytes] | None = None
        self._since = 0.0
        self._condition: Condition = ABSENT
        self._renewed = 0.0

    @property
    def interval(self) -> float:
        """Seconds between two renewals."""
        return self._silence / RENEWALS

    async def acquire(self) -> bool:
        """Take the lease if nobody has it.

        Raises:
            StorageError: the store does not answer.
        """
        began = _now()
        try:
            found = await self._driver.get(self._key)
        except ObjectNotFound:
            return await self._take(ABSENT, began)
        assert found is not None
        if self._seen is None or self._seen != (found.info.etag, found.data):
            self._seen, self._since = (found.info.etag, found.data), began
        state = read_state(found.data)
        # Its own name: it has taken the lease, and never heard that it has.
        others = state.get("holder") not in ("", None, self._holder)
        held = others and not has_ended(state.get("process"))
        if held and began - self._since < self._silence:
            return False
        return await self._take(_condition(found.info), began)

    async def renew(self, state: Mapping[str, Any]) -> None:
        """Keep the lease, and show others how it goes.

        Raises:
            LeaseLost: another process has it.
            StorageError: the store does not answer; it may still be ours.
        """
        began = _now()
        try:
            if self._condition == ANY:  # a store without etags, where nothing ever fails
                await self._check_holder()
            info = await self._driver.put(
                self._key, self._said(state), when=self._condition, durable=False
            )
        except (PreconditionFailed, ObjectNotFound):
            # Its clock may have stood still as long as the machine has.
            self._renewed = -math.inf
            raise LeaseLost from None
        self._condition = _condition(info)
        self._renewed = began

    async def _check_holder(self) -> None:
        found = await self._driver.get(self._key)
        if found is None or read_state(found.data).get("holder") != self._holder:
            raise PreconditionFailed("another process has the lease", key=self._key)

    @property
    def expired(self) -> bool:
        """Whether others may already have taken it."""
        return _now() - self._renewed >= self._silence

    async def release(self, state: Mapping[str, Any]) -> None:
        """Let others have it at once."""
        data = json.dumps({**state, "holder": ""}).encode("ascii")
        try:
            await self._driver.put(self._key, data, when=self._condition, durable=False)
        except PreconditionFailed:
            return  # somebody has it already

    async def _take(self, condition: Condition, began: float) -> bool:
        try:
            info = await self._driver.put(self._key, self._said({}), when=condition, durable=False)
        except PreconditionFailed:
            return False
        self._condition = _condition(info)
        self._renewed = began
        return True

    def _said(self, state: Mapping[str, Any]) -> bytes:
        # The time makes it different from what was there, whatever else is the same.
        said = {**state, "holder": self._holder, "process": this_process(), "at": _now()}
        return json.dumps(said).encode("ascii")


def read_state(data: bytes) -> dict[str, Any]:
    """What the holder of a lease shows; empty if that cannot be read."""
    try:
        state = json.loads(data)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _condition(info: ObjectInfo) -> Condition:
    return ANY if info.etag is None else Match(info.etag)


def _now() -> float:
    return asyncio.get_running_loop().time()
