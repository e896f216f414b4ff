"""Digests (OCI image specification, "Descriptors")."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.content.digest import ALGORITHMS, Digest, Hasher, same
from pyreg.errors import RegistryError

# The grammar of the specification, and the two algorithms that it registers and we compute.
GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")

near_misses = st.one_of(
    st.text(),
    st.from_regex(GRAMMAR, fullmatch=True),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["sha256", "sha512", "SHA256", "sha384", ""]),
        st.sampled_from([":", "", "::", "-"]),
        st.text("0123456789abcdefABCDEFg\n ", min_size=62, max_size=66)
        | st.text("0123456789abcdef", min_size=127, max_size=129),
    ),
)


@given(near_misses)
def test_parse(text: str) -> None:
    """A digest is taken exactly if the grammar and the length say so, and stays as it is."""
    algorithm, _, encoded = text.partition(":")
    good = (
        algorithm in ALGORITHMS
        and len(encoded) == ALGORITHMS[algorithm]
        and set(encoded) <= set("0123456789abcdef")
    )
    if good:
        digest = Digest.parse(text)
        assert digest == text
        assert (digest.algorithm, digest.encoded) == (algorithm, encoded)
    else:
        with pytest.raises(RegistryError) as caught:
            Digest.parse(text)
        assert caught.value.code.code == "DIGEST_INVALID"
        assert caught.value.status == 400


@pytest.mark.parametrize("algorithm", ["sha384", "md5", "blake3", "sha256+b64", "multihash.x"])
def test_an_unsupported_algorithm_is_told_from_a_malformed_digest(algorithm: str) -> None:
    with pytest.raises(RegistryError, match="unsupported digest algorithm"):
        Digest.parse(f"{algorithm}:abcdef")
    with pytest.raises(RegistryError, match="form"):
        Digest.parse("nonsense")
    with pytest.raises(RegistryError, match="64 lower-case"):
        Digest.parse("sha256:abc")


@given(st.lists(st.binary(max_size=100)), st.sampled_from(sorted(ALGORITHMS)))
def test_hasher(pieces: list[bytes], algorithm: str) -> None:
    """In pieces, and from a copy, the digest is that of the whole."""
    hasher = Hasher(algorithm)
    copies = []
    for piece in pieces:
        copies.append((hasher.copy(), hasher.size))
        hasher.update(piece)
    whole = b"".join(pieces)
    assert hasher.size == len(whole)
    assert hasher.digest() == Digest.of(whole, algorithm)
    assert hasher.digest() == f"{algorithm}:{hashlib.new(algorithm, whole).hexdigest()}"
    for copy, size in copies:
        assert copy.digest() == Digest.of(whole[:size], algorithm)
        copy.update(whole[size:])
        assert same(copy.digest(), hasher.digest())


def test_hasher_of_an_unknown_algorithm() -> None:
    with pytest.raises(RegistryError, match="unsupported"):
        Hasher("md5")
