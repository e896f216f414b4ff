"""Why a policy decides as it does, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pyreg.hooks import Decision, Identity
from pyreg_auth_policy.policy import Policy, Rule, Verdict

NEEDS = {
    "pull": ("pull",),
    "push": ("pull", "push"),
    "delete": ("delete",),
    "list": ("list", "pull"),
}
"""What has to be allowed for each thing that clients do: who pushes asks first what is there."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one action is allowed or not.

    Attributes:
        action: The action.
        verdict: What the policy says.
        others: The rules that did not decide, each with the reason.
    """

    action: str
    verdict: Verdict
    others: Sequence[tuple[Rule, str]]

    @property
    def allowed(self) -> bool:
        """Whether the action is allowed in the end."""
        return self.verdict.decision is Decision.ALLOW


def explain(policy: Policy, identity: Identity, action: str, repository: str) -> list[Explanation]:
    """Explain what a caller may do: each action that it needs, the one asked about last."""
    return [_explain(policy, identity, each, repository) for each in _asked_last(action)]


def _asked_last(action: str) -> list[str]:
    return [*(each for each in NEEDS[action] if each != action), action]


def _explain(policy: Policy, identity: Identity, action: str, repository: str) -> Explanation:
    verdict = policy.decide(identity, repository, action)
    others = [
        (rule, _why_not(policy, rule, identity, action, repository, verdict))
        for rule in policy.rules
        if rule is not verdict.rule
    ]
    return Explanation(action, verdict, others)


def _why_not(
    policy: Policy,
    rule: Rule,
    identity: Identity,
    action: str,
    repository: str,
    verdict: Verdict,
) -> str:
    if action not in rule.actions:
        return f"it is not about {action}"
    values = partial(policy.groups.values, identity)
    if not any(pattern.matches(repository, values) for pattern in rule.patterns):
        bound = [
            text
            for pattern in rule.patterns
            if pattern.placeholders
            for text in pattern.bound(values)
        ]
        mine = f" (for this caller: {', '.join(bound)})" if bound else ""
        return f"it does not name {repository}{mine}"
    if not rule.concerns(identity):
        return "it is not about this caller"
    if rule.allows and verdict.decision is Decision.DENY:
        return "it would allow it, but a denial wins"
    return "it says the same"
