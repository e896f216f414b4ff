"""`/v2` paths -> endpoints: the whole table of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pyreg.api import blobs, catalog, manifests, referrers, support, tags, uploads
from pyreg.api.call import Call
from pyreg.api.message import Response
from pyreg.content.names import check_name
from pyreg.errors import NOT_FOUND, UNSUPPORTED, RegistryError
from pyreg.hooks.auth import Access

Handler = Callable[[Call], Awaitable[Response]]

PULL = ("pull",)
PUSH = ("pull", "push")
DELETE = ("delete",)
EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler, and what a caller must be allowed to do to reach it."""

    handler: Handler
    actions: tuple[str, ...]


def _methods(**handlers: tuple[Handler, tuple[str, ...]]) -> Mapping[str, Endpoint]:
    table = {method: Endpoint(handler, actions) for method, (handler, actions) in handlers.items()}
    if "GET" in table:
        table["HEAD"] = table["GET"]
    return table


SUPPORT = _methods(GET=(support.determine, EVERYTHING))
CATALOG = _methods(GET=(catalog.list_repositories, EVERYTHING))
TAGS = _methods(GET=(tags.list_tags, PULL))
MANIFESTS = _methods(
    GET=(manifests.get_manifest, PULL),
    PUT=(manifests.put_manifest, PUSH),
    DELETE=(manifests.delete_manifest, DELETE),
)
BLOBS = _methods(GET=(blobs.get_blob, PULL), DELETE=(blobs.delete_blob, DELETE))
REFERRERS = _methods(GET=(referrers.list_referrers, PULL))
UPLOADS = _methods(POST=(uploads.begin_upload, PUSH))
UPLOAD = _methods(
    GET=(uploads.status, PUSH),
    PATCH=(uploads.append, PUSH),
    PUT=(uploads.finish, PUSH),
    DELETE=(uploads.cancel, PUSH),
)

_BY_KIND = {"manifests": MANIFESTS, "blobs": BLOBS, "referrers": REFERRERS}


@dataclass(frozen=True, slots=True)
class Match:
    """What a path and a method lead to.

    Attributes:
        endpoint: What to call.
        name: The repository's name, checked; "" for none.
        reference: The last part of the path, not checked.
        accesses: What the caller must be allowed to do.
    """

    endpoint: Endpoint
    name: str
    reference: str
    accesses: list[Access]


def match(method: str, path: str) -> Match:
    """Find the endpoint.

    Args:
        method: The HTTP method.
        path: Decoded; `/v2` or something that begins with `/v2/`.

    Raises:
        RegistryError: NAME_INVALID; UNSUPPORTED with 404 for no endpoint, and with 405 and
            `Allow` for one that does not know the method.
    """
    methods, name, reference = _find(path[4:])
    endpoint = methods.get(method)
    if endpoint is None:
        raise RegistryError(
            UNSUPPORTED,
            f"{method[:16]} is not a method of this endpoint",
            headers=[("Allow", ", ".join(allowed(path)))],
        )
    if methods is SUPPORT or methods is CATALOG:
        kind = "catalog" if methods is CATALOG else "base"
        access = Access("registry", kind, endpoint.actions)
    else:
        access = Access("repository", check_name(name), endpoint.actions)
    return Match(endpoint, name, reference, [access])


def allowed(path: str) -> list[str]:
    """The methods of an endpoint.

    Args:
        path: As for `match`.

    Raises:
        RegistryError: UNSUPPORTED with 404 for no endpoint.
    """
    return sorted(_find(path[4:])[0])


def _find(rest: str) -> tuple[Mapping[str, Endpoint], str, str]:
    if not rest:
        return SUPPORT, "", ""
    if rest == "_catalog":
        return CATALOG, "", ""
    # From the end: a component of a name may be called "manifests", too.
    head, _, reference = rest.rpartition("/")
    name, _, kind = head.rpartition("/")
    if name:
        if kind == "uploads" and name.endswith("/blobs"):
            return (UPLOAD if reference else UPLOADS), name[: -len("/blobs")], reference
        if kind == "tags" and reference == "list":
            return TAGS, name, ""
        if kind == "blobs" and reference == "uploads":
            return UPLOADS, name, ""
        methods = _BY_KIND.get(kind)
        if methods is not None and reference:
            return methods, name, reference
    raise RegistryError(NOT_FOUND, detail={"path": f"/v2/{rest}"[:512]})
