"""The entry point and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from pyreg.hooks import StorageDriver, hookimpl
from pyreg_storage_filesystem.driver import FilesystemStorage


@dataclass(frozen=True)
class Options:
    """The options below `storage.filesystem`.

    Attributes:
        rootdirectory: Where everything is kept; created when it does not exist.
        maxthreads: How many blocking operations may be under way or waiting at once.
    """

    rootdirectory: Annotated[str, Field(min_length=1)] = "/var/lib/registry"
    maxthreads: Annotated[int, Field(ge=25)] = 100


_Options = Options  # inside the class, `Options` is the attribute


class FilesystemPlugin:
    """Hands out the driver `filesystem`."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._options = options

    @hookimpl
    def pyreg_storage(self) -> StorageDriver:
        """A driver for the configured directory."""
        return FilesystemStorage(self._options.rootdirectory, maxthreads=self._options.maxthreads)
