"""The test kit for plugin authors; needs `pytest`, `anyio` and `hypothesis`."""

import pytest

pytest.register_assert_rewrite("pyreg.testing.storage")

from pyreg.testing.storage import StorageContract  # noqa: E402 - after the line above

__all__ = ["StorageContract"]
