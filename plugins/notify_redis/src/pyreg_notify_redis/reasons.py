"""What went wrong, in a sentence for the operator, whatever redis-py makes of it."""

from __future__ import annotations

import os
import re

from redis import exceptions

from pyreg_notify_redis.server import Server

_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.BusyLoadingError, "it is still loading its data"),
    (exceptions.ReadOnlyError, "it is a replica, and takes no writes"),
    (exceptions.OutOfMemoryError, "its memory is full (maxmemory); read and trim the stream"),
    (exceptions.NoPermissionError, "the user may not add to {stream}; it needs +xadd +multi +exec"),
    (exceptions.MovedError, "it is a node of a cluster, and {stream} is on another one"),
    (exceptions.ClusterDownError, "it is a node of a cluster that is down"),
)

_BY_CODE = {
    "MISCONF": "it cannot save its data to disk, and takes no writes until it can",
    "NOREPLICAS": "too few replicas follow it (min-replicas-to-write)",
    "WRONGTYPE": "the key {stream} is there, and is no stream",
    "BUSY": "it is busy with a script",
}

# What redis-py puts in front of the server's words: the command, with the event in it.
_COMMAND = re.compile(r"Command # \d+ .* of pipeline caused error: \(['\"](.*)['\"],\)", re.DOTALL)

# The words of OpenSSL; the system's number of an error, on the ways to it that redis-py has; and
# what it puts in front of the words of a name server.
_TLS = re.compile(r"\[SSL: \w+\] (.*?) \(_ssl\.c:\d+\)")
_NUMBER = re.compile(
    r"Error (?:Multiple exceptions: \[Errno |while reading from \S+ ?: \()?(\d+)\b"
)
_NAME = re.compile(r"Error -\d+ connecting to \S+\. ")

_LONGEST = 300
"""Characters of what others say."""


def reason_of(error: Exception, server: Server, stream: str) -> str:
    """Why a delivery failed; has neither the password nor parts of events in it.

    Args:
        error: From redis-py.
        server: The server.
        stream: The key of the stream.
    """
    if isinstance(error, exceptions.AuthenticationError):
        return _not_let_in(str(error), server)
    for kind, reason in _BY_CLASS:
        if isinstance(error, kind):
            return reason.format(stream=stream)
    found = _COMMAND.fullmatch(str(error))
    said = found[1] if found else str(error)
    code = said.partition(" ")[0]
    if code in _BY_CODE:
        return _BY_CODE[code].format(stream=stream)
    for secret in filter(None, (server.password, server.username)):
        # A server that does not know a command repeats its arguments.
        said = said.replace(secret, "********")
    return _plain(said)[:_LONGEST] or type(error).__name__


def _not_let_in(said: str, server: Server) -> str:
    if not server.password:
        return "it wants a password"
    if "without any password" in said or "no password is set" in said:
        return "it has no password, and there is one in the configuration"
    user = f"the user {server.username}" if server.username else "the default user"
    return f"this is not the password of {user}, or the user is disabled"


def _plain(said: str) -> str:
    """The words of the system or of OpenSSL, without those of the libraries around."""
    if found := _TLS.search(said):
        return found[1]
    if found := _NUMBER.match(said):
        return os.strerror(int(found[1]))
    return _NAME.sub("", said)
