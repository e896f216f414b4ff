# ruff: noqa: D102 - the name of a test says what it tests
"""Nearly right credentials, and such as no client sends."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pyreg.hooks import Authenticator
from pyreg.testing.auth.credentials import Credentials
from pyreg.testing.auth.harness import EXAMPLES, Harness, outcome, welcomed
from pyreg.testing.auth.verdicts import with_authorization

CHARACTERS = st.characters(max_codepoint=255)  # header values are decoded as Latin-1

NAMES = [
    "", " ", ":", "a:b", "::", "*", "**", ".", "..", "../ann", "ann/../bob", "%61nn", "ann ",
    " ann", "ANN", "ann\x00", "\x00", "ann\r\nx: y", "ann\nbob:x", "\x7f", "\x1b[31mann",
    "a\u0301nn", "\u00e1nn", "\u212bnn", "\uff41nn", "ann\u200b", "ann\u202e", "\U0001f600",
    "\ud800", "a" * 10_000, "é" * 10_000, "<token>", "$apr1$", "#ann", "root", "anonymous",
]  # fmt: skip

PASSWORDS = ["", ":", "a:b", "p\x00", "p\r\n", "\udc80", "pass\u0301", "p" * 10_000]

VALUES = [
    "", " ", "\x00", "Basic", "Basic ", "Basic  ", "Basic =", "Basic ====", "Basic :", "Basic Og==",
    "Basic Og", "Basic !!!!", "Basic dXNlcg==", "Basic dXNl\x00cjpw", "Basic dXNlcjpw dXNlcjpw",
    "Basic dXNlcjpw,Bearer x", "Basic /////w==", "Basic " + "A" * 100_000, "Basic é",
    "Bearer", "Bearer ", "Bearer  ", "Bearer .", "Bearer ..", "Bearer ...", "Bearer a.b.c",
    "Bearer eyJ", "Bearer e30.e30.", "Bearer e30.e30.e30", "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer \xff.\xff.\xff", "Bearer a b", "Bearer " + "." * 10_000, "Bearer " + "a" * 100_000,
    "Bearer " + base64.urlsafe_b64encode(b'{"alg":' * 10_000).decode() + ".e30.e30",
    "Bearer " + base64.urlsafe_b64encode(b"[" * 30_000).decode() + ".e30.e30",
    "basic", "BEARER", "\tBasic Og==", "Basic\tOg==", ", ,", '"', "Basic\x00 Og==", "B\xe4sic Og==",
]  # fmt: skip


@dataclass(frozen=True)
class Alteration:
    """What is done to credentials, whichever they are.

    Attributes:
        inside: Alter what is encoded, and not the encoding.
        part: Which segment of a token.
        changes: What is done, at which character, and with what.
    """

    inside: bool
    part: int
    changes: list[tuple[str, int, str]]


ALTERATIONS = st.builds(
    Alteration,
    st.booleans(),
    st.integers(0, 9),
    st.lists(
        st.tuples(
            st.sampled_from(["replace", "cut", "drop", "repeat", "insert", "append"]),
            st.integers(0, 2000),
            st.text(CHARACTERS, min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=3,
    ),
)

RANDOM = st.one_of(
    st.text(CHARACTERS),
    st.text(CHARACTERS).map("Basic ".__add__),
    st.tuples(st.text(max_size=20), st.text(max_size=20)).map(
        lambda pair: Credentials.basic(*pair).authorization
    ),
    st.lists(st.binary(max_size=40), min_size=1, max_size=4).map(
        lambda parts: f"Bearer {b'.'.join(map(base64.urlsafe_b64encode, parts)).decode()}"
    ),
)


class Junk(Harness):
    """Whatever comes, nobody gets in who should not, and nothing breaks."""

    @EXAMPLES
    @given(which=st.integers(0, 100), alteration=ALTERATIONS)
    async def test_altered_credentials_do_not_get_in(
        self,
        authenticator: Authenticator,
        good: list[Credentials],
        which: int,
        alteration: Alteration,
    ) -> None:
        """Save where the alteration is in the spelling alone, as of unused bits in base64."""
        candidates = with_authorization(good)
        right = candidates[which % len(candidates)]
        value = altered(right.authorization, alteration)
        known = {meaning(each.authorization): each.name for each in good}
        identity = await outcome(authenticator, right.with_authorization(value))
        if identity is not None:
            assert identity.name == known.get(meaning(value)), f"{value!r} is somebody"
        await welcomed(authenticator, right)

    @EXAMPLES
    @given(value=RANDOM)
    async def test_random_credentials_do_not_get_in(
        self, authenticator: Authenticator, value: str
    ) -> None:
        credentials = Credentials({"authorization": value})
        assert await outcome(authenticator, credentials) is None

    async def test_odd_credentials_do_not_get_in(self, authenticator: Authenticator) -> None:
        for value in VALUES:
            credentials = Credentials({"authorization": value})
            assert await outcome(authenticator, credentials) is None, value[:80]

    async def test_odd_names_and_passwords_do_not_get_in(
        self, authenticator: Authenticator, good: list[Credentials]
    ) -> None:
        right = {meaning(each.authorization) for each in good}
        for name in NAMES:
            for password in PASSWORDS:
                credentials = Credentials.basic(name, password)
                if meaning(credentials.authorization) not in right:
                    assert await outcome(authenticator, credentials) is None, name[:80]
        for each in good:
            await welcomed(authenticator, each)


def altered(value: str, alteration: Alteration) -> str:
    """An Authorization header with something wrong: in its spelling, or in what is encoded."""
    scheme, _, rest = value.partition(" ")
    parts = rest.split(".")
    at = alteration.part % len(parts)
    decoded = _decoded(parts[at])
    if isinstance(decoded, str) or not alteration.inside:
        return _changed(value, alteration.changes)
    other = _changed(decoded.decode("latin-1"), alteration.changes).encode("latin-1")
    if scheme.lower() == "basic":
        parts[at] = base64.b64encode(other).decode()
    else:
        parts[at] = base64.urlsafe_b64encode(other).decode().rstrip("=")
    return f"{scheme} {'.'.join(parts)}"


def _changed(value: str, changes: list[tuple[str, int, str]]) -> str:
    """A text with some characters replaced, left out, repeated or added."""
    for kind, place, text in changes:
        at = place % (len(value) + 1)
        if kind == "replace":
            value = value[:at] + text + value[at + len(text) :]
        elif kind == "cut":
            value = value[:at]
        elif kind == "drop":
            value = value[:at] + value[at + 1 :]
        elif kind == "repeat":
            value = value[:at] + value[at - 1 : at] + value[at:]
        elif kind == "insert":
            value = value[:at] + text + value[at:]
        else:
            value += text * 20
    return value


def meaning(value: str) -> tuple[bytes | str, ...]:
    """What an Authorization header says, however its base64 and its scheme are spelt.

    A segment that is no base64 stands for itself.
    """
    scheme, _, rest = value.strip(" \t").partition(" ")
    return scheme.lower(), *(_decoded(part) for part in rest.strip(" ").split("."))


def _decoded(part: str) -> bytes | str:
    if part and set(part) <= _BASE64:
        text = part.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            return part
    return part


_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
