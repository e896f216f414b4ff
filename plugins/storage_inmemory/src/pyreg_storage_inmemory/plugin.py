"""The entry point."""

from __future__ import annotations

from typing import ClassVar

from pyreg.hooks import StorageDriver, hookimpl
from pyreg_storage_inmemory.driver import InMemoryStorage


class InMemoryPlugin:
    """Hands out the driver `inmemory`, which has no options.

    Attributes:
        one_process: A second worker process would have another store.
    """

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[None] = None
    one_process: ClassVar[bool] = True

    def __init__(self, options: None = None) -> None:
        self._driver = InMemoryStorage()

    @hookimpl
    def pyreg_storage(self) -> StorageDriver:
        """The driver; its objects live as long as the plugin."""
        return self._driver
