"""Patterns: for names of repositories, and for the texts that say who calls.

There is one language for both. A text is cut at its slashes into components, and

* `*` stands for any run of characters inside of one component, also for none;
* `**` stands between slashes, alone: for one or more components at the end of a pattern, for
  any number of them, also none, elsewhere;
* anything else stands for itself, upper and lower case being different.

Every comparison takes time that is bounded by the length of the text, whatever the pattern: each
piece between two stars is looked for once, from left to right, and is never looked for again
(atomic groups do that), because where pieces may float, the earliest place is as good as any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from typing import Literal, cast

MAX_LENGTH = 255
"""The most characters of a pattern for repositories, as of a repository's name."""

MAX_TEXT = 4096
"""The most characters of a claim that is compared; longer ones match nothing."""

_MOST_BINDINGS = 256

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_NAME = re.compile(rf"{_COMPONENT.pattern}(?:/{_COMPONENT.pattern})*")
_IN_COMPONENT = re.compile(r"[a-z0-9._*-]+")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

Test = Callable[[str], bool]

Kind = Literal["user", "group", "claim", "claimpath"]


def is_repository(name: str) -> bool:
    """Whether a text is a repository's name (OCI distribution specification, "Pulling manifests").

    Tokens can ask for anything, so not every name that is asked about is one.
    """
    return len(name) <= MAX_LENGTH and _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A part of a pattern that stands for something about the caller.

    Attributes:
        kind: `user`, `group`, or with a name `claim` and `claimpath`.
        name: Of the claim.
    """

    kind: Kind
    name: str = ""

    def takes(self, value: str) -> bool:
        """Whether a value may stand here: one component, or for a `claimpath` several.

        Anything else, such as `a/b`, `..`, `*` or `Ann`, is no component of a repository's name,
        and so nobody reaches another repository by being called that.
        """
        if len(value) > MAX_LENGTH:
            return False
        return (is_repository if self.kind == "claimpath" else _is_component)(value)


class Pattern:
    """A pattern for names of repositories.

    Args:
        text: As in the module's text; besides, `{user}`, `{group}`, `{claim:NAME}` and
            `{claimpath:NAME}` stand for what is known of the caller.

    Raises:
        ValueError: it could match no repository, or is not written in this language.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        pieces = _PLACEHOLDER.split(text)
        self._literals = pieces[0::2]
        self.placeholders = [_placeholder(piece) for piece in pieces[1::2]]
        _check_repositories(text, "x".join(self._literals), self._literals, self.placeholders)
        self._test = None if self.placeholders else compiled(text)

    @property
    def first(self) -> str | None:
        """The first component of every name that can match; None where they differ."""
        first, slash, _ = self._literals[0].partition("/")
        whole = bool(slash) or not self.placeholders
        return first if whole and "*" not in first else None

    def matches(self, name: str, values: Callable[[Placeholder], Collection[str]]) -> bool:
        """Whether the pattern means a repository.

        Args:
            name: The repository.
            values: What is known of the caller.
        """
        if self._test is not None:
            return self._test(name)
        return any(compiled(text)(name) for text in self.bound(values))

    def bound(self, values: Callable[[Placeholder], Collection[str]]) -> Iterator[str]:
        """The patterns that this one is for a caller: none, or one for each value."""
        choices = [
            [value for value in values(placeholder) if placeholder.takes(value)]
            for placeholder in self.placeholders
        ]
        for chosen in islice(product(*choices), _MOST_BINDINGS):
            parts = zip(self._literals, (*chosen, ""), strict=True)
            yield "".join(piece for pair in parts for piece in pair)

    def covers(self, other: Pattern) -> bool:
        """Whether everything that `other` can mean is meant by this one; False if in doubt."""
        if self.text in ("**", other.text):
            return True
        if self._test is None:
            return False
        if self.text.endswith("/**") and "*" not in self.text[:-2]:
            return other.text.startswith(self.text[:-2])
        return not other.placeholders and "*" not in other.text and self._test(other.text)


