"""The conformance suite of event sinks.

A sink's tests say what it delivers to, an `Endpoint`, and subclass `SinkContract`:

```python
class Queue(Endpoint):
    secrets = ("the queue's password",)

    def sink(self) -> EventSink:
        return QueueSink("queue", self.address, self.secrets[0])

    async def received(self) -> list[Received]:
        return [Received(message["id"]) for message in await self.read_all()]

    async def stop(self) -> None: ...
    async def start(self) -> None: ...


class TestQueue(SinkContract):
    @pytest.fixture
    async def endpoint(self) -> AsyncIterator[Endpoint]:
        queue = Queue()
        await queue.start()
        yield queue
        await queue.stop()
```

The suite makes, opens and closes the sinks itself. Two sinks of one endpoint stand for two
replicas.
"""

from __future__ import annotations

import pytest

from pyreg.testing.events.delivery import Delivery
from pyreg.testing.events.endpoint import Endpoint, Received
from pyreg.testing.events.failure import Failure
from pyreg.testing.events.figures import Figures
from pyreg.testing.events.lifecycle import Lifecycle
from pyreg.testing.events.secrecy import Secrecy

__all__ = ["Endpoint", "Received", "SinkContract"]


@pytest.mark.anyio
class SinkContract(Delivery, Failure, Lifecycle, Secrecy, Figures):
    """Everything that `pyreg.hooks.EventSink` asks of a sink, as tests.

    A subclass overrides the fixture `endpoint`, and where the defaults do not fit, the parameters
    of `pyreg.testing.events.harness.Harness`.
    """
