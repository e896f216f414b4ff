"""Who calls: the conditions of a rule, against the identity that an authenticator vouches for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pyreg.hooks import Identity
from pyreg_auth_policy.options import Anybody, Caller
from pyreg_auth_policy.patterns import MAX_TEXT, Placeholder, TextPattern

_MOST_VALUES = 256
"""How many values of one claim are looked at."""


class OneOf:
    """A list of patterns of which one has to match."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._exact = frozenset(text for text in self.texts if "*" not in text)
        self._patterns = [TextPattern(text) for text in self.texts if "*" in text]

    def matches(self, value: str) -> bool:
        """Whether one of them matches a value."""
        if value in self._exact:
            return True
        return bool(value) and any(pattern.matches(value) for pattern in self._patterns)

    def among(self, values: Iterable[str]) -> bool:
        """Whether one of them matches one of the values."""
        return any(self.matches(value) for value in values)


class Condition:
    """Some callers, as one entry of a rule's `to` or of a group describes them.

    Args:
        caller: As it was written.
        groups: Of the policy.
        allows: Whether it is there to allow something. What is allowed to anonymous callers is
            allowed to everybody then: nobody may do less for having logged in.
    """

    def __init__(self, caller: Caller, groups: Groups, *, allows: bool = False) -> None:
        self._text = _text(caller)
        self.word = caller.word if isinstance(caller, Anybody) else ""
        if allows and self.word == "anonymous":
            self.word = "everybody"
        self._groups = groups
        self._user = OneOf(caller.user) if caller.user else None
        self._group = OneOf(caller.group) if caller.group else None
        self._authenticator = OneOf(caller.authenticator) if caller.authenticator else None
        self._claims = {name: OneOf(texts) for name, texts in caller.claims.items()}

    def matches(self, identity: Identity) -> bool:
        """Whether the caller is one of these."""
        if self.word:
            return self.word == "everybody" or identity.anonymous == (self.word == "anonymous")
        return (
            not identity.anonymous
            and (self._user is None or self._user.matches(identity.name))
            and (self._authenticator is None or self._authenticator.matches(identity.authenticator))
            and (self._group is None or self._group.among(self._groups.of(identity)))
            and all(
                condition.among(claim_values(identity, name))
                for name, condition in self._claims.items()
            )
        )

    def covers(self, other: Condition) -> bool:
        """Whether everybody whom `other` means is meant by this one; False if in doubt."""
        if self.word == "everybody" or (self.word == "authenticated" and not other.word):
            return True
        return (self.word, self._text) == (other.word, other._text)

    def __str__(self) -> str:
        return self._text


class Groups:
    """The groups of a policy, and of callers.

    Args:
        members: As they were written.
    """

    def __init__(self, members: Mapping[str, Sequence[Caller]]) -> None:
        self._conditions = {
            name: [Condition(member, self) for member in group] for name, group in members.items()
        }

    def of(self, identity: Identity) -> Collection[str]:
        """The groups of a caller.

        A group of the policy has the members that the policy names, and no others: an issuer of
        tokens that knows a group of the same name adds nobody to it.
        """
        if not self._conditions:
            return identity.groups
        found = {name for name in identity.groups if name not in self._conditions}
        found.update(
            name
            for name, conditions in self._conditions.items()
            if any(condition.matches(identity) for condition in conditions)
        )
        return found

    def values(self, identity: Identity, placeholder: Placeholder) -> Collection[str]:
        """What a placeholder stands for; nothing where there is nobody to ask about."""
        if identity.anonymous:
            return ()
        if placeholder.kind == "user":
            return (identity.name,)
        if placeholder.kind == "group":
            return sorted(self.of(identity))
        return claim_values(identity, placeholder.name)


def claim_values(identity: Identity, name: str) -> list[str]:
    """The values of a claim as texts: one, each of a list, or none."""
    value: Any = identity.claims.get(name)
    many = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    texts = []
    for _, each in zip(range(_MOST_VALUES), many, strict=False):
        if isinstance(each, bool):
            texts.append("true" if each else "false")
        elif isinstance(each, str | int | float) and len(text := str(each)) <= MAX_TEXT:
            texts.append(text)
    return texts


def _text(caller: Caller) -> str:
    """A condition on one line: `user:ann`, `claim:ref=refs/heads/main & authenticator:oidc`."""
    if isinstance(caller, Anybody):
        return caller.word
    conditions = {"user": caller.user, "group": caller.group, "authenticator": caller.authenticator}
    conditions |= {f"claim:{name}": texts for name, texts in caller.claims.items()}
    parts = []
    for name, texts in conditions.items():
        if texts:
            parts.append(f"{name}{'=' if name.startswith('claim:') else ':'}{'|'.join(texts)}")
    return " & ".join(parts)
