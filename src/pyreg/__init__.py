"""A container registry that you install like a library."""

from pyreg.app import Registry

__all__ = ["Registry"]
