"""What a policy decides, and what its rules promise whatever is in them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.hooks import ANONYMOUS, Access, Authorizer, Decision, Identity
from pyreg.testing.auth import AuthorizerContract
from pyreg_auth_policy import Options, Policy, PolicyPlugin
from pyreg_auth_policy.advice import warnings_of
from pyreg_auth_policy.policy import ACTIONS

ANN = Identity("ann", authenticator="htpasswd")
BOB = Identity("bob", frozenset({"ops"}), authenticator="htpasswd")
MAIN = {"repository_owner": "acme", "repository": "acme/app", "ref": "refs/heads/main"}
BUILD = Identity("build", claims={**MAIN, "teams": ["blue", "red"]}, authenticator="oidc")

Rules = list[dict[str, Any]]


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy(Options.model_validate({"rules": rules, **more}).policy)


def rule(repositories: str, to: Any, *, allow: Any = None, deny: Any = None) -> dict[str, Any]:
    return {"repositories": repositories, "to": to, "allow": allow, "deny": deny}


def may(policy: Policy, identity: Identity, actions: str, repository: str) -> bool:
    access = Access("repository", repository, tuple(actions.split(",")))
    return policy.authorize(identity, access) is Decision.ALLOW


def test_the_example_of_the_documentation() -> None:
    example = policy(
        rule("public/**", "anonymous", allow="pull"),
        rule("team/**", "group:devs", allow=["pull", "push"]),
        rule("{user}/**", "authenticated", allow="all"),
        rule(
            "ci/**",
            {"claims": {"repository_owner": "acme", "ref": "refs/heads/main"}},
            allow="push",
        ),
        rule("**", "authenticated", allow="list"),
        groups={"devs": ["ann"]},
    )
    assert may(example, ANONYMOUS, "pull", "public/app")
    assert not may(example, ANONYMOUS, "pull,push", "public/app")
    assert not may(example, ANONYMOUS, "pull", "team/app")
    assert may(example, ANN, "pull,push", "team/app")
    assert not may(example, ANN, "delete", "team/app")
    assert not may(example, BOB, "pull", "team/app")
    assert may(example, BOB, "delete", "bob/app")
    assert not may(example, BOB, "pull", "ann/app")
    assert may(example, BUILD, "pull,push", "ci/app")
    other_branch = Identity("build", claims={**MAIN, "ref": "refs/heads/x"}, authenticator="oidc")
    assert not may(example, other_branch, "pull,push", "ci/app")
    assert example.sees(ANN, "team/app") is Decision.ALLOW
    assert example.sees(BOB, "team/app") is not Decision.ALLOW


def test_a_caller_may_do_what_a_stranger_may() -> None:
    """`to: anonymous` allows everybody, and denies strangers alone."""
    example = policy(
        rule("public/**", "anonymous", allow="pull"),
        rule("public/internal/**", "anonymous", deny="pull"),
    )
    assert may(example, ANONYMOUS, "pull", "public/app")
    assert may(example, ANN, "pull", "public/app")
    assert not may(example, ANONYMOUS, "pull", "public/internal/app")
    assert may(example, ANN, "pull", "public/internal/app")


def test_a_denial_wins_from_wherever_it_stands() -> None:
    rules = [
        rule("team/**", "user:ann", allow="all"),
        rule("team/frozen/**", "everybody", deny=["push", "delete"]),
    ]
    for order in (rules, rules[::-1]):
        example = policy(*order)
        assert may(example, ANN, "pull,push", "team/app")
        assert may(example, ANN, "pull", "team/frozen/app")
        assert not may(example, ANN, "pull,push", "team/frozen/app")
        access = Access("repository", "team/frozen/app", ("pull", "push"))
        assert example.authorize(ANN, access) is Decision.DENY


def test_who_may_push_may_pull() -> None:
    example = policy(rule("a", "user:ann", allow="push"), rule("b", "user:ann", allow="push"))
    assert may(example, ANN, "pull,push", "a")
    assert may(example, ANN, "pull", "a")
    without = policy(rule("a", "user:ann", allow="push"), rule("a", "user:ann", deny="pull"))
    assert not may(without, ANN, "pull,push", "a")
    assert not may(without, ANN, "pull", "a")


def test_a_group_of_the_policy_has_the_members_that_it_names() -> None:
    """Somebody who can put names of groups into tokens joins no group of the policy."""
    example = policy(
        rule("admin", "group:admins", allow="all"),
        rule("ops", "group:ops", allow="all"),
        rule("{group}/**", "authenticated", allow="pull"),
        groups={"admins": ["ann", {"user": "root", "authenticator": "certificate"}]},
    )
    intruder = Identity("eve", frozenset({"admins", "ops"}), authenticator="oidc")
    assert may(example, ANN, "pull,push", "admin")
    assert not may(example, intruder, "pull", "admin")
    assert not may(example, intruder, "pull", "admins/x")
    assert may(example, ANN, "pull", "admins/x")
    assert may(example, intruder, "pull", "ops/x")
    assert may(example, BOB, "delete", "ops")
    assert not may(example, Identity("root", authenticator="htpasswd"), "pull", "admin")
    assert may(example, Identity("root", authenticator="certificate"), "pull", "admin")


@pytest.mark.parametrize(
    ("condition", "identity", "holds"),
    [
        ({"claims": {"repository_owner": "acme"}}, BUILD, True),
        ({"claims": {"repository_owner": ["other", "acme"]}}, BUILD, True),
        ({"claims": {"repository_owner": "acm"}}, BUILD, False),
        ({"claims": {"ref": "refs/heads/*"}}, BUILD, True),
        ({"claims": {"teams": "blue"}}, BUILD, True),
        ({"claims": {"teams": "green"}}, BUILD, False),
        ({"claims": {"missing": "**"}}, BUILD, False),
        ({"claims": {"repository_owner": "acme"}, "authenticator": "oidc"}, BUILD, True),
        ({"claims": {"repository_owner": "acme"}, "authenticator": "token2"}, BUILD, False),
        ({"claims": {"repository_owner": "acme"}}, ANN, False),
        ({"user": "a*"}, ANN, True),
        ({"user": ["x", "ann"], "authenticator": "htpasswd"}, ANN, True),
        ({"user": "**"}, Identity("", authenticator="certificate"), False),
        ("authenticator:htpasswd", ANN, True),
        ("authenticator:htpasswd", BUILD, False),
        ("user:Ann", ANN, False),
        ("group:o*", BOB, True),
        ("authenticated", Identity("", authenticator="certificate"), True),
        ("authenticated", ANONYMOUS, False),
        ("user:**", ANONYMOUS, False),
        (["user:x", "anonymous"], ANONYMOUS, True),
    ],
)
def test_conditions(condition: Any, identity: Identity, holds: bool) -> None:
    assert may(policy(rule("a", condition, allow="pull")), identity, "pull", "a") is holds


@pytest.mark.parametrize(
    ("value", "written", "holds"),
    [
        (True, "true", True),
        (True, True, True),
        (False, "true", False),
        (7, 7, True),
        (7, "7", True),
        ("x" * 5000, "**", False),
        ({"a": "b"}, "**", False),
        ([["a"]], "**", False),
        (None, "**", False),
        (["a"] * 1000 + ["b"], "b", False),
    ],
)
def test_claims_of_every_kind(value: Any, written: Any, holds: bool) -> None:
    identity = Identity("x", claims={"claim": value}, authenticator="oidc")
    example = policy(rule("a", {"claims": {"claim": written}}, allow="pull"))
    assert may(example, identity, "pull", "a") is holds


def test_a_repository_for_each_repository_of_a_forge() -> None:
    example = policy(rule("{claimpath:repository}", "authenticator:oidc", allow="push"))
    assert may(example, BUILD, "pull,push", "acme/app")
    assert not may(example, BUILD, "pull,push", "acme/other")
    sly = Identity("x", claims={"repository": "acme/*"}, authenticator="oidc")
    assert not may(example, sly, "pull", "acme/app")


def test_who_brings_a_token_may_do_what_the_token_says() -> None:
    example = policy(rule("**", "everybody", allow="all"), rule("x", "everybody", deny="all"))
    bearer = Identity("ann", authenticator="token")
    for name in ("a", "x"):
        access = Access("repository", name, ("pull",))
        assert example.authorize(bearer, access) is Decision.ABSTAIN
        assert example.sees(bearer, name) is Decision.ABSTAIN
    assert example.authorize(bearer, Access("registry", "catalog", ("*",))) is Decision.ABSTAIN


def base(policy: Policy, identity: Identity) -> bool:
    return policy.authorize(identity, Access("registry", "base", ("*",))) is Decision.ALLOW


def test_the_ping() -> None:
    """Clients take their challenges from the ping, so it fails while a login can gain anything."""
    public = rule("public/**", "anonymous", allow="pull")
    mixed = [public, rule("**", "user:ann", allow="push")]
    assert not base(policy(*mixed), ANONYMOUS)
    assert base(policy(*mixed), ANN)
    assert base(policy(*mixed), BOB), "also for those of whom no rule knows"
    assert base(policy(public), ANONYMOUS), "there is nothing to log in for"
    assert base(policy(*mixed, anonymousping=True), ANONYMOUS)
    assert not base(policy(public, anonymousping=False), ANONYMOUS)
    assert not base(policy(rule("**", "anonymous", deny="pull")), ANONYMOUS)


def catalog(policy: Policy, identity: Identity) -> Decision:
    return policy.authorize(identity, Access("registry", "catalog", ("*",)))


def test_the_catalog_is_for_those_who_may_list_something() -> None:
    example = policy(
        rule("team/**", "user:ann", allow=["pull", "list"]),
        rule("hidden/**", "user:ann", allow="pull"),
        rule("**", "user:bob", allow="list"),
    )
    assert catalog(example, ANN) is Decision.ALLOW
    assert catalog(example, ANONYMOUS) is Decision.ABSTAIN
    assert example.sees(ANN, "team/app") is Decision.ALLOW
    assert example.sees(ANN, "hidden/app") is not Decision.ALLOW
    assert catalog(example, BOB) is Decision.ALLOW
    assert example.sees(BOB, "team/app") is not Decision.ALLOW, "he may not pull it"
    denied = policy(rule("**", "everybody", allow="all"), rule("**", "user:bob", deny="list"))
    assert catalog(denied, BOB) is Decision.DENY
    assert catalog(denied, ANN) is Decision.ALLOW


def test_other_questions_are_left_to_others() -> None:
    example = policy(rule("**", "everybody", allow="all"))
    for access in (
        Access("repository(plugin)", "a", ("pull",)),
        Access("registry", "somewhere", ("*",)),
        Access("repository", "a", ("frobnicate",)),
        Access("repository", "a", ()),
        Access("repository", "a/../b", ("pull",)),
        Access("repository", "a" * 256, ("pull",)),
    ):
        assert example.authorize(ANN, access) is Decision.ABSTAIN, access
    assert may(example, ANN, "*", "a")


class TestContract(AuthorizerContract):
    @pytest.fixture
    def authorizer(self) -> Authorizer:
        rules = [
            rule("team/**", ["user:ann", "group:ops"], allow=["pull", "push", "list"]),
            rule("{user}/**", "authenticated", allow="all"),
            rule("public/**", "anonymous", allow=["pull", "list"]),
            rule("team/frozen", "everybody", deny="push"),
        ]
        return PolicyPlugin(Options.model_validate({"rules": rules})).pyreg_authorizer()

    @pytest.fixture
    def allowed(self) -> list[tuple[Identity, Access]]:
        return [
            (ANN, Access("repository", "team/app", ("pull", "push"))),
            (BOB, Access("repository", "bob/app", ("pull", "push", "delete"))),
            (ANONYMOUS, Access("repository", "public/app", ("pull",))),
            (ANN, Access("registry", "base", ("*",))),
            (ANN, Access("registry", "catalog", ("*",))),
        ]

    @pytest.fixture
    def denied(self) -> list[tuple[Identity, Access]]:
        return [
            (ANN, Access("repository", "team/frozen", ("pull", "push"))),
            (ANN, Access("repository", "bob/app", ("pull",))),
            (ANONYMOUS, Access("repository", "team/app", ("pull",))),
            (ANONYMOUS, Access("registry", "base", ("*",))),
        ]


# -- promises ------------------------------------------------------------------------------

words = st.sampled_from(["a", "b", "ann", "bob"])
somewhere = st.sampled_from(["**", "*", "a/**", "a/*", "**/b", "{user}/**", "{group}/*", "a/b"])
somebody = st.sampled_from(
    ["everybody", "anonymous", "authenticated", "user:ann", "user:b*", "group:a", "group:b"]
)
identities = st.one_of(
    st.just(ANONYMOUS),
    st.builds(Identity, words, st.frozensets(words), authenticator=st.just("htpasswd")),
)
repositories = st.lists(words, min_size=1, max_size=3).map("/".join)


def rules(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(st.sampled_from([*ACTIONS, "all"]), min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {
            "repositories": st.lists(somewhere, min_size=1, max_size=2),
            kind: some,
            "to": st.lists(somebody, min_size=1, max_size=2),
        }
    )


allowing, denying = rules("allow"), rules("deny")
any_rules = st.lists(allowing | denying, min_size=1, max_size=6)
groups = st.dictionaries(st.sampled_from(["a"]), st.lists(words, max_size=2))


@given(any_rules, groups, identities, repositories, st.sampled_from(ACTIONS), st.randoms())
def test_the_order_means_nothing(
    given_rules: Rules,
    members: Mapping[str, Any],
    identity: Identity,
    repository: str,
    action: str,
    shuffler: random.Random,
) -> None:
    shuffled = list(given_rules)
    shuffler.shuffle(shuffled)
    one, two = (policy(*each, groups=members) for each in (given_rules, shuffled))
    decisions = {each.decide(identity, repository, action).decision for each in (one, two)}
    assert len(decisions) == 1
    assert catalog(one, identity) is catalog(two, identity)
    assert base(one, identity) is base(two, identity)


@given(any_rules, allowing, identities, repositories, st.sampled_from(ACTIONS))
def test_one_more_that_allows_takes_nothing_away(
    given_rules: Rules, more: dict[str, Any], identity: Identity, repository: str, action: str
) -> None:
    before = policy(*given_rules).decide(identity, repository, action).decision
    after = policy(*given_rules, more).decide(identity, repository, action).decision
    assert after is before or (before is Decision.ABSTAIN and after is Decision.ALLOW)


@given(any_rules, denying, identities, repositories, st.sampled_from(ACTIONS))
def test_one_more_that_denies_allows_nothing(
    given_rules: Rules, more: dict[str, Any], identity: Identity, repository: str, action: str
) -> None:
    before = policy(*given_rules).decide(identity, repository, action).decision
    after = policy(*given_rules, more).decide(identity, repository, action).decision
    assert after is before or after is Decision.DENY


@given(any_rules, groups, identities, repositories, st.sampled_from(ACTIONS))
def test_each_rule_alone_adds_up_to_the_policy(
    given_rules: Rules,
    members: Mapping[str, Any],
    identity: Identity,
    repository: str,
    action: str,
) -> None:
    """A denial wins, then what is allowed; the index of rules leaves none of them out."""
    alone = {
        policy(each, groups=members).decide(identity, repository, action).decision
        for each in given_rules
    }
    expected = next(
        decision
        for decision in (Decision.DENY, Decision.ALLOW, Decision.ABSTAIN)
        if decision in alone
    )
    together = policy(*given_rules, groups=members)
    verdict = together.decide(identity, repository, action)
    assert verdict.decision is expected
    assert (verdict.rule is None) == (expected is Decision.ABSTAIN)


@given(st.lists(allowing, min_size=1), identities, repositories, st.sampled_from(ACTIONS))
def test_nobody_loses_anything_by_logging_in(
    given_rules: Rules, identity: Identity, repository: str, action: str
) -> None:
    example = policy(*given_rules)
    if example.decide(ANONYMOUS, repository, action).decision is Decision.ALLOW:
        assert example.decide(identity, repository, action).decision is Decision.ALLOW


@given(any_rules, groups, identities, repositories, st.sampled_from(ACTIONS))
def test_a_rule_that_is_said_to_have_no_effect_has_none(
    given_rules: Rules,
    members: Mapping[str, Any],
    identity: Identity,
    repository: str,
    action: str,
) -> None:
    example = policy(*given_rules, groups=members)
    idle = [int(warning.split()[1].rstrip(":")) for warning in warnings_of(example)]
    for number in idle:
        others = [each for at, each in enumerate(given_rules, start=1) if at != number]
        without = policy(*others, groups=members)
        before = example.decide(identity, repository, action).decision is Decision.ALLOW
        assert (without.decide(identity, repository, action).decision is Decision.ALLOW) is before


def test_rules_without_effect_are_told() -> None:
    example = policy(
        rule("team/**", "everybody", deny="all"),
        rule("team/app", "user:ann", allow="push"),
        rule("a/**", "authenticated", allow="push"),
        rule("a/b", "user:ann", allow="pull"),
        rule("a/**", "authenticated", allow="push"),
        rule("b/**", "user:ann", allow="pull"),
    )
    assert list(warnings_of(example)) == [
        "Rule 2 has no effect: rule 1 denies all of it",
        "Rule 4 has no effect: rule 3 says as much",
        "Rule 5 has no effect: rule 3 says as much",
    ]
