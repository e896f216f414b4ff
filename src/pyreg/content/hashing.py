"""Pieces of content on their way to the storage, hashed as they pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pyreg.content.digest import Digest, Hasher

PIECE = 512 * 1024
"""Bytes that are hashed and written at once: large enough that the work is in C."""

SMALLEST = 64 * 1024
"""Bytes of a piece, however many uploads there are."""

BUDGET = 4 * 1024 * 1024
"""Bytes that the pieces of all uploads of a process have together, as long as they are not
smaller than `SMALLEST`. Each upload holds two or three pieces at a time."""

_INLINE = 32 * 1024  # bytes that are hashed sooner than a thread is woken


class Hashed:
    """Pieces on their way to the driver; each is hashed in a thread while it is written."""

    def __init__(self, pieces: AsyncIterator[bytes], hasher: Hasher | None) -> None:
        self._pieces = pieces
        self._hasher = hasher
        self._hashing: asyncio.Future[None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        hasher = self._hasher
        loop = asyncio.get_running_loop()
        async for piece in self._pieces:
            if hasher is not None:
                await self.settled()
                if len(piece) <= _INLINE:
                    hasher.update(piece)
                else:
                    self._hashing = loop.run_in_executor(None, hasher.update, piece)
            yield piece

    async def settled(self) -> None:
        """Wait until every piece has been hashed."""
        if self._hashing is not None:
            hashing, self._hashing = self._hashing, None
            await hashing


def piece_size(uploads: int) -> int:
    """Bytes of a piece while so many uploads share the memory of a process."""
    return max(SMALLEST, min(PIECE, BUDGET // max(uploads, 1)))


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """Bytes in memory as an iterator of pieces."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


async def digest_of(pieces: AsyncIterator[bytes], algorithm: str) -> Digest:
    """The digest of pieces that lie in the store already."""
    hasher = Hasher(algorithm)
    async for piece in pieces:
        await asyncio.to_thread(hasher.update, piece)
    return hasher.digest()
