"""The source of certificates: a thread in each worker that sees to it that they are there."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pyreg.errors import PluginError
from pyreg_tls.acme import schedule
from pyreg_tls.acme.answers import Answers
from pyreg_tls.acme.cache import Cache, HostState
from pyreg_tls.acme.options import LetsEncrypt, binding_key
from pyreg_tls.acme.schedule import Held
from pyreg_tls.certificates import CertificateError, Pair, load

if TYPE_CHECKING:
    from pyreg_tls.acme.authority import Authority, Failed

log = logging.getLogger("pyreg.tls")

LOOK = 300.0
"""Seconds between looks at the directory at most: clocks are set, and files are taken away."""

OTHER_ASKS = 3.0
"""Seconds to the next look while another process speaks to the authority."""

AFTER_TROUBLE = 60.0
"""Seconds to the next look after an error that nobody foresaw, a full disk for one."""

SUGGESTIONS = 7 * 86400.0
"""Seconds before an authority is asked again when to renew a certificate (RFC 9773), at most, and
if it had no opinion."""

SUGGESTIONS_LEAST = 3600.0
"""Seconds between such questions at least."""

SUGGESTIONS_FAILED = 6 * 3600.0
"""Seconds before it is asked again after that has failed."""

ATTEMPTS = 2
"""After so many attempts that an authority does not answer, though it can be reached, a new order
is made in the place of the one under way."""

STOP = 2.0
"""Seconds for which a stop waits for a request that is under way."""


class Acme:
    """Keeps a certificate for each host.

    Args:
        options: Which hosts, from which authority.

    Attributes:
        files: Where the certificates are, each with its key in the same file, in the order of
            the hosts. They appear when they are issued, and are replaced when they are renewed.
    """

    def __init__(self, options: LetsEncrypt) -> None:
        self._options = options
        self._cache = Cache(options.cachefile)
        self._answers = Answers(self._cache, options.hosts)
        self._binding_key = ""
        self._started = time.time()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.files: tuple[Path, ...] = tuple(map(self._cache.certificate_path, options.hosts))

    async def start(self) -> None:
        """Begin; never waits for the authority.

        Raises:
            PluginError: the directory or a file that the configuration names cannot be used.
        """
        await asyncio.to_thread(self._open)
        self._started = time.time()
        self._stopping.clear()
        # A thread of its own, which nobody waits for when the process ends: the library can
        # neither be cancelled nor awaited. What it does survives being killed at any moment.
        self._thread = threading.Thread(target=self._run, name="pyreg-acme", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End; an order under way goes on at the next start."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP)
            self._thread = None

    async def health(self) -> str | None:
        """What is wrong with the certificates: missing, about to expire, not to be renewed."""
        return await asyncio.to_thread(self._complaints)

    async def http_answer(self, path: str) -> bytes | None:
        """What to send for a GET of a path over plain HTTP; None if it is no challenge's."""
        return await self._answers.http(path)

    async def hello_context(self, hello: bytes) -> ssl.SSLContext | None:
        """The context for a handshake that is a challenge; see `Answers.hello`."""
        return await self._answers.hello(hello)

    # -- the thread ------------------------------------------------------------------------

    def _open(self) -> None:
        self._cache.open()
        for path in self.files:
            if os.access(path, os.R_OK):
                self._set_aside_if_damaged(path)
        self._binding_key = binding_key(self._options.eab)
        roots = self._options.cacertificate
        if roots:
            try:
                ssl.create_default_context(cafile=roots)
            except OSError as error:  # an ssl.SSLError is one, too
                reason = error.strerror or error
                raise PluginError(
                    f"http.tls.letsencrypt.cacertificate {roots} cannot be used: {reason}"
                ) from error

    def _set_aside_if_damaged(self, path: Path) -> None:
        """A file of one's own may keep a server from starting; these can be had anew."""
        try:
            load(Pair(path, path, awaited=True))
        except CertificateError as error:
            log.warning("%s; it is set aside as %s+damaged", error, path.name)
            with suppress(FileNotFoundError):  # another worker was faster
                path.rename(path.with_name(f"{path.name}+damaged"))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                wait = self.look()
            except Exception:
                log.exception("the certificates of %s cannot be looked after", self.files[0].parent)
                wait = AFTER_TROUBLE
            self._stopping.wait(wait)

    def look(self) -> float:
        """Ask for what is due, unless another process does.

        Returns:
            Seconds to the next look.
        """
        if self._due():
            with self._cache.locked() as alone:
                # Another process may just have done it.
                if alone and self._due():
                    self._ask()
                elif not alone:
                    return OTHER_ASKS
        moments = [moment for host in self._options.hosts for moment in self._moments(host)]
        return min(max(min(moments) - time.time(), 1.0), LOOK)

    def _due(self) -> bool:
        now = time.time()
        return any(moment <= now for host in self._options.hosts for moment in self._moments(host))

    def _moments(self, host: str) -> tuple[float, float]:
        """When to ask for a certificate, and when for a suggestion of when to do that."""
        certificate, state = self._standing(host)
        when = schedule.due(certificate, state, self._started)
        return when, (float("inf") if certificate is None else max(state.asked, state.retry))

    def _standing(self, host: str) -> tuple[Held | None, HostState]:
        state = self._cache.state(host, self._options.directoryurl)
        path = self._cache.certificate_path(host)
        try:
            found = load(Pair(path, path, awaited=True))
            written = path.stat().st_mtime if found is not None else 0.0
        except FileNotFoundError:
            return None, state
        except CertificateError as error:
            log.warning("%s; a new certificate is asked for", error)
            return None, state
        if found is None or host not in found.names:
            return None, state
        leaf = found.chain[0]
        if state.key:
            key = load_pem_private_key(state.key.encode(), None)
            if key.public_key() == leaf.public_key():
                # We were killed when the certificate was there and the order not yet forgotten.
                state = _fulfilled(state)
        return Held.of(leaf, written), state

    def _complaints(self) -> str | None:
        now = time.time()
        found = [
            schedule.complaint(host, *self._standing(host), now) for host in self._options.hosts
        ]
        return "; ".join(filter(None, found)) or None

    # -- asking ----------------------------------------------------------------------------

    def _ask(self) -> None:
        # The library takes memory that only the one worker needs to spend that asks.
        from pyreg_tls.acme.authority import Authority, Failed, Stopped

        authority = Authority(self._options, self._binding_key, self._cache, self._stopping)
        try:
            authority.connect()
        except Failed as error:
            for host in self._options.hosts:
                self._note(host, error)
            return
        for host in self._options.hosts:
            try:
                self._ask_for(authority, host)
            except Failed as error:
                self._note(host, error, reached=True)
            except Stopped:
                return

    def _ask_for(self, authority: Authority, host: str) -> None:
        certificate, state = self._standing(host)
        if schedule.due(certificate, state, self._started) <= time.time():
            directory = self._options.directoryurl
            log.info(
                "asking %s for a certificate for %s%s",
                directory,
                host,
                " anew" if certificate else "; there is none yet",
            )
            pem = authority.obtain(host, state)
            self._cache.keep_certificate(host, pem)
            self._cache.keep_state(host, _fulfilled(state))
            certificate, state = self._standing(host)
            if certificate is not None:
                log.info("%s has a certificate until %s", host, _day(certificate.ends))
        if certificate is not None and state.asked <= time.time():
            self._ask_when(authority, host, certificate, state)

    def _ask_when(
        self, authority: Authority, host: str, certificate: Held, state: HostState
    ) -> None:
        renewal, again = authority.renewal(certificate.leaf)
        least = SUGGESTIONS if not renewal else SUGGESTIONS_LEAST
        again = min(max(again, time.time() + least), time.time() + SUGGESTIONS)
        self._cache.keep_state(host, state.model_copy(update={"renewal": renewal, "asked": again}))
        if renewal:
            log.debug("the certificate of %s is to be renewed on %s", host, _day(renewal))

    def _note(self, host: str, error: Failed, *, reached: bool = False) -> None:
        """Remember a failure, so that not even a new process tries again too soon.

        Args:
            host: Of which host.
            error: What went wrong.
            reached: Whether the authority had answered before that.
        """
        certificate, state = self._standing(host)
        now = time.time()
        if schedule.due(certificate, state, self._started) > now:
            log.info("no word on when to renew the certificate of %s: %s", host, error)
            later = max(now + SUGGESTIONS_FAILED, now + error.wait)
            self._cache.keep_state(host, state.model_copy(update={"asked": later}))
            return
        failures = state.failures + 1
        wait = schedule.pause(failures, refused=error.refused, wanted=error.wait)
        change: dict[str, object] = {
            "failures": failures,
            "reason": str(error),
            "retry": now + wait,
            "challenge": state.challenge + error.challenge,
        }
        if error.refused or (reached and failures >= ATTEMPTS):
            # An order of which an authority says nothing may never end: Pebble has such ones.
            change |= {"order": "", "key": ""}
        self._cache.keep_state(host, state.model_copy(update=change))
        log.warning(
            "no certificate for %s: %s; the next attempt is in %s", host, error, _span(wait)
        )


def _fulfilled(state: HostState) -> HostState:
    """What is left to remember when an order has brought its certificate."""
    return HostState(issuer=state.directory, directory=state.directory, challenge=state.challenge)


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def _span(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
