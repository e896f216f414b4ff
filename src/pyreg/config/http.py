"""`http`: where and how the registry listens."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import SecretStr, ValidationInfo, field_validator

from pyreg.config.inherited import TLS, Debug, Headers
from pyreg.config.section import Section
from pyreg.config.shape import option
from pyreg.config.values import ByteSize, Duration, ExternalURL, Lower, Network, Prefix

DEFAULT_ADDRESS = "127.0.0.1:5000"

_MIB = 1024 * 1024
_LONGEST_SOCKET_PATH = 107


class HTTP2(Section):
    """`http.http2`."""

    disabled: bool = option(False, "Speak HTTP/1.1 only, also over TLS.")


class H2C(Section):
    """`http.h2c`."""

    enabled: bool = option(False, "Speak HTTP/2 without TLS too.")


class HTTP(Section):
    """`http`."""

    net: Annotated[Literal["tcp", "unix"], Lower] = option("tcp", "Kind of `addr`.")
    addr: str = option(
        DEFAULT_ADDRESS,
        "Where to listen: `host:port`, `:port` for all addresses, or with `net: unix` a path. "
        "Sockets handed over by systemd are used instead.",
    )
    host: ExternalURL = option(
        "", "The URL under which clients reach the registry; else it is taken from each request."
    )
    prefix: Prefix = option("", "Path in front of `/v2/`, when the registry is not at the root.")
    relativeurls: bool = option(False, "Answer with relative URLs in `Location`.")
    secret: SecretStr = option(
        SecretStr(""),
        "Signs the state of uploads in the Docker registry.",
        status="ignored",
        reason="pyreg keeps the state of uploads in the storage, where nothing must be signed",
        quiet=True,
    )
    draintimeout: Duration = option(30.0, "How long requests may go on after a stop was asked for.")
    headers: Headers = option({}, "Headers of every response; each value is a list.")
    workers: int = option(2, "Processes that serve.", ge=1, le=1024)
    idletimeout: Duration = option(
        60.0, "A client that moves no byte for so long is disconnected; 0 waits for ever."
    )
    trustedproxies: tuple[Network, ...] = option(
        (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
        "Addresses and networks whose `Forwarded` and `X-Forwarded-*` headers are believed.",
    )
    maxmanifestsize: ByteSize = option(
        4 * _MIB, "The largest manifest that is taken.", ge=1, le=8 * _MIB
    )
    tls: TLS = option(TLS(), "Encryption.", status="plugin", reason="extension `tls`")
    debug: Debug = option(
        Debug(), "The debug server.", status="plugin", reason="extension `telemetry`"
    )
    http2: HTTP2 = option(HTTP2(), "HTTP/2 over TLS.")
    h2c: H2C = option(H2C(), "HTTP/2 without TLS.")

    @field_validator("addr")
    @classmethod
    def _fits_net(cls, addr: str, info: ValidationInfo) -> str:
        if info.data.get("net") == "unix":
            if not addr or "\0" in addr or len(addr.encode()) > _LONGEST_SOCKET_PATH:
                raise ValueError(f"expected a path of at most {_LONGEST_SOCKET_PATH} bytes")
        else:
            split_address(addr)
        return addr

    @property
    def host_and_port(self) -> tuple[str, int] | None:
        """Where to listen; the host is "" for all addresses. None with `net: unix`."""
        return split_address(self.addr) if self.net == "tcp" else None


def split_address(address: str) -> tuple[str, int]:
    """Take `host:port` apart.

    Args:
        address: `host:port`, `[v6]:port` or `:port`.

    Returns:
        The host, "" for all addresses, and the port.

    Raises:
        ValueError: it is nothing of the kind.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/\[\]]*)):([0-9]{1,5})", address)
    if match is None or int(match[3]) > 65535:
        raise ValueError("expected host:port or :port, such as 127.0.0.1:5000")
    return match[1] or match[2] or "", int(match[3])
