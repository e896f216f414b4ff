"""What all connections of a worker share."""

from __future__ import annotations

from hypercorn.asyncio.worker_context import WorkerContext


class ServingContext(WorkerContext):
    """What all connections of a worker know.

    Attributes:
        ending: The worker takes no further connections; every answer is its connection's last.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.ending = False
