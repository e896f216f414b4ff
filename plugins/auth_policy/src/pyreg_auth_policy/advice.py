"""Rules that cannot change anything: mistakes more often than not, so they are told."""

from __future__ import annotations

from collections.abc import Iterator

from pyreg_auth_policy.policy import Policy, Rule


def warnings_of(policy: Policy) -> Iterator[str]:
    """A sentence for each rule without effect; rules that may have one are given the doubt."""
    for rule in policy.rules:
        for other in policy.rules:
            if other is not rule and _makes_idle(other, rule):
                yield _sentence(rule, other)
                break


def _makes_idle(other: Rule, rule: Rule) -> bool:
    """Whether `rule` says nothing that `other` does not say, or that it does not deny."""
    if other.allows and not rule.allows:
        return False
    if not rule.actions <= other.actions or not _covers(other, rule):
        return False
    # Of two that say the same, the later one is idle.
    same = other.allows == rule.allows and rule.actions == other.actions and _covers(rule, other)
    return not same or other.number < rule.number


def _covers(wide: Rule, narrow: Rule) -> bool:
    return all(
        any(mine.covers(theirs) for mine in wide.patterns) for theirs in narrow.patterns
    ) and all(any(mine.covers(theirs) for mine in wide.conditions) for theirs in narrow.conditions)


def _sentence(rule: Rule, other: Rule) -> str:
    says = "says as much" if rule.allows == other.allows else "denies all of it"
    return f"{described(rule)} has no effect: {described(other, capital=False)} {says}"


def described(rule: Rule, *, capital: bool = True) -> str:
    """`Rule 3 (policy.yml:12)`."""
    word = "Rule" if capital else "rule"
    return f"{word} {rule.number}{f' ({rule.place})' if rule.place else ''}"
