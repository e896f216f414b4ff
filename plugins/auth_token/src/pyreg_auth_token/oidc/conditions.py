"""Conditions on claims, and texts made of claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_FIELD = re.compile(r"\{([^{}]*)\}")

MAX_VALUES = 500
"""Values of a claim that is a list."""


class Unmet(Exception):
    """A condition does not hold, or a claim is missing; says which."""


def text_of(value: object) -> str | None:
    """A claim's value as conditions see it; None for what has no plain text.

    CI systems disagree on whether an id is a number and a flag is a text, so `22` equals
    `"22"`, and `true` equals `"true"`.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    return None


def texts_of(value: object) -> list[str]:
    """The values of a claim: its elements if it is a list, else the one."""
    values = value[:MAX_VALUES] if isinstance(value, list) else [value]
    return [text for text in map(text_of, values) if text is not None]


def check(conditions: Mapping[str, Sequence[str]], claims: Mapping[str, Any]) -> None:
    """Check every condition.

    Args:
        conditions: By claim, patterns of which one has to match: `*` stands for any characters,
            `?` for one, everything else for itself. Of a claim that is a list, one element has
            to match.
        claims: The claims of a verified token.

    Raises:
        Unmet: naming the first claim that does not match.
    """
    for claim, patterns in conditions.items():
        if claim not in claims:
            raise Unmet(f"it has no claim {claim!r}")
        values = texts_of(claims[claim])
        if not any(_pattern(pattern).fullmatch(value) for pattern in patterns for value in values):
            raise Unmet(
                f"its claim {claim!r} is {_short(claims[claim])}, "
                f"and not {' or '.join(map(repr, patterns))}"
            )


def filled(template: str, claims: Mapping[str, Any]) -> str:
    """A text with `{claim}` replaced by the claim's value.

    Raises:
        Unmet: the claim is missing, empty, or no plain value.
    """

    def value(match: re.Match[str]) -> str:
        text = text_of(claims.get(match[1]))
        if not text:
            raise Unmet(f"it has no plain claim {match[1]!r}, which {template!r} asks for")
        return text

    return _FIELD.sub(value, template)


def groups_of(templates: Sequence[str], claims: Mapping[str, Any]) -> frozenset[str]:
    """Groups: a text with claims in it, or, of a claim that is a list, each element.

    A group whose claim is missing is left out: it takes rights away, and never adds any.
    """
    groups: set[str] = set()
    for template in templates:
        alone = _FIELD.fullmatch(template)
        if alone and isinstance(claims.get(alone[1]), list):
            groups.update(texts_of(claims[alone[1]]))
            continue
        try:
            groups.add(filled(template, claims))
        except Unmet:
            continue
    return frozenset(groups - {""})


def fields(template: str) -> list[str]:
    """The claims that a template asks for.

    Raises:
        ValueError: its braces do not match, or have nothing in them.
    """
    names = _FIELD.findall(template)
    if not all(names) or set("{}") & set(_FIELD.sub("", template)):
        raise ValueError(f"{template!r} is no text with {{claim}} in it")
    return names


@lru_cache(1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    # What lies between two stars is looked for once, at its first place: the time of a match must
    # not explode with the number of stars.
    first, *others = (
        "".join("." if char == "?" else re.escape(char) for char in part)
        for part in re.split(r"\*+", pattern)
    )
    if not others:
        return re.compile(first, re.DOTALL)
    between = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(f"{first}{between}.*{others[-1]}", re.DOTALL)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