class TextPattern:
    """A pattern for a user, a group, or the value of a claim.

    Raises:
        ValueError: it is empty, or has `**` elsewhere than alone between slashes.
    """

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("expected a text that is not empty")
        if len(text) > MAX_TEXT:
            raise ValueError(f"expected at most {MAX_TEXT} characters")
        _check_stars(text.split("/"))
        self.text = text
        self.matches: Test = compiled(text, component="[^/]*+")


def compiled(text: str, *, component: str = "[^/]++") -> Test:
    """The test of a pattern that has been checked and has no placeholders.

    Args:
        text: The pattern.
        component: What `**` takes for a component, as a regular expression.
    """
    if "*" not in text:
        return text.__eq__
    if text == "**":
        return bool
    if text.endswith("/**") and "*" not in text[:-2]:
        head = text[:-2]
        return lambda name: name.startswith(head)
    fullmatch = re.compile(_expression(text.split("/"), component)).fullmatch
    return lambda name: fullmatch("/" + name) is not None


def _expression(components: list[str], any_component: str) -> str:
    """A regular expression for a name with a `/` before each of its components."""
    runs: list[str] = [""]
    for component in components:
        if component == "**":
            runs.append("")
        else:
            runs[-1] += f"/{_in_component(component)}"
    if len(runs) == 1:
        return runs[0]
    first, *floating, last = runs
    any_number = f"(?:/{any_component})*"
    # A run that floats is taken where it is found first: those behind it have the most room then.
    middle = "".join(f"(?>{any_number}?{run})" for run in floating)
    return f"{first}{middle}" + (f"{any_number}{last}" if last else f"(?:/{any_component})+")


def _in_component(text: str) -> str:
    first, *others = [re.escape(piece) for piece in re.sub(r"\*+", "*", text).split("*")]
    if not others:
        return f"{first}(?![^/])"
    *floating, last = others
    middle = "".join(f"(?>[^/]*?{piece})" for piece in floating)
    return f"{first}{middle}[^/]*{last}(?![^/])"


@lru_cache(maxsize=4096)
def _is_component(text: str) -> bool:
    return _COMPONENT.fullmatch(text) is not None


def _placeholder(text: str) -> Placeholder:
    kind, colon, name = text.partition(":")
    if (kind in ("claim", "claimpath")) if colon and name else (text in ("user", "group")):
        return Placeholder(cast(Kind, kind), name)
    raise ValueError(
        "expected {user}, {group}, {claim:NAME} or {claimpath:NAME} between braces, "
        f"not {{{text}}}"
    )


def _check_repositories(
    text: str, skeleton: str, literals: list[str], placeholders: list[Placeholder]
) -> None:
    """Check a pattern for repositories; in `skeleton` an `x` stands for each placeholder."""
    if not text:
        raise ValueError("expected a pattern such as `team/**`")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"expected at most {MAX_LENGTH} characters")
    if "{" in skeleton or "}" in skeleton:
        raise ValueError("expected each `{` to have its `}`")
    if skeleton != skeleton.lower():
        raise ValueError("expected lower case: no repository's name has anything else")
    components = skeleton.split("/")
    if "" in components:
        raise ValueError("expected no `/` at the beginning or the end, and no `//`")
    for component in components:
        if not _IN_COMPONENT.fullmatch(component):
            raise ValueError(
                "expected lower-case letters, digits, `.`, `_`, `-`, `/`, `*`, `**` and "
                "placeholders such as {user}"
            )
        if "*" not in component and not _is_component(component):
            raise ValueError(
                "expected parts that a repository's name can have: letters and digits, with "
                "single `.`, `_`, `__` or dashes between them"
            )
    _check_stars(components)
    for index, placeholder in enumerate(placeholders):
        around = literals[index][-1:] + literals[index + 1][:1]
        if placeholder.kind == "claimpath" and around.replace("/", ""):
            raise ValueError("expected {claimpath:...} to stand alone between slashes")


def _check_stars(components: list[str]) -> None:
    for component, following in zip(components, [*components[1:], ""], strict=True):
        if "**" in component and component != "**":
            raise ValueError("expected `**` to stand alone between slashes; `*` may stand anywhere")
        if component == following == "**":
            raise ValueError("expected one `**`, which means any number of components already")
