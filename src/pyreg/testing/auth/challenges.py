# ruff: noqa: D102 - the name of a test says what it tests
"""The `WWW-Authenticate` header: one well-formed challenge, whatever it speaks of."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pyreg.hooks import Access, Authenticator
from pyreg.testing.auth.credentials import Credentials
from pyreg.testing.auth.harness import EXAMPLES, Harness

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'
_PARAMETER = re.compile(rf"({_WORD})[ \t]*=[ \t]*(?:{_WORD}|{_QUOTED})")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_SCHEME = re.compile(rf"({_WORD})(?: +|$)")

AWKWARD = st.text(max_size=60) | st.sampled_from(
    ['"', "\\", '\\"', 'a", realm="b', "a,b=c", "a\r\nset-cookie: b", "\n", "\x00", "é", "☃", ""]
)
ACCESSES = st.lists(
    st.builds(
        Access,
        st.sampled_from(["repository", "registry", "repository(plugin)"]) | AWKWARD,
        AWKWARD,
        st.lists(st.sampled_from(["pull", "push", "delete", "*"]) | AWKWARD, max_size=4).map(tuple),
    ),
    max_size=4,
)


class Challenges(Harness):
    """Challenges."""

    @EXAMPLES
    @given(
        accesses=ACCESSES,
        error=st.sampled_from(["", "invalid_token", "insufficient_scope"]) | AWKWARD,
        host=st.sampled_from(["registry.test", "[::1]:5000", ""]) | AWKWARD,
        path=st.just("/v2/") | AWKWARD,
    )
    async def test_a_challenge_is_one_line_and_well_formed(
        self,
        authenticator: Authenticator,
        accesses: list[Access],
        error: str,
        host: str,
        path: str,
    ) -> None:
        request = replace(Credentials().request(path), host=host)
        value = authenticator.challenge(request, accesses, error)
        assert isinstance(value, str)
        if value:
            parameters(value)

    async def test_a_challenge_names_the_scheme_of_the_credentials(
        self, authenticator: Authenticator, good: list[Credentials]
    ) -> None:
        value = authenticator.challenge(Credentials().request(), [])
        schemes = {each.scheme for each in good if each.scheme}
        if value and schemes:
            assert value.partition(" ")[0].lower() in schemes


def parameters(challenge: str) -> list[str]:
    """The names of the parameters of a challenge (RFC 9110, section 11.2), in lower case.

    Raises:
        AssertionError: it is not a single, well-formed challenge.
    """
    assert challenge.isascii(), f"a header is ASCII: {challenge!r}"
    scheme = _SCHEME.match(challenge)
    assert scheme is not None, f"a challenge begins with a scheme: {challenge!r}"
    at = scheme.end()
    names: list[str] = []
    while at < len(challenge):
        found = _PARAMETER.match(challenge, at)
        assert found is not None, f"no parameter at {challenge[at:]!r} in {challenge!r}"
        names.append(found[1].lower())
        at = found.end()
        if at < len(challenge):
            comma = _COMMA.match(challenge, at)
            assert comma is not None, f"no comma at {challenge[at:]!r} in {challenge!r}"
            at = comma.end()
            assert at < len(challenge), f"nothing behind the last comma of {challenge!r}"
    assert len(set(names)) == len(names), f"a parameter comes once: {challenge!r}"
    return names
