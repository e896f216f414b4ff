"""What `notifications.endpoints[]` may say for the type `redis`."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from pyreg.hooks import parse_duration
from pyreg_notify_redis.server import DEFAULT_PORT, Server

_EXPECTED = (
    "expected an address such as redis://redis.example.com:6379/0; "
    "a user name or password in it has %2F for /, %40 for @, %23 for #"
)

Seconds = Annotated[float, BeforeValidator(parse_duration)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class TLSOptions(_Part):
    """`tls`: for `rediss://`, or with `address`.

    Attributes:
        cas: Paths of the authorities that sign the server; those of the machine, if none.
        certificate: Path of the registry's own certificate, for a server that asks for one.
        key: Path of its private key.
    """

    cas: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if bool(self.certificate) is not bool(self.key):
            raise ValueError("certificate and key belong together, and one of them is missing")
        return self


class Options(_Part):
    """The options of an endpoint of the type `redis`.

    Attributes:
        name: The endpoint's name.
        url: The server: `redis://`, `rediss://` (TLS) or `unix://`, maybe with user and password.
        address: The server, in place of `url`: `HOST:PORT`, or the path of a unix socket.
        username: Redis 6 and later; without it, the user `default`.
        password: Better here, from an environment variable, than in `url`.
        db: The number of the database.
        stream: The key of the stream.
        maxlen: About how many entries the stream keeps; 0 for all.
        tls: Makes a TLS connection.
        dialtimeout: Seconds that a connection may take.
        readtimeout: Seconds that an answer may take.
    """

    name: Annotated[str, Field(min_length=1)]
    url: str = Field(default="", repr=False)
    address: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    db: Annotated[int, Field(ge=0)] = 0
    stream: Annotated[str, Field(min_length=1)] = "pyreg:events"
    maxlen: Annotated[int, Field(ge=0)] = 0
    tls: TLSOptions | None = None
    dialtimeout: Annotated[Seconds, Field(gt=0, le=3600)] = 5.0
    readtimeout: Annotated[Seconds, Field(gt=0, le=3600)] = 5.0

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if url:
            server_of(url)
        return url

    @field_validator("address")
    @classmethod
    def _is_a_host_or_a_path(cls, address: str) -> str:
        if address:
            _server_at(address)
        return address

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if bool(self.url) is bool(self.address):
            raise ValueError("expected either url or address: the server that keeps the stream")
        server = self.server
        if self.tls is not None and not server.encrypted:
            raise ValueError("tls needs a server at a rediss:// url, or at a HOST:PORT address")
        if self.url:
            found = server_of(self.url)
            for what, twice in (
                ("user in url and in username", found.username and self.username),
                ("password in url and in password", found.password and self.password),
                ("database in url and in db", found.db and self.db),
            ):
                if twice:
                    raise ValueError(f"there is a {what}; keep one")
        if server.username and not server.password:
            raise ValueError("username without password; Redis knows no user without one")
        return self

    @property
    def server(self) -> Server:
        """The server, with what is beside its address."""
        found = server_of(self.url) if self.url else _server_at(self.address)
        tls = self.tls or TLSOptions()
        return Server(
            host=found.host,
            port=found.port,
            path=found.path,
            username=self.username or found.username,
            password=self.password.get_secret_value() or found.password,
            db=self.db or found.db,
            encrypted=found.encrypted or bool(self.address and not found.path and self.tls),
            cas=tls.cas,
            certificate=tls.certificate,
            key=tls.key,
            dial_timeout=self.dialtimeout,
            read_timeout=self.readtimeout,
        )


def server_of(url: str) -> Server:
    """The server that a URL names; nothing of the URL is in the exception.

    Raises:
        ValueError: it names none.
    """
    try:
        parts = urlsplit(url)
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if port == 0 or "#" in url:
        raise ValueError(_EXPECTED)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("expected an address that begins with redis://, rediss:// or unix://")
    unix = parts.scheme == "unix"
    if unix and (parts.hostname or not parts.path.startswith("/")):
        raise ValueError("expected the path of a socket, as in unix:///run/redis/redis.sock")
    if not unix and not parts.hostname:
        raise ValueError("the address names no host")
    return Server(
        host="" if unix else parts.hostname or "",
        port=0 if unix else port,
        path=unquote(parts.path) if unix else "",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        db=_database(parts, in_path=not unix),
        encrypted=parts.scheme == "rediss",
    )


def _database(parts: SplitResult, *, in_path: bool) -> int:
    """The number behind the host, or in `?db=`."""
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    written = query.pop("db", "0")
    if query:
        raise ValueError("an address may have ?db=NUMBER, and no other parameter; use the options")
    if in_path and parts.path not in ("", "/"):
        written = parts.path[1:]
    if not (written.isascii() and written.isdigit()):
        raise ValueError("expected the number of a database behind the host, as in /0")
    return int(written)


def _server_at(address: str) -> Server:
    """The server at `HOST:PORT`, `[::1]:PORT`, or at a path.

    Raises:
        ValueError: it is none of them.
    """
    if address.startswith("/"):
        return Server(path=address)
    if "://" in address or "@" in address:
        raise ValueError("expected HOST:PORT, or the path of a socket; an address goes into url")
    found = server_of(f"redis://{address}")
    if found.db or "/" in address or "?" in address:
        raise ValueError("expected HOST:PORT, or the path of a socket")
    return found
