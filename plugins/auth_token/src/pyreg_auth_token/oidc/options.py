"""The options below `auth.oidc`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pyreg.hooks import parse_duration
from pyreg_auth_token.fetching import check_address
from pyreg_auth_token.oidc.conditions import fields, text_of

# Issuers whose tokens everybody in the world can get, with the claims that tell whose they are.
_SHARED = {
    "https://token.actions.githubusercontent.com": (
        "repository", "repository_id", "repository_owner", "repository_owner_id",
        "enterprise", "enterprise_id", "sub",
    ),
    "https://gitlab.com": (
        "namespace_id", "namespace_path", "project_id", "project_path", "user_id", "user_login",
        "sub",
    ),
}  # fmt: skip


def _listed(value: object) -> object:
    return value if isinstance(value, (list, tuple)) or value is None else [value]


def _as_text(value: Any) -> Any:
    text = text_of(value)
    return value if text is None else text


Pattern = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=500)]
OneOrMore = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Rule(BaseModel):
    """Whose ID tokens are accepted, and who their bearers are.

    Attributes:
        issuer: Its address, exactly as `iss` has it.
        audience: What `aud` has to be or to contain, one of them.
        claims: Conditions, by claim: patterns of which one has to match.
        name: The bearer's name: a text with `{claim}` in it.
        groups: The bearer's groups: texts with `{claim}` in them.
        jwks: The issuer's keys, a file or an address; found by discovery, if empty.
        maxlifetime: Seconds for which a token may be valid, in all; written `90s`, `10m`, `6h`.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    issuer: Annotated[str, Field(min_length=1)]
    audience: OneOrMore
    claims: Annotated[dict[str, OneOrMore], Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)] = "{sub}"
    groups: Texts = ()
    jwks: str = ""
    maxlifetime: Annotated[float, BeforeValidator(parse_duration), Field(ge=1)] = 6 * 3600.0

    @field_validator("issuer", "jwks")
    @classmethod
    def _safe(cls, address: str) -> str:
        return check_address(address) if "://" in address else address

    @field_validator("name")
    @classmethod
    def _name(cls, template: str) -> str:
        if not fields(template):
            raise ValueError("without a {claim} in it, all bearers would have the same name")
        return template

    @field_validator("groups")
    @classmethod
    def _groups(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            fields(template)
        return templates

    @model_validator(mode="after")
    def _closed(self) -> Rule:
        if not self.jwks and "://" not in self.issuer:
            raise ValueError(f"the issuer {self.issuer!r} has no address; name its `jwks`")
        owners = _SHARED.get(self.issuer.rstrip("/"), ())
        restricted = {
            claim
            for claim, patterns in self.claims.items()
            if all(pattern.strip("*?") for pattern in patterns)
        }
        if owners and restricted.isdisjoint(owners):
            raise ValueError(
                f"everybody in the world gets tokens of {self.issuer}: `claims` has to restrict "
                f"one of {', '.join(owners)}"
            )
        return self


class Options(BaseModel):
    """The options below `auth.oidc`.

    Attributes:
        issuers: Rules, asked in this order; several may have the same issuer.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    issuers: tuple[Rule, ...]

    @model_validator(mode="after")
    def _agree(self) -> Options:
        if not self.issuers:
            raise ValueError("`issuers` is empty: name one whose tokens are accepted")
        places: dict[str, str] = {}
        for rule in self.issuers:
            if places.setdefault(rule.issuer, rule.jwks) != rule.jwks:
                raise ValueError(f"two rules name different `jwks` of the issuer {rule.issuer}")
        return self
