"""The sink keeps the contract, over every kind of connection; its server ends by SIGKILL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from plugins.notify_redis.tests.conftest import Start
from plugins.notify_redis.tests.streams import Stream
from pyreg.testing import Endpoint, SinkContract
from tests.server.authorities import Authority

PASSWORD = "correct/horse@battery"


class TestTCP(SinkContract):
    @pytest.fixture
    def endpoint(self, start: Start) -> Endpoint:
        server = start(journal=True)
        return Stream(server, {"url": server.url})


class TestPassword(SinkContract):
    @pytest.fixture
    def endpoint(self, start: Start) -> Endpoint:
        server = start(journal=True, password=PASSWORD)
        quoted = PASSWORD.replace("/", "%2F").replace("@", "%40")
        url = f"redis://:{quoted}@{server.address}"
        return Stream(server, {"url": url}, PASSWORD, quoted)


class TestUnixSocket(SinkContract):
    @pytest.fixture
    def endpoint(self, start: Start) -> Endpoint:
        server = start(journal=True, password=PASSWORD)
        return Stream(server, {"address": str(server.socket), "password": PASSWORD}, PASSWORD)


class TestTLS(SinkContract):
    @pytest.fixture
    def endpoint(
        self,
        start: Start,
        certificates: Mapping[str, str],
        authority: Authority,
        tmp_path: Path,
    ) -> Endpoint:
        ca = certificates["ca"]
        own = authority.client("registry").save(tmp_path, "registry")
        server = start(journal=True, password=PASSWORD, tls={**certificates, "cas": ca})
        options = {
            "url": f"rediss://127.0.0.1:{server.tls_port}",
            "password": PASSWORD,
            "tls": {"cas": [ca], **own},
        }
        return Stream(server, options, PASSWORD)
