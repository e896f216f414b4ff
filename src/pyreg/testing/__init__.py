"""The test kit for plugin authors; needs `pytest`, `anyio` and `hypothesis`."""

import pytest

pytest.register_assert_rewrite(
    "pyreg.testing.auth", "pyreg.testing.events", "pyreg.testing.storage"
)

from pyreg.testing.auth import AuthContract, AuthorizerContract, Credentials  # noqa: E402
from pyreg.testing.events import Endpoint, Received, SinkContract  # noqa: E402
from pyreg.testing.storage import StorageContract  # noqa: E402 - after the line above

__all__ = [
    "AuthContract",
    "AuthorizerContract",
    "Credentials",
    "Endpoint",
    "Received",
    "SinkContract",
    "StorageContract",
]
