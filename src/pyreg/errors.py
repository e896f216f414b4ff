"""What can go wrong, as data.

Two families live here because every other layer needs both:

* `RegistryError`: an error that a client sees, with a code of the OCI distribution
  specification ("Error Codes") or of the Docker registry where the specification has none.
* `StorageError`: an error that a storage driver raises, with the driver's name and the key.

Nothing in this module knows about HTTP frameworks, drivers or plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One kind of error that a client can see.

    Attributes:
        code: The identifier in the `errors[].code` field of the response.
        status: The HTTP status that goes with it.
        message: The sentence that goes into `errors[].message` when nothing better is known.
    """

    code: str
    status: int
    message: str


# OCI distribution specification, "Error Codes", code-1 to code-14.
BLOB_UNKNOWN = ErrorCode("BLOB_UNKNOWN", 404, "blob unknown to registry")
BLOB_UPLOAD_INVALID = ErrorCode("BLOB_UPLOAD_INVALID", 400, "blob upload invalid")
BLOB_UPLOAD_UNKNOWN = ErrorCode("BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry")
DIGEST_INVALID = ErrorCode("DIGEST_INVALID", 400, "provided digest did not match uploaded content")
MANIFEST_BLOB_UNKNOWN = ErrorCode(
    "MANIFEST_BLOB_UNKNOWN", 400, "manifest references a manifest or blob unknown to registry"
)
MANIFEST_INVALID = ErrorCode("MANIFEST_INVALID", 400, "manifest invalid")
MANIFEST_UNKNOWN = ErrorCode("MANIFEST_UNKNOWN", 404, "manifest unknown to registry")
NAME_INVALID = ErrorCode("NAME_INVALID", 400, "invalid repository name")
NAME_UNKNOWN = ErrorCode("NAME_UNKNOWN", 404, "repository name not known to registry")
SIZE_INVALID = ErrorCode("SIZE_INVALID", 400, "provided length did not match content length")
UNAUTHORIZED = ErrorCode("UNAUTHORIZED", 401, "authentication required")
DENIED = ErrorCode("DENIED", 403, "requested access to the resource is denied")
UNSUPPORTED = ErrorCode("UNSUPPORTED", 405, "the operation is unsupported")
TOOMANYREQUESTS = ErrorCode("TOOMANYREQUESTS", 429, "too many requests")

# The Docker registry's own codes.
TAG_INVALID = ErrorCode("TAG_INVALID", 400, "tag name invalid")
RANGE_INVALID = ErrorCode("RANGE_INVALID", 416, "invalid content range")
PAGINATION_NUMBER_INVALID = ErrorCode(
    "PAGINATION_NUMBER_INVALID", 400, "invalid number of results requested"
)
UNKNOWN = ErrorCode("UNKNOWN", 500, "unknown error")
UNAVAILABLE = ErrorCode("UNAVAILABLE", 503, "service unavailable")

# The same identifiers with a status that RFC 9110 asks for in a special case.
MANIFEST_TOO_LARGE = ErrorCode("MANIFEST_INVALID", 413, "manifest is too large")
NOT_FOUND = ErrorCode("UNSUPPORTED", 404, "no such endpoint")
URI_TOO_LONG = ErrorCode("UNSUPPORTED", 414, "request target is too long")
QUERY_INVALID = ErrorCode("UNSUPPORTED", 400, "the query cannot be read: not ASCII, or not UTF-8")
PRECONDITION_FAILED = ErrorCode("DENIED", 412, "If-Match or If-None-Match does not hold")
REQUEST_TIMEOUT = ErrorCode("BLOB_UPLOAD_INVALID", 408, "the request did not arrive whole in time")
AMBIGUOUS_CREDENTIALS = ErrorCode("UNAUTHORIZED", 400, "more than one Authorization header")
LOOP_DETECTED = ErrorCode("DENIED", 508, "an event of a registry must not cause further ones")
STORAGE_FULL = ErrorCode("UNAVAILABLE", 507, "the registry's storage is full")

