"""Scopes: what a client asks a token for, and how much of it the token then grants.

The grammar is that of the Docker registry's "Token Scope Documentation". A name may have colons
in it, since a host with a port may come first, so the actions are what stands behind the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pyreg.hooks import Access, AccessControl, Identity

MAX_SCOPES = 100
"""Scopes in one request; a push asks for one, and for one more for each mounted repository."""

MAX_LENGTH = 512
"""Characters of one scope."""

EVERY_ACTION = ("pull", "push", "delete")
"""What `*` means for a repository."""

_ACTION = r"(?:[a-z]*|\*)"
_SCOPE = re.compile(
    r"(?P<kind>[a-z0-9]+)(?:\([a-z0-9]+\))?"
    r":(?P<name>[A-Za-z0-9._/:-]+)"
    rf":(?P<actions>{_ACTION}(?:,{_ACTION})*)"
)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_MAX_NAME = 255


class InvalidScope(Exception):
    """A scope is not of the grammar; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a client wants to do with one resource.

    Attributes:
        kind: `repository`, `registry`, or another that this registry knows nothing of. The class
            in `repository(plugin)` is left out: it is deprecated, and the two are the same.
        name: Of the resource.
        actions: Each once, in the order of the request.
    """

    kind: str
    name: str
    actions: tuple[str, ...]


def parse_scopes(texts: Iterable[str]) -> list[Scope]:
    """Read the values of a request's `scope` parameters, each a list separated by spaces.

    Returns:
        One scope for each resource, with the actions of all its mentions.

    Raises:
        InvalidScope: one is not of the grammar, or there are too many.
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    for text in _split(texts):
        match = _SCOPE.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise InvalidScope("a scope has the form repository:name:pull,push")
        actions = found.setdefault((match["kind"], match["name"]), {})
        actions.update(dict.fromkeys(filter(None, match["actions"].split(","))))
    return [Scope(kind, name, tuple(actions)) for (kind, name), actions in found.items()]


def _split(texts: Iterable[str]) -> Iterator[str]:
    count = 0
    for text in texts:
        for part in filter(None, text.split(" ")):
            count += 1
            if count > MAX_SCOPES:
                raise InvalidScope(f"a token may be asked for at most {MAX_SCOPES} scopes")
            yield part


async def granted(
    access: AccessControl, identity: Identity, scopes: Iterable[Scope]
) -> list[Access]:
    """Cut scopes down to what a caller may do.

    What it may not do is left out and no error: whether the rest is enough is for the registry
    to say ("Requesting a Token" of the token specification).
    """
    result = []
    for scope in scopes:
        actions = [
            action
            for action in _wanted(scope)
            if await access.allows(identity, Access(scope.kind, scope.name, (action,)))
        ]
        if "*" in scope.actions and tuple(actions) == EVERY_ACTION:
            actions.insert(0, "*")  # for registries that know no other word for delete
        if actions:
            result.append(Access(scope.kind, scope.name, tuple(actions)))
    return result


def _wanted(scope: Scope) -> tuple[str, ...]:
    """The actions that this registry knows; none for a resource that it cannot have."""
    if scope.kind == "registry" and scope.name == "catalog":
        return ("*",) if "*" in scope.actions else ()
    if (
        scope.kind != "repository"
        or len(scope.name) > _MAX_NAME
        or not _REPOSITORY.fullmatch(scope.name)
    ):
        return ()
    if "*" in scope.actions:
        return EVERY_ACTION
    return tuple(action for action in EVERY_ACTION if action in scope.actions)
