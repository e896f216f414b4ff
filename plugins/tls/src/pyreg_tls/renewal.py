"""Certificates that are renewed while the registry runs.

The files are looked at every other second, by every worker for itself. A change is taken when
it is whole: a certificate whose key has not been replaced yet, or a file that is half written,
leaves the old one in force.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyreg_tls import certificates, clients
from pyreg_tls.certificates import CertificateError, Pair
from pyreg_tls.contexts import Contexts, Policy
from pyreg_tls.options import Options

logger = logging.getLogger("pyreg.tls")

INTERVAL = 2.0
"""Seconds between two looks at the files."""

SOON = datetime.timedelta(days=14)
"""A certificate that expires so soon should have been renewed."""

AGAIN = 86400.0
"""Seconds until an owner is reminded of what nobody has mended."""

State = tuple[tuple[int, int, int, int] | None, ...]


class Renewal:
    """The contexts that are in force, renewed when a file changes.

    Args:
        options: `http.tls`.
        pairs: Where the certificates lie, the first first.
        policy: What is spoken.
    """

    def __init__(self, options: Options, pairs: Iterable[Pair], policy: Policy) -> None:
        self._options = options
        self._pairs = tuple(pairs)
        self._policy = policy
        self._state: State = ()
        self._task: asyncio.Task[None] | None = None
        self._reminded = 0.0
        self.contexts = Contexts((), policy, None)

    async def start(self) -> None:
        """Read the files, and look at them from now on.

        Raises:
            CertificateError: one of them cannot be used.
        """
        self._state = await asyncio.to_thread(self._look)
        self.contexts = await asyncio.to_thread(self._load)
        self._remind()
        self._task = asyncio.create_task(self._watch(), name="certificates")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def trouble(self) -> str:
        """What clients say of the certificates in force; "" for nothing."""
        now = datetime.datetime.now(datetime.UTC)
        found = [each.trouble(now) for each in self.contexts.certificates]
        return "; ".join(filter(None, found))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self._renew()
            except Exception:
                logger.exception("the certificates could not be looked at")
            if asyncio.get_running_loop().time() - self._reminded >= AGAIN:
                self._remind()

    async def _renew(self) -> None:
        state = await asyncio.to_thread(self._look)
        if state == self._state:
            return
        self._state = state
        try:
            self.contexts = await asyncio.to_thread(self._load)
        except CertificateError as error:
            logger.error("%s; the old certificates stay in force", error)
        else:
            logger.info("the certificates were read again: %s", ", ".join(self._described()))
            self._remind()

    def _look(self) -> State:
        return tuple(_state(path) for path in self._files())

    def _files(self) -> Iterator[Path]:
        for pair in self._pairs:
            yield pair.certificate
            yield pair.key
        yield from self._options.client_files

    def _load(self) -> Contexts:
        found = [certificates.load(pair) for pair in self._pairs]
        present = [each for each in found if each is not None]
        return Contexts(present, self._policy, clients.load(self._options))

    def _described(self) -> Iterator[str]:
        for each in self.contexts.certificates:
            yield f"{each.pair.certificate} (until {each.expires:%Y-%m-%d})"

    def _remind(self) -> None:
        self._reminded = asyncio.get_running_loop().time()
        now = datetime.datetime.now(datetime.UTC)
        for each in self.contexts.certificates:
            if trouble := each.trouble(now):
                logger.warning("%s; clients will refuse it", trouble)
            elif each.expires - now < min(SOON, each.lifetime / 3):
                logger.warning(
                    "%s expires on %s", each.pair.certificate, f"{each.expires:%Y-%m-%d %H:%M} UTC"
                )


def _state(path: Path) -> tuple[int, int, int, int] | None:
    """What changes when a file is written or replaced; None if it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
