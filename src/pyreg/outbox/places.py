"""Where events lie in the store, beside the root of the Docker registry's layout.

```
pyreg/outbox/
  writers/<writer>/                                 one process that takes writes
    alive                                           its heartbeat; the last to be removed
    intents/<number>                                records of writes under way
    committed/<number>                              ids of those that were committed since
  sinks/<sink>/
    lease                                           who delivers, and how it goes
    queue/<hour>/<time>-<writer>-<number>-<events>  records that are to be delivered
    dead/<time>-<event>                             an event that was given up
```

Times are nanoseconds since the epoch with leading zeros, so that the order of keys is that of
commits.
"""

from __future__ import annotations

import hashlib
import re

ROOT = "pyreg/outbox/"
WRITERS = ROOT + "writers/"
SINKS = ROOT + "sinks/"

_HOUR = 3_600_000_000_000
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_QUEUED = re.compile(r"(?P<time>[0-9]{20})-(?P<unique>[0-9a-z]+-[0-9]{12})-(?P<events>[0-9]{1,7})")


def alive(writer: str) -> str:
    """A writer's heartbeat."""
    return f"{WRITERS}{writer}/alive"


def intents(writer: str) -> str:
    """Prefix of a writer's records."""
    return f"{WRITERS}{writer}/intents/"


def intent(writer: str, number: int) -> str:
    """Records of writes under way."""
    return f"{WRITERS}{writer}/intents/{number:012d}"


def commits(writer: str) -> str:
    """Prefix of what a writer has committed."""
    return f"{WRITERS}{writer}/committed/"


def commit(writer: str, number: int) -> str:
    """Ids of records that were committed."""
    return f"{WRITERS}{writer}/committed/{number:012d}"


def sink(name: str) -> str:
    """Prefix of everything about a sink; names that are no part of a key get another form."""
    if _PLAIN.fullmatch(name):
        return f"{SINKS}{name}/"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-") or "sink"
    return f"{SINKS}{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}/"


def queue(name: str) -> str:
    """Prefix of what a sink has not got yet."""
    return f"{sink(name)}queue/"


def queued(name: str, time: int, writer: str, number: int, events: int) -> str:
    """One object of a queue.

    Args:
        name: The sink.
        time: When the first of its records was committed, in nanoseconds since the epoch.
        writer: Who wrote it.
        number: Which of the writer's.
        events: How many events it has, so that they can be counted without being read.
    """
    return f"{queue(name)}{time // _HOUR:010d}/{time:020d}-{writer}-{number:012d}-{events}"


def dead(name: str) -> str:
    """Prefix of what a sink will not get any more."""
    return f"{sink(name)}dead/"


def lease(name: str) -> str:
    """Who delivers to a sink."""
    return f"{sink(name)}lease"


def read_queued(key: str) -> tuple[int, int] | None:
    """The time and the number of events in a key of a queue; None for another key."""
    found = _QUEUED.fullmatch(key.rpartition("/")[2])
    return (int(found["time"]), int(found["events"])) if found else None
