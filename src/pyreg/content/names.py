"""Names of repositories and tags (OCI distribution specification, "Pulling manifests")."""

from __future__ import annotations

import re

from pyreg.content.digest import Digest
from pyreg.errors import NAME_INVALID, TAG_INVALID, RegistryError

MAX_NAME = 255
"""Characters of a repository's name, as in the Docker registry."""

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_COMPONENT = re.compile(_PART)
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def is_name(text: str) -> bool:
    """Whether the text is a repository's name."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def is_component(text: str) -> bool:
    """Whether the text can stand between two `/` of a repository's name."""
    return _COMPONENT.fullmatch(text) is not None


def check_name(text: str) -> str:
    """The text, if it is a repository's name.

    Raises:
        RegistryError: NAME_INVALID.
    """
    if is_name(text):
        return text
    if len(text) > MAX_NAME:
        message = f"a repository name has at most {MAX_NAME} characters, not {len(text)}"
    else:
        message = (
            "a repository name has components of lower-case letters and digits, separated by "
            "one '.', one or two '_' or any number of '-', joined by '/'"
        )
    raise RegistryError(NAME_INVALID, message, detail={"name": text[:MAX_NAME]})


def is_tag(text: str) -> bool:
    """Whether the text is a tag."""
    return _TAG.fullmatch(text) is not None


def check_tag(text: str) -> str:
    """The text, if it is a tag.

    Raises:
        RegistryError: TAG_INVALID.
    """
    if is_tag(text):
        return text
    raise RegistryError(
        TAG_INVALID,
        "a tag has 1 to 128 letters, digits, '_', '.' and '-', and begins with none of '.' and '-'",
        detail={"tag": text[:256]},
    )


def parse_reference(text: str) -> Digest | str:
    """A `<tag-or-digest>`: a `Digest`, or a tag as a plain `str`.

    Raises:
        RegistryError: DIGEST_INVALID for what has a colon, TAG_INVALID for anything else.
    """
    return Digest.parse(text) if ":" in text else check_tag(text)
