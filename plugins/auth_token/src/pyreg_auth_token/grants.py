"""What a token grants: its `access` claim (Docker registry, "Token Scope Documentation")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyreg.hooks import Access
from pyreg_auth_token.jws import InvalidToken

MAX_ENTRIES = 500
"""Entries in the claim."""

_CLASSED = re.compile(r"([a-z0-9]+)\([a-z0-9]+\)")


class Grants:
    """The actions that a token grants, by resource.

    Args:
        claim: The value of `access`; None, or an empty list, grants nothing.

    Raises:
        InvalidToken: it is not a list of objects with `type`, `name` and `actions`.
    """

    def __init__(self, claim: Any) -> None:
        self._actions: dict[tuple[str, str], set[str]] = {}
        if claim is None:
            return
        if not isinstance(claim, list) or len(claim) > MAX_ENTRIES:
            raise InvalidToken(f"`access` is no list of at most {MAX_ENTRIES} entries")
        for entry in claim:
            resource, actions = _entry(entry)
            self._actions.setdefault(resource, set()).update(actions)

    def allow(self, access: Access) -> bool:
        """Whether every action of an access is granted; `*` in the token stands for all."""
        granted = self._actions.get((access.kind, access.name))
        if granted is None:
            return False
        return "*" in granted or (bool(access.actions) and granted.issuperset(access.actions))


class TokenClaims(Mapping[str, Any]):
    """The claims of a verified token, read-only, with what it grants.

    Args:
        claims: The claims.

    Raises:
        InvalidToken: as for `Grants`.
    """

    def __init__(self, claims: Mapping[str, Any]) -> None:
        self._claims = dict(claims)
        self.grants = Grants(claims.get("access"))

    def __getitem__(self, name: str) -> Any:
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)


def _entry(entry: Any) -> tuple[tuple[str, str], list[str]]:
    if not isinstance(entry, dict):
        raise InvalidToken("an entry of `access` is no object")
    kind, name, actions = (entry.get(key) for key in ("type", "name", "actions"))
    if not isinstance(kind, str) or not isinstance(name, str):
        raise InvalidToken("an entry of `access` lacks `type` or `name`")
    if actions is None:  # how token servers written in Go say "no action"
        actions = []
    if not isinstance(actions, list) or not all(isinstance(item, str) for item in actions):
        raise InvalidToken("`actions` in `access` is no list of words")
    # A resource class, as in `repository(plugin)`, is deprecated and means nothing.
    match = _CLASSED.fullmatch(kind)
    return (match[1] if match else kind, name), actions
