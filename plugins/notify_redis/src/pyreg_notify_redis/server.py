"""Which server, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_PORT = 6379


@dataclass(frozen=True)
class Server:
    """A Redis.

    Attributes:
        host: Its name or address; "" for a unix socket.
        port: Its port; 0 for a unix socket.
        path: Of its unix socket; "" for a host.
        username: "" for the user `default`.
        password: "" for none.
        db: The number of the database.
        encrypted: Whether to speak TLS.
        cas: Paths of the authorities that sign it; those of the machine, if none.
        certificate: Path of our own certificate; "" for none.
        key: Path of its private key.
        dial_timeout: Seconds that a connection may take.
        read_timeout: Seconds that an answer may take.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    encrypted: bool = False
    cas: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    dial_timeout: float = 5.0
    read_timeout: float = 5.0

    def __str__(self) -> str:
        """For messages: `redis://host:6379/0`, without the password."""
        if self.path:
            return f"unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.encrypted else ''}://{host}:{self.port}/{self.db}"
