"""The conformance suite of storage drivers.

A driver's tests subclass `StorageContract` and say how to get drivers on a fresh store:

```python
class TestFilesystem(StorageContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[Callable[[], StorageDriver]]:
        with TemporaryDirectory() as root:
            yield lambda: FilesystemStorage(root)
```

The suite opens and closes the drivers itself. Two drivers on one store stand for two replicas.
"""

from __future__ import annotations

import pytest

from pyreg.testing.storage.listing import Listing
from pyreg.testing.storage.model import Model
from pyreg.testing.storage.objects import Objects
from pyreg.testing.storage.races import Races
from pyreg.testing.storage.reading import Reading
from pyreg.testing.storage.uploads import Uploads

__all__ = ["StorageContract"]


@pytest.mark.anyio
class StorageContract(Objects, Reading, Uploads, Listing, Races, Model):
    """Everything that `pyreg.hooks.storage` asks of a driver, as tests.

    A subclass overrides `store`, and where the defaults do not fit, the parameters of
    `pyreg.testing.storage.harness.Harness`.
    """
