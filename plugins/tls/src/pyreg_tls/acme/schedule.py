"""When to ask for a certificate, when again after a failure, and what is worth a complaint."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Self

from cryptography import x509

from pyreg_tls.acme.cache import HostState

SPENT = 2 / 3
"""The part of a certificate's life after which it is renewed."""

SPREAD = 1 / 30
"""The part of its life by which some are renewed earlier than others, so that certificates that
were issued on one day are not all renewed on one day."""

LATEST = 5 / 6
"""The part of its life after which it is renewed whatever the authority suggests, and after which
`/debug/health` tells of it."""

FAILING = 5
"""After so many failures in a row `/debug/health` tells of them: two hours and a half or so."""

FIRST_PAUSE = 60.0
"""Seconds to the next attempt after the first refusal."""

GROWTH = 4
"""Each further pause is so many times longer: 1, 4, 16 minutes. Let's Encrypt allows five refusals
of one name in an hour, and the fifth would come after 81 minutes."""

LONGEST_PAUSE = 3600.0
"""Seconds between attempts at most, unless the authority asks for more."""

UNREACHABLE_PAUSE = 5.0
"""Seconds to the second attempt when the authority did not answer, which costs it nothing; each
further pause is twice as long."""

PATIENCE = 7 * 86400.0
"""Seconds for which an authority can put us off at most."""


@dataclass(frozen=True)
class Held:
    """A certificate that we have.

    Attributes:
        leaf: The certificate.
        written: When its file was written, in seconds since the epoch.
        begins: Seconds since the epoch.
        ends: Likewise.
    """

    leaf: x509.Certificate
    written: float
    begins: float
    ends: float

    @classmethod
    def of(cls, leaf: x509.Certificate, written: float) -> Self:
        """What matters of a certificate."""
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        return cls(leaf, written, begins.timestamp(), ends.timestamp())

    def at(self, part: float) -> float:
        """The moment at which a part of its life is over, in seconds since the epoch."""
        return self.begins + (self.ends - self.begins) * part

    @property
    def spent(self) -> float:
        """When to renew it by the rule of thumb. Serial numbers are random, and every replica
        comes to the same moment."""
        return self.at(SPENT - SPREAD * (self.leaf.serial_number % 1000) / 1000)


def due(certificate: Held | None, state: HostState, started: float) -> float:
    """When to ask for a certificate, in seconds since the epoch.

    A certificate of another authority is replaced at once, as when one goes over from a test
    authority to the real one. But what came while we were running is the work of a process with
    a newer configuration, and is left to it. Where a certificate comes from that the Docker
    registry has left is not known, and it is taken for good.

    Args:
        certificate: The one that we have.
        state: What is remembered of the host and the authority.
        started: When this process began to look after it, in seconds since the epoch.
    """
    if certificate is None:
        return state.retry
    ours = state.issuer in ("", state.directory)
    if not ours and certificate.written < started:
        return state.retry
    suggested = state.renewal if ours else 0.0
    return max(min(suggested or certificate.spent, certificate.at(LATEST)), state.retry)


def pause(failures: int, *, refused: bool, wanted: float = 0.0) -> float:
    """How long to wait after a failure, in seconds.

    Args:
        failures: In a row, this one included.
        refused: Whether the authority said no; otherwise it said nothing.
        wanted: What it asked for (`Retry-After`), in seconds; 0 if nothing.
    """
    first, growth = (FIRST_PAUSE, GROWTH) if refused else (UNREACHABLE_PAUSE, 2)
    grown = min(first * float(growth) ** min(failures - 1, 20), LONGEST_PAUSE)
    return max(grown * random.uniform(0.9, 1.1), min(wanted, PATIENCE))  # noqa: S311 - jitter


def complaint(host: str, certificate: Held | None, state: HostState, now: float) -> str | None:
    """What is wrong with a host's certificate; None if nothing is.

    Everybody may read it who reaches the registry, so that the authority and its words are left
    to the log.
    """
    tried = f"; failed attempts: {state.failures}, the log says why" if state.failures else ""
    if certificate is None:
        return f"waiting for a certificate for {host}{tried}"
    if now >= certificate.ends:
        return f"the certificate of {host} has expired{tried}"
    if now >= certificate.at(LATEST) or state.failures >= FAILING:
        days = (certificate.ends - now) / 86400
        return f"the certificate of {host} expires in {days:.1f} days{tried}"
    return None
