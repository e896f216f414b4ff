"""The directory, which outlives processes and is shared by them."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyreg.errors import PluginError
from pyreg_tls.acme.cache import Cache, HostState

HOST = "registry.example.com"
URL = "https://ca.example/directory"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(str(tmp_path / "a" / "b"))
    made.open()
    return made


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "letsencrypt.cache").write_text("{}")
    with pytest.raises(PluginError, match="is a file; name a directory"):
        Cache(str(tmp_path / "letsencrypt.cache")).open()
    with pytest.raises(PluginError, match="cannot be written to"):
        Cache("/proc/version/x").open()


def test_only_the_owner_can_read(cache: Cache) -> None:
    cache.keep_certificate(HOST, b"certificate")
    cache.keep_account_key(b"key")
    cache.keep_state(HOST, HostState())
    cache.keep_http_answer(TOKEN, b"answer")
    cache.keep_alpn_answer(HOST, b"answer")
    assert cache.directory.stat().st_mode & 0o077 == 0
    assert {path.stat().st_mode & 0o777 for path in cache.directory.iterdir()} == {0o600}
    assert len(list(cache.directory.iterdir())) == 6


def test_files_are_replaced_whole(cache: Cache) -> None:
    cache.keep_certificate(HOST, b"old")
    with cache.certificate_path(HOST).open("rb") as old:
        cache.keep_certificate(HOST, b"new")
        assert old.read() == b"old"
    assert cache.certificate_path(HOST).read_bytes() == b"new"


def test_what_cannot_be_written_leaves_nothing(cache: Cache) -> None:
    cache.certificate_path(HOST).mkdir()
    with pytest.raises(OSError, match="irectory"):
        cache.keep_certificate(HOST, b"new")
    assert {path.name for path in cache.directory.iterdir()} == {HOST, "+lock"}


def test_one_at_a_time(cache: Cache) -> None:
    other = Cache(str(cache.directory))
    with cache.locked() as first, other.locked() as second:
        assert (first, second) == (True, False)
    with other.locked() as third:
        assert third


def test_answers_go_with_the_lock(cache: Cache) -> None:
    other = Cache(str(cache.directory))
    cache.keep_certificate(HOST, b"certificate")
    (cache.directory / "+writing-0123456789abcdef").write_bytes(b"half a certi")
    with suppress(RuntimeError), cache.locked():
        cache.keep_http_answer(TOKEN, b"answer")
        cache.keep_alpn_answer(HOST, b"answer")
        with other.locked():
            pass  # somebody who is not alone takes nothing away
        assert other.http_answer(TOKEN) == b"answer"
        assert other.alpn_answer(HOST) is not None
        raise RuntimeError("an order that fails")
    assert other.http_answer(TOKEN) is None
    assert other.alpn_answer(HOST) is None
    assert {path.name for path in cache.directory.iterdir()} == {HOST, "+lock"}


def test_the_state_of_one_authority_says_nothing_of_another(cache: Cache) -> None:
    state = HostState(issuer=URL, directory=URL, order=f"{URL}/1", failures=3, retry=1e12)
    cache.keep_state(HOST, state)
    assert cache.state(HOST, URL) == state
    other = HostState(issuer=URL, directory=f"{URL}/other")
    assert cache.state(HOST, f"{URL}/other") == other
    other.failures = 1
    cache.keep_state(HOST, other)
    assert cache.state(HOST, f"{URL}/other") == other
    assert cache.state(HOST, URL) == state


@pytest.mark.parametrize("data", [b"", b"{", b'{"authorities": []}', b"\xff\xfe"])
def test_a_damaged_state_is_begun_anew(
    data: bytes, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    (cache.directory / f"{HOST}+state").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert cache.state(HOST, URL) == HostState(directory=URL)
    assert "damaged" in caplog.text


@settings(deadline=None)  # each example waits for the disk
@given(text=st.text() | st.sampled_from(["..", "../x", f"{TOKEN}/..", "acme_account+key", HOST]))
def test_a_token_names_nothing_but_an_answer(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = Cache(str(tmp_path_factory.getbasetemp() / "tokens"))
    cache.open()
    cache.keep_account_key(b"secret")
    cache.keep_certificate(HOST, b"secret")
    found = cache.http_answer(text)
    assert found is None
    try:
        cache.keep_http_answer(text, b"answer")
    except ValueError:
        assert cache.http_answer(text) is None
    else:
        assert cache.http_answer(text) == b"answer"
        with cache.locked():
            pass
