"""The entry point `tls`: `http.tls` of the configuration."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from pyreg.errors import PluginError
from pyreg.hooks import ASGIApp, Encryption, hookimpl
from pyreg_tls.acme import Acme
from pyreg_tls.certificates import CertificateError, Pair
from pyreg_tls.contexts import Policy
from pyreg_tls.handshake import Handshakes
from pyreg_tls.hsts import with_hsts
from pyreg_tls.options import Options
from pyreg_tls.renewal import Renewal

if TYPE_CHECKING:
    import hypercorn

logger = logging.getLogger("pyreg.tls")

_Options = Options  # inside the class, `Options` is the attribute


class _Server(Protocol):
    """The configuration of `pyreg serve`: Hypercorn's, with a place for us."""

    encryption: Encryption
    ssl_handshake_timeout: float


class TLSPlugin:
    """Encrypts what `pyreg serve` serves."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._acme = Acme(options.letsencrypt) if options.letsencrypt.wanted else None
        self._renewal: Renewal | None = None

    @hookimpl
    def pyreg_server_config(self, config: hypercorn.Config) -> None:
        """Hand the server what it encrypts with."""
        if not hasattr(config, "encryption"):
            raise PluginError(
                "http.tls works with `pyreg serve` alone; under Hypercorn itself, give Hypercorn "
                "the certificate, and remove http.tls"
            )
        policy = Policy.of(self._options, config.alpn_protocols)
        for warning in policy.warnings:
            logger.warning("%s", warning)
        self._renewal = Renewal(self._options, self._pairs(), policy)
        server = cast(_Server, config)
        server.encryption = Handshakes(self._renewal, self._acme)
        server.ssl_handshake_timeout = self._options.handshaketimeout
        if self._options.certified:
            # Nobody comes in without a good certificate: the registry is not open to all.
            config.verify_mode = ssl.CERT_REQUIRED

    @hookimpl
    def pyreg_asgi_wrapper(self, app: ASGIApp) -> ASGIApp | None:
        """Add `Strict-Transport-Security`."""
        return with_hsts(app, self._options.hsts) if self._options.hsts.maxage else None

    @hookimpl
    async def pyreg_startup(self) -> None:
        """Read the certificates."""
        if self._renewal is None:
            logger.warning(
                "http.tls has no effect: another server than `pyreg serve` runs this registry, "
                "and encryption is up to it"
            )
            return
        if self._acme is not None:
            await self._acme.start()
        try:
            await self._renewal.start()
        except CertificateError as error:
            raise PluginError(f"http.tls: {error}") from error

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        """Look after them no more."""
        if self._renewal is not None:
            await self._renewal.stop()
        if self._acme is not None:
            await self._acme.stop()

    @hookimpl
    def pyreg_health(self) -> Callable[[], Awaitable[str | None]]:
        """Whether clients can trust the certificates."""

        async def certificates() -> str | None:
            if self._renewal is None:
                return None
            found = [self._renewal.trouble()]
            if self._acme is not None:
                found.append(await self._acme.health() or "")
            return "; ".join(filter(None, found)) or None

        return certificates

    def _pairs(self) -> tuple[Pair, ...]:
        issued = self._acme.files if self._acme is not None else ()
        return (
            *self._options.pairs,
            *(Pair(path, path, awaited=True) for path in issued),
        )
