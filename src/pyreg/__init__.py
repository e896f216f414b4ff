"""A container registry that you install like a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyreg.app import Registry

__all__ = ["Registry"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: the command answers `--version` without a web framework.
    if name == "Registry":
        from pyreg.app import Registry

        return Registry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
