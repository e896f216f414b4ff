"""A bounded pool for calls that block.

A job that runs in a thread cannot be stopped. So a cancelled `wait` goes on until the job has
ended, and only then raises `CancelledError`: whoever cancelled knows that nothing happens any
more, and that no thread still uses a file descriptor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from pyreg.errors import StorageUnavailable
from pyreg_storage_filesystem.failures import NAME

T = TypeVar("T")

WORKERS = 32
"""More threads than this only wait for the same disk."""


class Job(Generic[T]):
    """A call in a thread."""

    __slots__ = ("_done", "_future", "_must", "_waiter")

    def __init__(
        self, future: Future[T], finished: Callable[[], None], *, must: bool = False
    ) -> None:
        loop = asyncio.get_running_loop()
        self._future = future
        self._must = must
        self._done = False
        self._waiter: asyncio.Future[None] | None = None

        def wake() -> None:
            self._done = True
            finished()
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

        future.add_done_callback(lambda _: loop.call_soon_threadsafe(wake))

    async def ended(self) -> None:
        """Wait until the call has ended, whatever came of it."""
        cancelled: asyncio.CancelledError | None = None
        while not self._done:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError as error:
                cancelled = error
                if not self._must:
                    self._future.cancel()  # takes effect only while it waits for a thread
        if cancelled is not None:
            raise cancelled

    async def wait(self, undo: Callable[[T], None] | None = None) -> T:
        """The call's result, or the exception that it raised.

        Args:
            undo: What to do with a result that a cancelled caller does not get.
        """
        try:
            await self.ended()
        except asyncio.CancelledError:
            future = self._future
            if undo is not None and not future.cancelled() and future.exception() is None:
                undo(future.result())
            raise
        return self._future.result()


class Threads:
    """The threads of one driver.

    Args:
        limit: How many jobs may run or wait for a thread at once.
    """

    def __init__(self, limit: int) -> None:
        self._room = asyncio.Semaphore(limit)
        self._executor = ThreadPoolExecutor(min(limit, WORKERS), thread_name_prefix=NAME)

    async def start(self, call: Callable[[], T]) -> Job[T]:
        """Start a call; waits while there is no room."""
        await self._room.acquire()
        try:
            return Job(self._submit(call), self._room.release)
        except BaseException:
            self._room.release()
            raise

    def start_now(self, call: Callable[[], T]) -> Job[T]:
        """Start a call that ends what others began: at once, and whoever is cancelled."""
        return Job(self._submit(call), lambda: None, must=True)

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        try:
            return self._executor.submit(call)
        except RuntimeError as error:
            raise StorageUnavailable("the driver is closed", driver=NAME) from error

    def close(self) -> None:
        """Stop the threads; what has been started ends first."""
        self._executor.shutdown(wait=True)
