"""`/auth/token` and `/auth/keys` over HTTP.

GET is the Docker registry's "Requesting a Token", POST its "Authentication using OAuth2" (RFC
6749, sections 4.3 and 6). An error has the members of both worlds: `error` for OAuth2 clients and
`errors` for Docker's, which show its message to their user.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import parse_qsl

from quart import Blueprint, Response, request

from pyreg.errors import RegistryError
from pyreg.hooks import Access, AccessControl, AuthRequest, Identity, InvalidCredentials
from pyreg_auth_token.service.access_tokens import AccessToken, UnfitIdentity, issue
from pyreg_auth_token.service.export import jwks
from pyreg_auth_token.service.refresh import Credentials, InvalidRefreshToken, RefreshTokens
from pyreg_auth_token.service.scopes import InvalidScope, granted, parse_scopes
from pyreg_auth_token.service.signing import SigningKeys

log = logging.getLogger("pyreg.auth.tokenservice")

MAX_FORM = 64 * 1024
"""Bytes of a form, and of a query."""

MAX_FIELDS = 200
"""Parameters of a form, and of a query."""

REALM = "pyreg token service"

_FORM = "application/x-www-form-urlencoded"
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, section 5.1


class Refusal(Exception):
    """An answer other than a token.

    Args:
        status: Of HTTP.
        error: Of RFC 6749, section 5.2.
        description: A sentence for people; nothing of the request may stand in it.
        retry_after: Seconds to wait before the next try.
    """

    def __init__(
        self, status: int, error: str, description: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description
        self.retry_after = retry_after

    def response(self) -> Response:
        """For the client."""
        headers = dict(_NOT_STORED)
        code = "UNSUPPORTED"
        if self.status == 401:
            code = "UNAUTHORIZED"
            headers["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
        elif self.retry_after is not None:
            code = "TOOMANYREQUESTS"
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
        document = {
            "error": self.error,
            "error_description": self.description,
            "errors": [{"code": code, "message": self.description, "detail": None}],
        }
        return _json(document, self.status, headers)


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks for.

    Attributes:
        single: Parameters that may come once, by name.
        scopes: The values of `scope`.
    """

    single: Mapping[str, str]
    scopes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Question:
        """Read a query or a form.

        Raises:
            Refusal: it cannot be read, is too long, or says something twice.
        """
        if len(text) > MAX_FORM:
            raise Refusal(413, "invalid_request", "the request is too long")
        try:
            pairs = parse_qsl(
                text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
            )
        except ValueError as error:
            raise Refusal(400, "invalid_request", "the parameters cannot be read") from error
        single = {name: value for name, value in pairs if name != "scope"}
        scopes = tuple(value for name, value in pairs if name == "scope")
        if len(single) + len(scopes) != len(pairs):
            # RFC 6749, section 3.1: a parameter must not be included more than once.
            raise Refusal(400, "invalid_request", "a parameter comes more than once")
        return cls(single, scopes)

    def __getitem__(self, name: str) -> str:
        return self.single.get(name, "")


