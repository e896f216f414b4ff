"""HTTP: one message posted to one endpoint, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from pyreg.hooks import DeliveryFailed
from pyreg_notify_webhook.address import Address
from pyreg_notify_webhook.answers import LARGEST, Answer, Showing
from pyreg_notify_webhook.messages import Message
from pyreg_notify_webhook.signing import signature_headers
from pyreg_notify_webhook.watched import Watched

MAX_REDIRECTS = 5
CONNECTIONS = 64
"""To one endpoint at once; more deliveries wait for one to be free."""
KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than the five of many servers."""
LAST_RESORT = 600.0
"""Seconds that a request may take where nobody sets a shorter time."""
DRAIN = 0.1
"""Seconds that the rest of an accepted answer is waited for, to use its connection again."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_LINE = 8190  # bytes of a line, and of a header, in an answer


@dataclass(frozen=True)
class Endpoint:
    """Where messages are posted, and how.

    Attributes:
        name: The sink's.
        address: Where.
        headers: The operator's.
        agent: What the registry calls itself.
        proxy: By which way; None for the direct one.
        servername: The name in the endpoint's certificate, if not that of the address.
        context: TLS, for https.
        secrets: With what messages are signed; None for no signature.
        clock: Seconds since the epoch.
    """

    name: str
    address: Address
    headers: CIMultiDict[str]
    agent: str
    proxy: Address | None = None
    servername: str = ""
    context: Watched[ssl.SSLContext] | None = None
    secrets: Watched[tuple[bytes, ...]] | None = None
    clock: Callable[[], float] = time.time


class Poster:
    """Posts messages to an endpoint; its connections are kept alive.

    Args:
        endpoint: Which one.
        showing: Shows what it answers.
    """

    def __init__(self, endpoint: Endpoint, showing: Showing) -> None:
        self._endpoint = endpoint
        self._showing = showing
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Get ready; no connection is made yet."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_remember_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=LAST_RESORT),
            auto_decompress=False,  # a small answer could become a large one
            trust_env=False,
            trace_configs=[trace],
            read_bufsize=LARGEST,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        )

    async def close(self) -> None:
        """Let go of all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, message: Message, *, patient: bool = False) -> Answer:
        """Post a message, and follow redirects to the same scheme, host and port.

        Args:
            message: What to post.
            patient: Read the body of an accepted answer as well.

        Returns:
            The answer, be it good or bad.

        Raises:
            DeliveryFailed: there was none, or it redirects to where nobody may follow.
        """
        url = self._endpoint.address.target
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._sent(url, message, patient)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            url = self._followed(url, location)
        raise self.failed(f"redirects more than {MAX_REDIRECTS} times")

    def failed(self, reason: str, answer: Answer | None = None) -> DeliveryFailed:
        """What is raised.

        Args:
            reason: A verb and what follows it; the endpoint is its subject.
            answer: That of the endpoint.
        """
        now = datetime.datetime.fromtimestamp(self._endpoint.clock(), datetime.UTC)
        return DeliveryFailed(
            f"{self._endpoint.address.origin} {reason}",  # the registry adds the name
            retry_after=answer.retry_after(now) if answer is not None else None,
        )

    def _followed(self, url: URL, location: str) -> URL:
        """Where a redirect leads to, if credentials may go there."""
        try:
            target = url.join(URL(location)).with_user(None).with_fragment(None)
            origin = target.origin()
        except ValueError:
            raise self.failed("redirects to what is no address") from None
        if origin != url.origin():
            raise self.failed(
                f"redirects to another host, {self._showing.masked(str(origin))}, where "
                f"credentials must not go; if that is right, put its address into url"
            )
        return target

    async def _sent(self, url: URL, message: Message, patient: bool) -> Answer:
        """The answer of one address."""
        try:
            for _ in range(2):
                connection = _Connection()
                try:
                    return await self._exchange(url, message, connection, patient)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    # The other side closed an idle connection at the moment that it was used.
                    if not (connection.reused and _is_reset(error)):
                        raise
            raise self.failed("closes connections as soon as they are used")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Whoever prints a chain of errors would print the whole address.
            raise self.failed(_reason(error, self._endpoint)) from None

    async def _exchange(
        self, url: URL, message: Message, connection: _Connection, patient: bool
    ) -> Answer:
        endpoint = self._endpoint
        if self._session is None:
            raise RuntimeError(f"{endpoint.name} is not open")
        proxy = endpoint.proxy
        async with self._session.post(
            url,
            data=message.body,
            headers=await self._headers(message),
            allow_redirects=False,
            ssl=await endpoint.context.current() if endpoint.context is not None else True,
            server_hostname=endpoint.servername or None,
            proxy=proxy.target if proxy is not None else None,
            proxy_headers=self._for_proxy(),
            trace_request_ctx=connection,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(response.status, headers)
            if answer.accepted and not patient:
                await _drain(response)
                return answer
            return Answer(response.status, headers, await _beginning(response))

    async def _headers(self, message: Message) -> CIMultiDict[str]:
        endpoint = self._endpoint
        headers = CIMultiDict({"User-Agent": endpoint.agent, "Accept-Encoding": "identity"})
        for name in endpoint.headers:
            headers.popall(name, None)
        headers.extend(endpoint.headers)
        if endpoint.address.authorization:
            headers["Authorization"] = endpoint.address.authorization
        if endpoint.context is None:
            headers.update(self._for_proxy())
        headers["Pyreg-Delivery"] = message.instance or "unknown"
        headers.update(message.headers)
        if endpoint.secrets is not None:
            secrets = await endpoint.secrets.current()
            headers.update(signature_headers(secrets, message.id, message.body, endpoint.clock))
        return headers

    def _for_proxy(self) -> dict[str, str]:
        """What only the proxy reads: with a request over http, before a connection over https."""
        proxy = self._endpoint.proxy
        if proxy is None or not proxy.authorization:
            return {}
        return {"Proxy-Authorization": proxy.authorization}


@dataclass
class _Connection:
    """Whether a request went over a connection that had served another one."""

    reused: bool = False


async def _remember_reuse(
    _session: aiohttp.ClientSession, context: object, _params: object
) -> None:
    connection = getattr(context, "trace_request_ctx", None)
    if isinstance(connection, _Connection):
        connection.reused = True


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body, as far as it is read at all; what breaks off in it changes nothing."""
    data = bytearray()
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while piece := await response.content.read(LARGEST - len(data)):
            data += piece
    return bytes(data)


async def _drain(response: aiohttp.ClientResponse) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            await _beginning(response)


def _is_reset(error: aiohttp.ClientError) -> bool:
    if isinstance(error, aiohttp.ClientConnectorError):
        return False  # there was no connection yet
    return isinstance(error, aiohttp.ServerDisconnectedError) or (
        isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
    )


def _reason(error: Exception, endpoint: Endpoint) -> str:
    """What went wrong. The errors' own texts are no good: some have the whole address in them."""
    proxy = f" by the proxy {endpoint.proxy.origin}" if endpoint.proxy is not None else ""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            inner = error.certificate_error
            why = getattr(inner, "verify_message", "") or type(inner).__name__
            return f"has a certificate that is not trusted: {why}"
        case aiohttp.ClientSSLError():
            return f"does not agree on TLS: {getattr(error.os_error, 'reason', '') or 'no reason'}"
        case aiohttp.ClientHttpProxyError():
            return f"cannot be reached{proxy}, which answers {error.status}"
        case aiohttp.ClientConnectorDNSError():
            return f"cannot be reached{proxy}: its host name is unknown"
        case aiohttp.ServerDisconnectedError():
            return "closed the connection without an answer"
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return "does not answer in HTTP"
        case TimeoutError():
            return f"did not answer{proxy} in time"
        case OSError():
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            early = isinstance(error, aiohttp.ClientConnectorError)
            verb = "cannot be reached" if early else "broke the connection off"
            return f"{verb}{proxy}: {why[:1].lower()}{why[1:]}"
        case _:
            return f"cannot be asked: {type(error).__name__}"
