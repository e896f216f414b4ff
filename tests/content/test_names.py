"""Names of repositories and tags, against the expressions of the specification."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.content.digest import Digest
from pyreg.content.names import (
    check_name,
    check_tag,
    is_name,
    is_tag,
    parse_reference,
)
from pyreg.errors import RegistryError
from pyreg.instrument import check_key

# OCI distribution specification, "Pulling manifests", word for word.
NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

names = st.from_regex(NAME, fullmatch=True) | st.text("ab0._-/A \n", max_size=12) | st.text()
tags = st.from_regex(TAG, fullmatch=True) | st.text("aZ0._-:/ \n", max_size=6) | st.text()


@given(names)
def test_names(text: str) -> None:
    good = NAME.fullmatch(text) is not None and len(text) <= 255
    assert is_name(text) == good
    if good:
        assert check_name(text) == text
        check_key(f"docker/registry/v2/repositories/{text}/_layers")
    else:
        with pytest.raises(RegistryError) as caught:
            check_name(text)
        assert (caught.value.code.code, caught.value.status) == ("NAME_INVALID", 400)


@given(tags)
def test_tags(text: str) -> None:
    good = TAG.fullmatch(text) is not None
    assert is_tag(text) == good
    if good:
        assert check_tag(text) == text
    else:
        with pytest.raises(RegistryError) as caught:
            check_tag(text)
        assert (caught.value.code.code, caught.value.status) == ("TAG_INVALID", 400)


@given(tags | st.sampled_from([f"sha256:{'0' * 64}", f"sha512:{'f' * 128}", "sha256:", ":"]))
def test_references(text: str) -> None:
    """A reference is a digest if it has a colon, and a tag otherwise; never both."""
    try:
        parsed = parse_reference(text)
    except RegistryError as error:
        code = error.code.code
    else:
        assert parsed == text
        assert isinstance(parsed, Digest) == (":" in text)
        return
    assert code == ("DIGEST_INVALID" if ":" in text else "TAG_INVALID")


def test_names_are_linear() -> None:
    """No expression goes back and forth over a long text."""
    for text in ("a" * 100_000 + "!", "a-" * 50_000, "a/" * 50_000, "-" * 100_000):
        assert not is_name(text)
        assert not is_tag(text)