class TokenEndpoint:
    """Answers who asks for tokens.

    Args:
        access: Who calls, and who may do what.
        keys: What signs; asked at each request.
        refresh: Seals refresh tokens.
        issuer: Stands in tokens as `iss`.
        service: The registry that tokens are for.
        lifetime: Of an access token, in seconds.
    """

    def __init__(
        self,
        access: AccessControl,
        keys: Callable[[], SigningKeys],
        refresh: RefreshTokens,
        *,
        issuer: str,
        service: str,
        lifetime: int,
    ) -> None:
        self._access = access
        self._keys = keys
        self._refresh = refresh
        self._issuer = issuer
        self._service = service
        self._lifetime = lifetime

    def blueprint(self, token_path: str, keys_path: str) -> Blueprint:
        """The routes.

        Args:
            token_path: Where tokens are issued, with and without a slash at its end.
            keys_path: Where the public keys are.
        """
        blueprint = Blueprint("pyreg-token-service", __name__)

        @blueprint.get(token_path, strict_slashes=False)
        async def get_token() -> Response:
            return await self._answered(self._get)

        @blueprint.post(token_path, strict_slashes=False)
        async def post_token() -> Response:
            return await self._answered(self._post)

        @blueprint.get(keys_path)
        async def keys() -> Response:
            return _json(jwks(self._keys()), 200, {"Cache-Control": "public, max-age=60"})

        return blueprint

    async def _answered(
        self, handler: Callable[[AuthRequest], Awaitable[dict[str, Any]]]
    ) -> Response:
        try:
            asked = self._access.request(cast(MutableMapping[str, Any], request.scope))
            answer = await handler(asked)
        except Refusal as refusal:
            return refusal.response()
        except InvalidScope as error:
            return Refusal(400, "invalid_scope", str(error)).response()
        except UnfitIdentity as error:
            return Refusal(400, "invalid_request", str(error)).response()
        except InvalidCredentials as error:
            return _refused(error, asked).response()
        except RegistryError as error:  # two Authorization headers
            return Refusal(error.status, "invalid_request", error.message).response()
        return _json(answer, 200, _NOT_STORED)

    async def _get(self, asked: AuthRequest) -> dict[str, Any]:
        question = Question.parse(asked.query)
        if question["service"] not in ("", self._service):
            raise _other_service()
        credentials = _basic(asked.headers.get("authorization", ""))
        # Who sends a password wants to be that user, also over a connection with a certificate.
        identity = await self._identify(_presented(asked, credentials) if credentials else asked)
        token, access = await self._issue(identity, question)
        document = self._document(token, access)
        if credentials and question["offline_token"].lower() in ("true", "1"):
            self._add_refresh_token(document, credentials, token.issued)
        return document

    async def _post(self, asked: AuthRequest) -> dict[str, Any]:
        if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Refusal(415, "invalid_request", f"the body must be {_FORM}")
        if asked.headers.get("authorization"):
            # RFC 6749, section 2.3: a client must not use more than one way in one request.
            raise Refusal(400, "invalid_request", "a form and an Authorization header are too much")
        if (request.content_length or 0) > MAX_FORM:
            raise Refusal(413, "invalid_request", "the request is too long")
        body = cast(bytes, await request.get_data(cache=False))
        question = Question.parse(body.decode("latin-1"))
        if question["service"] != self._service:
            raise _other_service()
        credentials = self._credentials(question)
        identity = await self._identify(_presented(asked, credentials))
        token, access = await self._issue(identity, question)
        document = self._document(token, access)
        if question["access_type"] == "offline":
            if question["grant_type"] == "refresh_token":
                document["refresh_token"] = question["refresh_token"]
            else:
                self._add_refresh_token(document, credentials, token.issued)
        return document

    def _credentials(self, question: Question) -> Credentials:
        if question["grant_type"] == "password":
            return Credentials(question["username"], question["password"])
        if question["grant_type"] == "refresh_token":
            try:
                return self._refresh.open(self._keys(), question["refresh_token"], time.time())
            except InvalidRefreshToken as error:
                log.info("a refresh token is refused: %s", error)
                raise Refusal(
                    401, "invalid_grant", "the refresh token is not good any more: log in again"
                ) from error
        raise Refusal(400, "unsupported_grant_type", "use the grant type password or refresh_token")

    async def _identify(self, asked: AuthRequest) -> Identity:
        """Who calls. A token is no login: with it nobody gets another token."""
        return await self._access.identify(asked, without={"token"})

    async def _issue(
        self, identity: Identity, question: Question
    ) -> tuple[AccessToken, list[Access]]:
        access = await granted(self._access, identity, parse_scopes(question.scopes))
        token = issue(
            self._keys(),
            identity,
            access,
            issuer=self._issuer,
            service=self._service,
            lifetime=self._lifetime,
            now=time.time(),
        )
        return token, access

    def _document(self, token: AccessToken, access: list[Access]) -> dict[str, Any]:
        return {
            "token": token.text,
            "access_token": token.text,
            "token_type": "Bearer",
            "expires_in": token.lifetime,
            "issued_at": token.issued_at,
            "scope": " ".join(map(str, access)),
        }

    def _add_refresh_token(
        self, document: dict[str, Any], credentials: Credentials, now: float
    ) -> None:
        text = self._refresh.seal(self._keys(), credentials, now)
        if text is not None:
            document["refresh_token"] = text


def _presented(asked: AuthRequest, credentials: Credentials) -> AuthRequest:
    """A request with these credentials and none besides, from the same client.

    Raises:
        Refusal: no such user can log in, since the name has a colon in it (RFC 7617, section 2).
    """
    if ":" in credentials.username or not credentials.username:
        raise Refusal(401, "invalid_grant", "the user or the password is wrong")
    pair = f"{credentials.username}:{credentials.password}".encode()
    header = f"Basic {base64.b64encode(pair).decode()}"
    return replace(asked, headers={"authorization": header}, extensions={})


def _basic(header: str) -> Credentials | None:
    """The credentials of an Authorization header (RFC 7617); None for another kind.

    Those that cannot be read are left as they are, for authenticators to refuse.
    """
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(text.strip(), validate=True).decode()
    except ValueError:
        return None
    username, colon, password = pair.partition(":")
    return Credentials(username, password) if colon and username else None


def _refused(error: InvalidCredentials, asked: AuthRequest) -> Refusal:
    log.info("no token for %s: %s", asked.client or "a socket", error.reason)
    if error.retry_after is not None:
        return Refusal(
            429,
            "temporarily_unavailable",
            "too many failed logins",
            retry_after=error.retry_after,
        )
    return Refusal(401, "invalid_grant", "the user or the password is wrong")


def _other_service() -> Refusal:
    return Refusal(400, "invalid_request", "this is not the token service of that registry")


def _json(document: Any, status: int, headers: Mapping[str, str]) -> Response:
    return Response(json.dumps(document), status, dict(headers), content_type="application/json")
