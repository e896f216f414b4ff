"""Storage in a directory, in the layout of the Docker registry."""

from pyreg_storage_filesystem.driver import FilesystemStorage
from pyreg_storage_filesystem.plugin import FilesystemPlugin, Options

__all__ = ["FilesystemPlugin", "FilesystemStorage", "Options"]
