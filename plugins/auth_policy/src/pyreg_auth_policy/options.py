"""What a policy may say, as it stands in the configuration or in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pyreg_auth_policy.patterns import Pattern, TextPattern

Action = Literal["pull", "push", "delete", "list", "all"]

Word = Literal["everybody", "authenticated", "anonymous"]

WORDS: tuple[Word, ...] = ("everybody", "authenticated", "anonymous")

_PREFIXES = ("user", "group", "authenticator")


def _one_or_many(value: Any) -> Any:
    """Take `pull` for `[pull]`."""
    return value if isinstance(value, list | tuple) else [value]


def _as_text(value: Any) -> Any:
    """Take a number or a truth value as YAML wrote it: user names can be numbers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _checked(text: str) -> str:
    TextPattern(text)
    return text


def _checked_repository(text: str) -> str:
    Pattern(text)
    return text


Text = Annotated[str, BeforeValidator(_as_text), AfterValidator(_checked)]

Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many), Field(min_length=1)]

Repositories = Annotated[
    tuple[Annotated[str, AfterValidator(_checked_repository)], ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
]

Actions = Annotated[tuple[Action, ...], BeforeValidator(_one_or_many), Field(min_length=1)]


class Section(BaseModel):
    """A mapping of a policy; a key that is not known is a mistake, for it could be a denial."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Caller(Section):
    """Callers who are logged in, and for whom all of this holds; each takes a list of choices.

    Attributes:
        user: Names of users.
        group: Names of groups, of the policy or as the authenticator tells them.
        authenticator: The authenticators that may vouch for the caller.
        claims: What else the authenticator must know of the caller, by the claim's name.
    """

    user: Texts | None = None
    group: Texts | None = None
    authenticator: Texts | None = None
    claims: Mapping[str, Texts] = {}

    @property
    def says_whom(self) -> bool:
        """Whether there is any condition."""
        return bool(self.user or self.group or self.authenticator or self.claims)

    @model_validator(mode="after")
    def _checked(self) -> Caller:
        if not self.says_whom:
            raise ValueError("expected `user`, `group`, `authenticator` or `claims`")
        return self


class Anybody(Caller):
    """The callers that one word stands for: `everybody`, `authenticated`, `anonymous`."""

    word: Word

    @property
    def says_whom(self) -> bool:
        """It does, in a word."""
        return True


def _caller(value: Any) -> Any:
    """Read `user:ann`, `group:devs`, `authenticator:oidc` or one of the words."""
    if not isinstance(value, str | int | float):
        return value
    text = _as_text(value)
    if text in WORDS:
        return Anybody(word=text)
    prefix, colon, name = text.partition(":")
    if not colon or prefix not in _PREFIXES:
        raise ValueError(
            "expected `everybody`, `authenticated`, `anonymous`, `user:NAME`, `group:NAME`, "
            "`authenticator:NAME`, or a mapping with conditions"
        )
    return Caller.model_validate({prefix: _checked(name)})


def _member(value: Any) -> Any:
    """Read a member of a group: the name of a user, or a condition."""
    if isinstance(value, str | int | float):
        return Caller.model_validate({"user": _checked(_as_text(value))})
    return value


def _no_group(caller: Caller) -> Caller:
    if caller.group:
        raise ValueError("expected users or claims: a group cannot have groups in it")
    return caller


To = Annotated[
    tuple[Annotated[Caller, BeforeValidator(_caller)], ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
]

Members = tuple[Annotated[Caller, BeforeValidator(_member), AfterValidator(_no_group)], ...]


class Rule(Section):
    """One line of a policy.

    Attributes:
        repositories: Patterns of the repositories that it is about.
        allow: What it allows, or
        deny: what it denies. Exactly one of them is given.
        to: To whom; one of the list is enough.
    """

    repositories: Repositories
    allow: Actions | None = None
    deny: Actions | None = None
    to: To

    @model_validator(mode="after")
    def _one_of_two(self) -> Rule:
        if (self.allow is None) == (self.deny is None):
            raise ValueError("expected either `allow` or `deny`, with the actions behind it")
        return self


def _some(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    if not rules:
        raise ValueError("expected at least one rule; without any, all is denied")
    return rules


class Rules(Section):
    """A policy.

    Attributes:
        groups: Members of each group. A group that is defined here has these members only,
            whatever an authenticator says.
        rules: What is allowed and denied. Their order has no meaning.
        anonymousping: Whether `GET /v2/` succeeds without credentials; None to decide by the
            rules.
    """

    groups: Mapping[str, Members] = {}
    rules: Annotated[tuple[Rule, ...], AfterValidator(_some)]
    anonymousping: bool | None = None


class Options(Section):
    """The options of the plugin: a policy, or the file that has one.

    Attributes:
        groups: See `Rules`.
        rules: See `Rules`.
        anonymousping: See `Rules`.
        file: Path of a YAML file with these keys. It is read again when it changes.
    """

    groups: Mapping[str, Members] = {}
    rules: tuple[Rule, ...] = ()
    anonymousping: bool | None = None
    file: str = ""

    @model_validator(mode="after")
    def _rules_or_file(self) -> Options:
        if self.file and (self.rules or self.groups or self.anonymousping is not None):
            raise ValueError("has a `file`; the groups, the rules and `anonymousping` belong there")
        if not self.file and not self.rules:
            raise ValueError("expected `rules`, or the `file` that has them; else all is denied")
        return self

    @property
    def policy(self) -> Rules:
        """The policy, if it is not in a file."""
        return Rules(groups=self.groups, rules=self.rules, anonymousping=self.anonymousping)
