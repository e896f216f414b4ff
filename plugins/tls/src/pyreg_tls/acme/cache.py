"""The directory that `cachefile` names: what outlives a process, or is shared by several.

The names are those of the Docker registry (Go's `autocert.DirCache`), so that each of the two can
go on with what the other has left:

    acme_account+key    the account's private key
    HOST                a certificate: its private key, then the chain
    HOST+token          an answer to tls-alpn-01: a private key and the certificate that proves it
    TOKEN+http-01       an answer to http-01, as it is sent

What pyreg adds, that registry ignores:

    HOST+state          an order under way, and how the last attempts ended
    HOST+damaged        a certificate's file that could not be used
    +lock               held by the one process that speaks to the authority

Files are replaced as a whole and are readable by their owner only. A certificate and its key are
one file, so that nobody ever sees the one without the other.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pyreg.errors import PluginError

log = logging.getLogger("pyreg.tls")

ACCOUNT = "acme_account+key"
LOCK = "+lock"
WRITING = "+writing-"

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")
"""A challenge's token: base64url (RFC 8555, section 8.1). Nothing else becomes a file's name."""

LARGEST = 1 << 20
"""Bytes of any of these files that are read at most."""


class HostState(BaseModel):
    """What has to be remembered of one host and one authority, besides the certificate.

    Attributes:
        issuer: The authority that the certificate came from; "" if that is not known.
        directory: The authority that the rest is about.
        order: URL of the order under way; "" if there is none.
        key: PEM of the private key that the order's certificate is for.
        challenge: Which kind of challenge to try: goes up by one when a proof has failed.
        failures: Attempts in a row that have failed.
        reason: How the last one did.
        retry: When to try again, in seconds since the epoch.
        renewal: When the authority wants the certificate to be renewed (RFC 9773), likewise; 0 if
            it did not say.
        asked: When to ask it again, likewise.
    """

    model_config = ConfigDict(extra="ignore")

    issuer: str = ""
    directory: str = ""
    order: str = ""
    key: str = ""
    challenge: int = 0
    failures: int = 0
    reason: str = ""
    retry: float = 0.0
    renewal: float = 0.0
    asked: float = 0.0


class _HostFile(BaseModel):
    """`HOST+state`. Each authority has an entry of its own: for a while after a reload, processes
    with the old configuration and with the new one look at the same file."""

    model_config = ConfigDict(extra="ignore")

    issuer: str = ""
    authorities: dict[str, HostState] = {}


class Cache:
    """The directory. Every method may block.

    Args:
        directory: Its path; it is made when it is opened.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def open(self) -> None:
        """Make the directory, and throw away what a killed process has left in it.

        Raises:
            PluginError: it cannot be used.
        """
        where = f"http.tls.letsencrypt.cachefile {self.directory}"
        if self.directory.is_file():
            raise PluginError(
                f"{where} is a file; name a directory: the account and the certificates are kept "
                "there, as in the Docker registry since 2.7"
            )
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.locked():
                pass
        except OSError as error:
            raise PluginError(f"{where} cannot be written to: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Be the one that speaks to the authority, among all processes on this directory.

        Nobody waits for an answer when nobody speaks to it, so that all answers go in the end.

        Yields:
            False if another one is. A process that dies gives the lock back.
        """
        fd = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                self._sweep()
        finally:
            os.close(fd)

    # -- certificates and keys -------------------------------------------------------------

    def certificate_path(self, host: str) -> Path:
        """Where the certificate of a host is, or will be."""
        return self.directory / host

    def keep_certificate(self, host: str, pem: bytes) -> None:
        """Replace it by this private key and chain; every server takes it from here."""
        self._write(host, pem)

    def account_key(self) -> bytes | None:
        """The account's private key, as PEM."""
        return self._read(ACCOUNT)

    def keep_account_key(self, pem: bytes) -> None:
        """Keep it; it must be on the disk before the authority hears of it."""
        self._write(ACCOUNT, pem)

    # -- what is remembered ----------------------------------------------------------------

    def state(self, host: str, directory: str) -> HostState:
        """What is remembered of a host and an authority."""
        file = self._host_file(host)
        state = file.authorities.get(directory, HostState())
        return state.model_copy(update={"issuer": file.issuer, "directory": directory})

    def keep_state(self, host: str, state: HostState) -> None:
        """Replace it; only for the one who holds the lock."""
        file = self._host_file(host)
        file.issuer = state.issuer
        file.authorities[state.directory] = state
        parts = {"authorities": {"__all__": {"issuer", "directory"}}}
        self._write(f"{host}+state", file.model_dump_json(indent=1, exclude=parts).encode())

    def _host_file(self, host: str) -> _HostFile:
        data = self._read(f"{host}+state")
        try:
            return _HostFile() if data is None else _HostFile.model_validate_json(data)
        except ValidationError:
            log.warning("%s+state in %s is damaged and is begun anew", host, self.directory)
            return _HostFile()

    # -- answers to challenges -------------------------------------------------------------

    def http_answer(self, token: str) -> bytes | None:
        """The answer to http-01; None for a token that nobody waits for."""
        return self._read(f"{token}+http-01") if TOKEN.fullmatch(token) else None

    def keep_http_answer(self, token: str, answer: bytes) -> None:
        """Let every server on this directory give the answer.

        Raises:
            ValueError: the token is none.
        """
        if not TOKEN.fullmatch(token):
            raise ValueError(f"{token!r} is no token (RFC 8555, section 8.1)")
        self._write(f"{token}+http-01", answer, durable=False)

    def alpn_answer(self, host: str) -> tuple[Path, int] | None:
        """The file with the answer to tls-alpn-01, and when it was made, in nanoseconds."""
        path = self.directory / f"{host}+token"
        try:
            return path, path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def keep_alpn_answer(self, host: str, pem: bytes) -> None:
        """Let every server on this directory give the answer."""
        self._write(f"{host}+token", pem, durable=False)

    # -- files -----------------------------------------------------------------------------

    def _read(self, name: str) -> bytes | None:
        try:
            with (self.directory / name).open("rb") as file:
                return file.read(LARGEST)
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        path = self.directory / name
        temporary = self.directory / f"{WRITING}{secrets.token_hex(8)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(fd)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            self._sync()

    def _sync(self) -> None:
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _sweep(self) -> None:
        """Remove answers, and what a process had begun to write when it died."""
        for path in self.directory.iterdir():
            if path.name.startswith(WRITING) or path.name.endswith(("+http-01", "+token")):
                path.unlink(missing_ok=True)
