"""`pyreg access`: what a policy allows, and why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from pyreg.errors import ConfigurationError
from pyreg.hooks import ANONYMOUS, Decision, Identity, Invocation
from pyreg_auth_policy.advice import described
from pyreg_auth_policy.explanation import NEEDS, Explanation, explain
from pyreg_auth_policy.file import rule_lines
from pyreg_auth_policy.patterns import is_repository
from pyreg_auth_policy.plugin import PolicyPlugin
from pyreg_auth_policy.policy import ACTIONS, Policy

_CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"


class NoAnswer(click.ClickException):
    """There is no policy to ask; not to be mistaken for a denial, whose exit status is 1."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def access() -> None:
    """Ask the policy who may do what, and why.

    The policy is the one of auth.policy in the configuration. No registry needs to run.
    """


def _caller_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say who calls; the command is given an `identity` for them."""

    @wraps(command)
    def wrapped(
        user: str,
        group: Sequence[str],
        claim: Sequence[str],
        authenticator: str,
        anonymous: bool,
        **others: Any,
    ) -> None:
        if anonymous == bool(user or group or claim):
            raise click.UsageError("say who calls: --anonymous, or --user, --group and --claim")
        identity = ANONYMOUS
        if not anonymous:
            identity = Identity(user, frozenset(group), _claims(claim), authenticator)
        command(identity=identity, **others)

    for option in (
        click.option("--user", default="", metavar="NAME", help="The user who calls."),
        click.option(
            "--group",
            multiple=True,
            metavar="NAME",
            help="A group that the authenticator tells of; the policy's own are known. "
            "May be repeated.",
        ),
        click.option(
            "--claim",
            multiple=True,
            metavar="NAME=VALUE",
            help="A claim of the caller's token. May be repeated, also with one name for a list.",
        ),
        click.option(
            "--authenticator",
            default="htpasswd",
            show_default=True,
            metavar="NAME",
            help="Which one vouches for the caller.",
        ),
        click.option("--anonymous", is_flag=True, help="Somebody who is not logged in."),
        click.option(
            "--config",
            type=click.Path(allow_dash=True),
            help="The configuration; otherwise the one that serve would take.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
    ):
        wrapped = option(wrapped)
    return wrapped


@access.command("explain")
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("repository")
@_caller_options
@click.pass_context
def explain_command(
    ctx: click.Context,
    identity: Identity,
    action: str,
    repository: str,
    config: str | None,
    as_json: bool,
) -> None:
    """Say whether a caller may do something, and which rule says so.

    \b
    Examples:
      pyreg access explain --user ann push team/app
      pyreg access explain --anonymous pull public/app
      pyreg access explain --authenticator oidc --claim repository_owner=acme push ci/app

    The exit status is 0 if it is allowed, 1 if not, and 2 if there is no answer.
    """
    _check(repository)
    explanations = explain(_policy(ctx, config), identity, action, repository)
    allowed = all(each.allowed for each in explanations)
    if as_json:
        document = {
            "allowed": allowed,
            "action": action,
            "repository": repository,
            "actions": [_as_data(each) for each in explanations],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        word, verb = ("allowed", "may") if allowed else ("denied", "may not")
        colour = "green" if allowed else "red"
        head = click.style(f"{word}:", fg=colour, bold=True)
        click.echo(f"{head} {_who(identity)} {verb} {action} {repository}")
        for each in explanations:
            _print(each)
    ctx.exit(0 if allowed else 1)


@access.command("list")
@click.argument("repositories", nargs=-1, metavar="[REPOSITORY]...")
@_caller_options
@click.pass_context
def list_command(
    ctx: click.Context,
    identity: Identity,
    repositories: tuple[str, ...],
    config: str | None,
    as_json: bool,
) -> None:
    """List what a caller may do with repositories.

    Without REPOSITORY, the rules about the caller are listed, with the caller's own names in them.
    """
    for repository in repositories:
        _check(repository)
    policy = _policy(ctx, config)
    rows = [
        {"repository": name, "allowed": _allowed(policy, identity, name)} for name in repositories
    ] or list(_rules_about(policy, identity))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        if "rule" in row:
            verb = "allow" if row["allows"] else "deny"
            names = ", ".join(row["repositories"])
            click.echo(f"{verb:<5}  {', '.join(row['actions']):<24}  {names}  [{row['rule']}]")
        else:
            click.echo(f"{row['repository']}  {', '.join(row['allowed']) or 'nothing'}")
    if not rows:
        click.echo("no rule is about this caller")


def _allowed(policy: Policy, identity: Identity, repository: str) -> list[str]:
    """The actions that a caller may do, each with all that it needs."""
    return [
        action
        for action, needs in NEEDS.items()
        if all(
            policy.decide(identity, repository, each).decision is Decision.ALLOW for each in needs
        )
    ]


def _rules_about(policy: Policy, identity: Identity) -> list[dict[str, Any]]:
    rows = []
    for rule in policy.rules:
        if rule.concerns(identity):
            names = [
                text
                for pattern in rule.patterns
                for text in pattern.bound(lambda item: policy.groups.values(identity, item))
            ]
            actions = [action for action in ACTIONS if action in rule.actions]
            if names:
                row = {"allows": rule.allows, "actions": actions, "repositories": names}
                rows.append({"rule": described(rule, capital=False), **row})
    return rows


def _print(explanation: Explanation) -> None:
    rule = explanation.verdict.rule
    action = explanation.action
    if rule is None:
        click.echo(f"\n{action}: no rule allows it")
    else:
        verb = "allowed" if rule.allows else "denied"
        click.echo(f"\n{action}: {verb} by {described(rule, capital=False)}\n  {rule}")
    for other, reason in explanation.others:
        click.echo(f"  - {described(other, capital=False)}, {other}: {reason}")


def _as_data(explanation: Explanation) -> dict[str, Any]:
    rule = explanation.verdict.rule
    return {
        "action": explanation.action,
        "allowed": explanation.allowed,
        "rule": None
        if rule is None
        else {"number": rule.number, "place": rule.place, "text": str(rule)},
        "others": [
            {"number": other.number, "place": other.place, "text": str(other), "reason": reason}
            for other, reason in explanation.others
        ],
    }


def _who(identity: Identity) -> str:
    if identity.anonymous:
        return "a caller who is not logged in"
    return identity.name or "the caller"


def _claims(given: Sequence[str]) -> dict[str, list[str]]:
    claims: dict[str, list[str]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"expected NAME=VALUE behind --claim, got {text!r}")
        claims.setdefault(name, []).append(value)
    return claims


def _check(repository: str) -> None:
    if not is_repository(repository):
        raise click.UsageError(f"{repository!r} cannot be the name of a repository")


def _policy(ctx: click.Context, config: str | None) -> Policy:
    """The policy of a configuration; without one there is no answer."""
    invocation: Invocation = ctx.obj
    try:
        plugins = invocation.plugins(config)
    except click.ClickException as error:
        raise NoAnswer(error.format_message()) from error
    plugin = next((each for each in plugins if isinstance(each, PolicyPlugin)), None)
    if plugin is None:
        raise NoAnswer("the configuration has no policy; it would be auth.policy")
    if plugin.options.file:
        return plugin.policy
    return _with_places(plugin, config or os.environ.get(_CONFIGURATION_PATH) or "")


def _with_places(plugin: PolicyPlugin, path: str) -> Policy:
    """The policy of a configuration with the lines of its rules, where they can be told."""
    try:
        lines = rule_lines(path, "auth", "policy") if path not in ("", "-") else []
    except ConfigurationError:
        lines = []
    if len(lines) != len(plugin.options.rules):  # they come from the environment
        return plugin.policy
    return Policy(plugin.options.policy, [f"{path}:{line}" for line in lines])
