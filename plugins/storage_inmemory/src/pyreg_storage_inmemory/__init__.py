"""Storage in memory: for tests, demonstrations, and registries that may forget."""

from pyreg_storage_inmemory.driver import InMemoryStorage
from pyreg_storage_inmemory.plugin import InMemoryPlugin
from pyreg_storage_inmemory.store import InMemoryStore

__all__ = ["InMemoryPlugin", "InMemoryStorage", "InMemoryStore"]
