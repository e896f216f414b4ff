"""What clients were told, and what must therefore be true."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Literal, NamedTuple

from tests.durability.registers import Event, Operation, Register, Value
from tests.fixtures.images import noise
from tests.fixtures.wire import sha256


class Key(NamedTuple):
    """What a register is about: a blob or manifest of a repository (by digest), or a tag."""

    kind: Literal["blob", "manifest", "tag"]
    repository: str
    name: str


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that can be made anew at any time.

    Attributes:
        digest: Their name.
        size: How many.
        seed: What they are made from.
        whole: The bytes themselves; None for those that are made from the seed.
    """

    digest: str
    size: int
    seed: str = ""
    whole: bytes | None = None

    @classmethod
    def made(cls, seed: str, size: int) -> Content:
        """A blob of noise."""
        return cls(sha256(noise(size, seed)), size, seed)

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Something small."""
        return cls(sha256(data), len(data), whole=data)

    def bytes(self) -> bytes:
        """The bytes."""
        return noise(self.size, self.seed) if self.whole is None else self.whole


class Ledger:
    """Everything that clients asked for and were told; safe to use from many threads.

    Attributes:
        contents: Everything that was ever sent, by digest.
    """

    def __init__(self) -> None:
        self.contents: dict[str, Content] = {}
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._registers: dict[Key, Register] = {}
        self._events: dict[Key, list[Event]] = {}

    def know(self, content: Content) -> Content:
        """Remember bytes that are about to be sent."""
        self.contents[content.digest] = content
        return content

    def begin(
        self, key: Key, value: Value, *, kind: Literal["write", "read"] = "write", note: str = ""
    ) -> Operation:
        """An operation is about to be asked for."""
        with self._lock:
            operation = Operation(next(self._numbers), kind, value, note=note)
            self._registers.setdefault(key, Register("/".join(key)))
            self._events.setdefault(key, []).append(("begin", operation))
        return operation

    def end(self, key: Key, operation: Operation, *, sure: bool) -> None:
        """Its answer has come, or never will."""
        with self._lock:
            operation.outcome = "sure" if sure else "lost"
            self._events[key].append(("end", operation))

    @contextmanager
    def writing(self, *writes: tuple[Key, Value], note: str = "") -> Iterator[None]:
        """One request that changes several registers.

        Leaving without an exception means that it was acknowledged; `Untold` that nobody knows.
        """
        begun = [(key, self.begin(key, value, note=note)) for key, value in writes]
        sure = False
        try:
            yield
            sure = True
        finally:
            for key, operation in begun:
                self.end(key, operation, sure=sure)

    def saw(self, key: Key, operation: Operation, value: Value) -> None:
        """A read has been answered."""
        operation.value = value
        self.end(key, operation, sure=True)

    def settle(self) -> None:
        """Check everything since the last time; nothing may be under way.

        Raises:
            Impossible: see `Register.settle`.
        """
        with self._lock:
            events, self._events = self._events, {}
            for key, happened in events.items():
                self._registers[key].settle(happened)

    def keys(self, kind: str) -> list[Key]:
        """All registers of a kind, those with operations since the last check first."""
        with self._lock:
            touched = [key for key in self._events if key.kind == kind]
            seen = set(touched)
            return touched + [k for k in self._registers if k.kind == kind and k not in seen]

    def values(self, key: Key) -> frozenset[Value]:
        """What a register's value may be, as of the last check."""
        return self._registers[key].values

    def touched(self, key: Key) -> bool:
        """Whether there have been operations since the last check."""
        return key in self._events

    def forget_read(self, key: Key, operation: Operation) -> None:
        """A read was never answered: it says nothing."""
        with self._lock:
            events = self._events[key]
            events.remove(("begin", operation))
            if not events:
                del self._events[key]
