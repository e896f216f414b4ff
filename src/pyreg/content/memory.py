"""What is remembered in memory, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """A least-recently-used map that holds at most `budget` bytes.

    Args:
        budget: Bytes, as the sum of the costs given to `put`. 0 remembers nothing.
    """

    __slots__ = ("_entries", "_size", "budget")

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._size = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """What is remembered, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, cost: int) -> None:
        """Remember; the least recently used entries give way."""
        self.forget(key)
        if cost > self.budget // 4:
            return  # one giant must not push out everything else
        self._entries[key] = (value, cost)
        self._size += cost
        while self._size > self.budget:
            _, (_, freed) = self._entries.popitem(last=False)
            self._size -= freed

    def forget(self, key: Key) -> None:
        """Forget; nothing happens if it is not remembered."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry[1]

    @property
    def size(self) -> int:
        """Bytes remembered now."""
        return self._size

    def __len__(self) -> int:
        return len(self._entries)
