"""A policy, compiled: who may do what.

Whatever no rule allows is not allowed, and a rule that denies wins over all that allow. So the
order of the rules means nothing, and neither does the file that a rule came from: more rules that
allow never take anything away, and one that denies can be relied upon wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from pyreg.hooks import Access, Decision, Identity
from pyreg_auth_policy import options
from pyreg_auth_policy.callers import Condition, Groups
from pyreg_auth_policy.patterns import MAX_LENGTH, Pattern, Placeholder, is_repository

ACTIONS = ("pull", "push", "delete", "list")
"""Everything that can be done with a repository; `list` is to find it in the catalog."""

OWN_SCOPE = frozenset({"token"})
"""Authenticators whose callers bring what they may do with them.

A token says what it is good for. If a policy could allow its bearer anything besides, a token that
was issued for one pull would be as good as a password.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, compiled.

    Attributes:
        number: Which one of the policy, counted from 1.
        place: Where it stands, `policy.yml:12`; "" if that is not known.
        allows: False if it denies.
        actions: Of `ACTIONS`.
        patterns: Of repositories.
        conditions: Of callers.
    """

    number: int
    place: str
    allows: bool
    actions: frozenset[str]
    patterns: tuple[Pattern, ...]
    conditions: tuple[Condition, ...]

    def concerns(self, identity: Identity) -> bool:
        """Whether it is about a caller."""
        return any(condition.matches(identity) for condition in self.conditions)

    @property
    def for_everybody(self) -> bool:
        """Whether it is about each caller, also those who are not logged in."""
        return any(condition.word == "everybody" for condition in self.conditions)

    def __str__(self) -> str:
        verb = "allow" if self.allows else "deny"
        actions = "all" if self.actions == frozenset(ACTIONS) else self._in_order()
        patterns = ", ".join(pattern.text for pattern in self.patterns)
        return f"{verb} {actions} on {patterns} to {', '.join(map(str, self.conditions))}"

    def _in_order(self) -> str:
        return ", ".join(action for action in ACTIONS if action in self.actions)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of one action.

    Attributes:
        decision: ABSTAIN where no rule says anything, which in the end is a denial.
        rule: The rule that decided.
    """

    decision: Decision
    rule: Rule | None = None


_RuleAbout = tuple[Rule, tuple[Pattern, ...]]
"""A rule about a repository; if there are patterns, one of them has to match for the caller."""

_REMEMBERED = 4096
"""For how many repositories and actions it is remembered which rules name them."""

_NOTHING_SAID = Verdict(Decision.ABSTAIN)


@dataclass(slots=True)
class _Index:
    """The rules about one action, those that deny first, by the first component of a name."""

    anywhere: list[Rule] = field(default_factory=list)
    below: dict[str, list[Rule]] = field(default_factory=dict)

    def about(self, repository: str) -> list[Rule]:
        return self.below.get(repository.partition("/")[0], self.anywhere)


