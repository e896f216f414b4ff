"""The `WWW-Authenticate` header that sends a client to the token server."""

from __future__ import annotations

from collections.abc import Sequence

from pyreg.hooks import Access, AuthRequest
from pyreg_auth_token.fetching import is_loopback
from pyreg_auth_token.jws import bearer_token


class BearerChallenge:
    """Writes challenges (RFC 6750, section 3; Docker registry, "Token Authentication").

    Args:
        realm: The token server's address; with `path` only for requests without a host.
        service: What the token server knows this registry by.
        path: The token server's path on the host that the client asked; "" to use `realm`.
    """

    def __init__(self, realm: str, service: str, *, path: str = "") -> None:
        self._realm = realm
        self._service = service
        self._path = path

    def __call__(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        """See `pyreg.hooks.Authenticator.challenge`."""
        if not error and bearer_token(request) is not None:
            error = "invalid_token"  # nobody took it: RFC 6750, section 3.1
        parameters = {
            "realm": self._realm_for(request),
            "service": self._service,
            "scope": scope(accesses),
            "error": error,
        }
        # Clients split at commas; those of the Docker family expect no space behind them.
        return "Bearer " + ",".join(
            f"{name}={_quoted(value)}"
            for name, value in parameters.items()
            if value or name in ("realm", "service")
        )

    def _realm_for(self, request: AuthRequest) -> str:
        if not (self._path and request.host):
            return self._realm
        return f"{_scheme(request)}://{request.host}{request.root}{self._path}"


def scope(accesses: Sequence[Access]) -> str:
    """What a token has to grant: `repository:a:pull,push repository:b:pull`.

    Nothing is needed for the base endpoint but a token.
    """
    actions: dict[str, list[str]] = {}
    for access in accesses:
        if (access.kind, access.name) != ("registry", "base"):
            known = actions.setdefault(f"{access.kind}:{access.name}", [])
            known += [action for action in access.actions if action not in known]
    return " ".join(f"{resource}:{','.join(words)}" for resource, words in actions.items())


def _scheme(request: AuthRequest) -> str:
    """`https`, unless a proxy says otherwise, as in the Docker registry; http on one machine.

    A proxy that takes TLS away and does not say so must not bring clients to send their
    passwords in the clear.
    """
    forwarded = request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    if forwarded in ("http", "https"):
        return forwarded
    host = request.host.removeprefix("[").partition("]")[0]
    host = host if request.host.startswith("[") else host.partition(":")[0]
    return "http" if request.scheme == "http" and is_loopback(host) else "https"


def _quoted(value: str) -> str:
    """A quoted-string (RFC 9110, section 5.6.4), without what would end the header."""
    printable = "".join(char for char in value if " " <= char <= "~")
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