CODES: Mapping[str, ErrorCode] = {
    item.code: item
    for item in (
        BLOB_UNKNOWN,
        BLOB_UPLOAD_INVALID,
        BLOB_UPLOAD_UNKNOWN,
        DIGEST_INVALID,
        MANIFEST_BLOB_UNKNOWN,
        MANIFEST_INVALID,
        MANIFEST_UNKNOWN,
        NAME_INVALID,
        NAME_UNKNOWN,
        SIZE_INVALID,
        UNAUTHORIZED,
        DENIED,
        UNSUPPORTED,
        TOOMANYREQUESTS,
        TAG_INVALID,
        RANGE_INVALID,
        PAGINATION_NUMBER_INVALID,
        UNKNOWN,
        UNAVAILABLE,
    )
}
"""Every identifier that a response can carry, with its usual status and message."""


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One entry of the `errors` list of a response."""

    code: ErrorCode
    message: str
    detail: Any = None


class RegistryError(Exception):
    """An error that a client sees.

    Args:
        code: Which error it is.
        message: A sentence for people; the code's own one when left out.
        detail: Anything that JSON can hold and that helps the client to mend its request.
        headers: Response headers that belong to the error (`Range`, `Retry-After`, ...).
        more: Further entries of the `errors` list; the status is that of the first.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        detail: Any = None,
        headers: Sequence[tuple[str, str]] = (),
        more: Sequence[ErrorItem] = (),
    ) -> None:
        super().__init__(message or code.message)
        self.code = code
        self.message = message or code.message
        self.detail = detail
        self.headers = tuple(headers)
        self.more = tuple(more)

    @property
    def status(self) -> int:
        """The HTTP status of the response."""
        return self.code.status

    def envelope(self) -> dict[str, Any]:
        """The response body of the specification: `{"errors": [...]}`."""
        items = (ErrorItem(self.code, self.message, self.detail), *self.more)
        return {
            "errors": [
                {"code": item.code.code, "message": item.message, "detail": item.detail}
                for item in items
            ]
        }


class StorageError(Exception):
    """A storage driver could not do what it was asked.

    Args:
        message: What happened, in the service's own words where it has some.
        driver: The driver's name in the configuration; filled in by the core when left out.
        key: The key that it happened to; filled in by the core when left out.
    """

    def __init__(self, message: str = "", *, driver: str = "", key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.driver = driver
        self.key = key

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.driver, self.key) if part)
        return f"{place}: {self.message}" if place and self.message else place or self.message


class ObjectNotFound(StorageError):
    """There is no object with this key."""


class PreconditionFailed(StorageError):
    """A conditional `put` found the object in another state than it asked for."""


class OffsetMismatch(StorageError):
    """An `append` was asked to go on at an offset that the upload does not have.

    Args:
        offset: How many bytes the upload holds, where the driver knows it.
    """

    def __init__(
        self, message: str = "", *, offset: int | None = None, driver: str = "", key: str = ""
    ) -> None:
        super().__init__(message, driver=driver, key=key)
        self.offset = offset


class UploadNotFound(StorageError):
    """The state of an upload names nothing (any more): finished, aborted or never begun."""


class StorageUnavailable(StorageError):
    """The service does not answer, or not now; the same call may succeed later.

    Args:
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        driver: str = "",
        key: str = "",
    ) -> None:
        super().__init__(message, driver=driver, key=key)
        self.retry_after = retry_after


class StorageFull(StorageError):
    """There is no room left (ENOSPC, a quota)."""


class StorageDenied(StorageError):
    """The service refuses: credentials, permissions, a read-only medium."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration.

    Attributes:
        path: Where it is, as dotted keys (`storage.s3.chunksize`).
        message: What was expected and what was found.
        source: The file or the environment variable that it came from.
        line: The line in the file, counted from 1.
        hint: What the author may have meant.
    """

    path: str
    message: str
    source: str = ""
    line: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = self.source
        if self.line is not None:
            place = f"{place}:{self.line}"
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{text} ({self.hint})" if self.hint else text


class ConfigurationError(Exception):
    """A configuration has mistakes; all of them are listed.

    Args:
        mistakes: Every mistake that was found, in the order of the file.
        warnings: What else its author should know when mending them.
    """

    def __init__(self, mistakes: Sequence[Mistake], warnings: Sequence[Mistake] = ()) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)
        self.warnings = tuple(warnings)


class PluginError(Exception):
    """A plugin is missing, broken, written for another version, or cannot do what it is told."""


class Refused(Exception):
    """Raised by a guard to refuse an operation.

    Args:
        reason: A sentence that the client sees.
        code: The error that the client gets; `DENIED` (403) unless told.
        detail: Anything that JSON can hold.
    """

    def __init__(self, reason: str, *, code: ErrorCode = DENIED, detail: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.detail = detail
