"""Listening sockets: TCP, unix, and those that systemd hands over.

They are bound once, by the supervisor, and shared by its workers, so that a connection waits in
one queue whatever happens to a worker.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from pyreg.config.http import split_address

BACKLOG = 1024
"""Connections that wait to be accepted."""

FIRST_DESCRIPTOR = 3
"""Where systemd's descriptors begin (`SD_LISTEN_FDS_START`)."""

UNIX = "unix:"

REDIRECT = "systemd:redirect"
"""What systemd calls (`FileDescriptorName=`) the socket that stands for `http.tls.redirect`."""


class BindError(Exception):
    """An address cannot be listened on; the message is one line for people."""


@dataclass(frozen=True, eq=False)
class Listener:
    """A listening socket.

    Attributes:
        address: As it was asked for: `:5000`, `unix:/run/pyreg.sock`, `systemd:pyreg.socket`.
        sock: The socket; not blocking.
        inode: Of a unix socket's file that this process made and has to remove.
        redirect: Whether requests that come here are only sent to HTTPS.
    """

    address: str
    sock: socket.socket
    inode: tuple[int, int] | None = None
    redirect: bool = False

    @property
    def name(self) -> str:
        """Where it listens: `127.0.0.1:5000`, `[::1]:5000`, `unix:/run/pyreg.sock`."""
        name = self.sock.getsockname()
        if self.sock.family == socket.AF_UNIX:
            return f"{UNIX}{name}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{host}:{name[1]}"

    @property
    def exposed(self) -> bool:
        """True if other machines can reach it."""
        if self.sock.family == socket.AF_UNIX:
            return False
        host = self.sock.getsockname()[0]
        return not (host == "::1" or host.startswith(("127.", "::ffff:127.")))

    def close(self) -> None:
        """Stop listening; a unix socket's file is removed unless somebody replaced it."""
        path = self.sock.getsockname() if self.inode is not None else ""
        self.sock.close()
        if path and _inode(Path(path)) == self.inode:
            Path(path).unlink(missing_ok=True)


def listen(address: str, *, redirect: bool = False) -> Listener:
    """Listen on an address.

    Args:
        address: `host:port`, `:port` (every interface, IPv6 and IPv4), `[v6]:port`, or
            `unix:path`. Port 0 lets the system choose one.
        redirect: See `Listener`.

    Raises:
        BindError: it is not an address, or it is taken, or not allowed.
    """
    if address.startswith(UNIX):
        return _listen_unix(address, redirect)
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise BindError(f"cannot listen on {address!r}: {error}, or unix:path") from error
    try:
        sock = _bind_tcp(host, port)
    except OSError as error:
        raise _bind_error(address, error) from error
    return Listener(address, _listening(sock), redirect=redirect)


def inherited(environ: MutableMapping[str, str]) -> list[Listener]:
    """The sockets that systemd passes (sd_listen_fds(3)); their variables are taken out.

    Args:
        environ: The environment; nothing is passed if `LISTEN_PID` is another process.

    Raises:
        BindError: what was passed is not a listening stream socket.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    listeners = []
    for index in range(int(count)):
        descriptor = FIRST_DESCRIPTOR + index
        name = names[index] if index < len(names) and names[index] else str(descriptor)
        try:
            sock = socket.socket(fileno=descriptor)
            listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise BindError(f"descriptor {descriptor} ({name}) of systemd: {error}") from error
        if sock.type != socket.SOCK_STREAM or not listening:
            raise BindError(f"descriptor {descriptor} ({name}) of systemd does not listen")
        sock.set_inheritable(False)
        sock.setblocking(False)
        address = f"systemd:{name}"
        listeners.append(Listener(address, sock, redirect=address == REDIRECT))
    return listeners


def _bind_tcp(host: str, port: int) -> socket.socket:
    if host in ("", "::"):
        if host or socket.has_dualstack_ipv6():
            try:
                return _bound(socket.AF_INET6, ("::", port), dual=True)
            except OSError as error:
                if host or error.errno is None or not _no_ipv6(error):
                    raise
        host = "0.0.0.0"  # noqa: S104 - asked for by an address without a host
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # As in the Docker registry, a name with both kinds of addresses means the IPv4 one.
    family, _, _, _, where = min(found, key=lambda item: item[0] != socket.AF_INET)
    return _bound(family, where)


def _no_ipv6(error: OSError) -> bool:
    return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _bound(family: int, where: object, *, dual: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        sock.bind(where)  # type: ignore[arg-type]
    except OSError:
        sock.close()
        raise
    return sock


def _listening(sock: socket.socket) -> socket.socket:
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _listen_unix(address: str, redirect: bool) -> Listener:
    path = Path(address.removeprefix(UNIX))
    _remove_stale(address, path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise _bind_error(address, error) from error
    return Listener(address, _listening(sock), _inode(path), redirect)


def _remove_stale(address: str, path: Path) -> None:
    """Remove what an earlier server left behind, and nothing else."""
    try:
        mode = path.lstat().st_mode
    except OSError:  # there is none, or binding will say what is wrong
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot listen on {address}: the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _bind_error(address, error) from error
        else:
            raise BindError(f"cannot listen on {address}: another process listens there")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bind_error(address: str, error: OSError) -> BindError:
    reason = error.strerror or str(error)
    return BindError(f"cannot listen on {address}: {reason[:1].lower()}{reason[1:]}")
