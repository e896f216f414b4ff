"""All clients together: set to work, and halted where nothing is under way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.durability.clients import Client, Watched
from tests.durability.ledger import Ledger


class Crew:
    """A number of clients.

    Args:
        count: How many.
        url: Of the server.
        target: The server.
        ledger: Where they note what they heard.
        seed: For their choices.
    """

    def __init__(self, count: int, url: str, target: Watched, ledger: Ledger, seed: str) -> None:
        self._gate = threading.Event()
        self.clients = [
            Client(number, url, target, ledger, seed, self._gate) for number in range(count)
        ]
        for client in self.clients:
            client.start()

    def work(self) -> None:
        """Let them act."""
        self._gate.set()

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Wait until each has ended what it was at, and keep them from going on.

        Raises:
            BaseException: what a client found to be wrong.
        """
        self._gate.clear()
        with ExitStack() as turns:
            for client in self.clients:
                assert client.turn.acquire(timeout=120), f"{client.name} does not come to an end"
                turns.callback(client.turn.release)
            for client in self.clients:
                if client.failure is not None:
                    raise client.failure
            yield

    def stop(self) -> None:
        """Send them home."""
        for client in self.clients:
            client.stop()

    def counts(self) -> Counter[str]:
        """How often each thing was done, over all clients."""
        return sum((Counter(client.counts) for client in self.clients), Counter())