class Policy:
    """Decides who may do what.

    Args:
        rules: What was written.
        places: Where each rule stands, as far as that is known.
    """

    def __init__(self, rules: options.Rules, places: Sequence[str] = ()) -> None:
        self.groups = Groups(rules.groups)
        self.rules = [
            _compiled(rule, number, self.groups, places[number - 1] if places else "")
            for number, rule in enumerate(rules.rules, start=1)
        ]
        ordered = sorted(self.rules, key=lambda rule: rule.allows)
        self._index = {action: _index(ordered, action) for action in ACTIONS}
        # Which rules name a repository is the same for each caller, save for placeholders.
        self._about = lru_cache(_REMEMBERED)(self._find_rules)
        allowing = [rule for rule in self.rules if rule.allows]
        self.anonymous_ping = (
            # Then nobody can do more for having logged in, and so nobody is asked to.
            bool(allowing) and all(rule.for_everybody for rule in allowing)
            if rules.anonymousping is None
            else rules.anonymousping
        )

    def authorize(self, identity: Identity, access: Access) -> Decision:
        """Decide on one access of a caller."""
        if identity.authenticator in OWN_SCOPE:
            return Decision.ABSTAIN
        if access.kind == "repository":
            return self._all(identity, access.name, _spelt_out(access.actions))
        if access.kind != "registry":
            return Decision.ABSTAIN
        if access.name == "base":
            known = not identity.anonymous or self.anonymous_ping
            return Decision.ALLOW if known else Decision.ABSTAIN
        return self._catalog(identity) if access.name == "catalog" else Decision.ABSTAIN

    def sees(self, identity: Identity, repository: str) -> Decision:
        """Decide whether the catalog shows a repository, which has to be one that can be pulled."""
        if identity.authenticator in OWN_SCOPE:
            return Decision.ABSTAIN
        return self._all(identity, repository, ("list", "pull"))

    def decide(self, identity: Identity, repository: str, action: str) -> Verdict:
        """Decide on one action, and say which rule it was.

        Args:
            identity: The caller.
            repository: A repository's name; about anything else, no rule says anything.
            action: One of `ACTIONS`; about any other, no rule says anything.
        """
        if len(repository) > MAX_LENGTH:  # before it is remembered
            return _NOTHING_SAID
        values = partial(self.groups.values, identity)
        for rule, undecided in self._about(repository, action):
            if rule.concerns(identity) and (
                not undecided or any(each.matches(repository, values) for each in undecided)
            ):
                return Verdict(Decision.ALLOW if rule.allows else Decision.DENY, rule)
        return _NOTHING_SAID

    def _find_rules(self, repository: str, action: str) -> tuple[_RuleAbout, ...]:
        """The rules about an action, and about a repository for some caller at least."""
        index = self._index.get(action)
        if index is None or not is_repository(repository):
            return ()
        found: list[_RuleAbout] = []
        for rule in index.about(repository):
            if any(each.matches(repository, _nothing) for each in rule.patterns):
                found.append((rule, ()))
            elif undecided := tuple(each for each in rule.patterns if each.placeholders):
                found.append((rule, undecided))
        return tuple(found)

    def _all(self, identity: Identity, repository: str, actions: Iterable[str]) -> Decision:
        decisions = [self.decide(identity, repository, action).decision for action in actions]
        if Decision.DENY in decisions:
            return Decision.DENY
        allowed = bool(decisions) and Decision.ABSTAIN not in decisions
        return Decision.ALLOW if allowed else Decision.ABSTAIN

    def _catalog(self, identity: Identity) -> Decision:
        """Who may list some repository may ask for the catalog, and finds that one there."""
        found = Decision.ABSTAIN
        for rule in self.rules:
            if "list" in rule.actions and rule.concerns(identity):
                if rule.allows:
                    found = Decision.ALLOW
                elif any(pattern.text == "**" for pattern in rule.patterns):
                    return Decision.DENY
        return found


def _nothing(_: Placeholder) -> tuple[str, ...]:
    return ()


def _spelt_out(actions: Sequence[str]) -> Iterator[str]:
    for action in actions:
        if action == "*":
            yield from ("pull", "push", "delete")
        else:
            yield action


def _index(rules: Sequence[Rule], action: str) -> _Index:
    about = [rule for rule in rules if action in rule.actions]
    firsts = {pattern.first for rule in about for pattern in rule.patterns}

    def among(*wanted: str | None) -> list[Rule]:
        return [rule for rule in about if any(pattern.first in wanted for pattern in rule.patterns)]

    return _Index(among(None), {first: among(None, first) for first in firsts if first})


def _compiled(rule: options.Rule, number: int, groups: Groups, place: str) -> Rule:
    allows = rule.allow is not None
    actions: set[str] = set(rule.allow or rule.deny or ())
    if "all" in actions:
        actions = {*ACTIONS}
    if allows and "push" in actions:
        actions.add("pull")  # a client that pushes asks first what is there
    return Rule(
        number,
        place,
        allows,
        frozenset(actions),
        tuple(Pattern(text) for text in rule.repositories),
        tuple(Condition(caller, groups, allows=allows) for caller in rule.to),
    )
