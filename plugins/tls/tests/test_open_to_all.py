"""A registry without authentication is not open to all where every client has to prove itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyreg import Registry
from pyreg.config import Configuration
from pyreg.server.settings import server_config
from pyreg_storage_inmemory import InMemoryStorage
from pyreg_tls.options import Options
from pyreg_tls.plugin import TLSPlugin


@pytest.mark.parametrize(
    ("clientauth", "open_to_all"),
    [
        (None, True),
        ("request-client-cert", True),
        ("require-any-client-cert", True),  # anybody can make one
        ("verify-client-cert-if-given", True),
        ("require-and-verify-client-cert", False),
    ],
)
def test_who_may_come_in(material: Path, clientauth: str | None, open_to_all: bool) -> None:
    options = {
        "certificate": str(material / "server.pem"),
        "key": str(material / "server.key"),
        **(
            {"clientcas": [str(material / "ca.pem")], "clientauth": clientauth}
            if clientauth
            else {}
        ),
    }
    plugin = TLSPlugin(Options.model_validate(options))
    registry = Registry(storage=InMemoryStorage(), plugins=[plugin])
    config = server_config(Configuration())
    config.exposed = True
    registry.configure_server(config)
    assert config.encryption is not None
    assert registry.open_to_all is open_to_all
