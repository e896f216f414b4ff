"""Refresh tokens: sealed, bound to a service, a key and a time."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyreg_auth_token.service.refresh import (
    MAX_CREDENTIALS,
    MAX_LENGTH,
    Credentials,
    InvalidRefreshToken,
    RefreshTokens,
)
from pyreg_auth_token.service.signing import SigningKeys, read_keys

ANN = Credentials("ann", "secret of ann")
NOW = 2_000_000_000.0
DAY = 86400.0


@pytest.fixture
def ring(keys: Path) -> SigningKeys:
    return read_keys(keys)


@pytest.fixture
def tokens() -> RefreshTokens:
    return RefreshTokens("issuer", "service", DAY)


def sealed(tokens: RefreshTokens, ring: SigningKeys, credentials: Credentials = ANN) -> str:
    text = tokens.seal(ring, credentials, NOW)
    assert text is not None
    return text


ANYTHING = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@ANYTHING
@given(user=st.text(max_size=100), password=st.text(max_size=200))
def test_what_is_sealed_is_opened(
    tokens: RefreshTokens, ring: SigningKeys, user: str, password: str
) -> None:
    credentials = Credentials(user, password)
    assert tokens.open(ring, sealed(tokens, ring, credentials), NOW) == credentials


def test_nothing_of_the_login_shows(tokens: RefreshTokens, ring: SigningKeys) -> None:
    text = sealed(tokens, ring)
    body = base64.urlsafe_b64decode(text.rpartition(".")[2] + "==")
    for secret in (b"secret", b"ann"):
        assert secret not in text.encode()
        assert secret not in body
    assert "secret" not in repr(ANN)
    assert sealed(tokens, ring) != text
    longer = sealed(tokens, ring, Credentials("ann", "secret of ann and more"))
    assert len(longer) == len(text), "not even the length of the password"


@ANYTHING
@given(at=st.integers(0, 10_000), char=st.sampled_from("AQgw_-.09é\n"))
def test_a_changed_token_is_refused(
    tokens: RefreshTokens, ring: SigningKeys, at: int, char: str
) -> None:
    text = sealed(tokens, ring)
    at %= len(text)
    changed = text[:at] + char + text[at + 1 :]
    try:
        opened = tokens.open(ring, changed, NOW)
    except InvalidRefreshToken:
        return
    # The last character of base64 may carry bits that mean nothing.
    assert opened == ANN
    assert at == len(text) - 1 or changed == text


@ANYTHING
@given(text=st.text(max_size=300))
def test_anything_else_is_refused(tokens: RefreshTokens, ring: SigningKeys, text: str) -> None:
    for each in (text, f"pyreg-refresh.{ring.keys[0].name}.{text}"):
        with pytest.raises(InvalidRefreshToken):
            tokens.open(ring, each, NOW)


def test_an_endless_token_is_refused(tokens: RefreshTokens, ring: SigningKeys) -> None:
    with pytest.raises(InvalidRefreshToken):
        tokens.open(ring, sealed(tokens, ring) + "A" * MAX_LENGTH, NOW)


def test_a_token_ends(tokens: RefreshTokens, ring: SigningKeys) -> None:
    text = sealed(tokens, ring)
    assert tokens.open(ring, text, NOW + DAY - 1) == ANN
    with pytest.raises(InvalidRefreshToken, match="expired"):
        tokens.open(ring, text, NOW + DAY)


@pytest.mark.parametrize(("issuer", "service"), [("other", "service"), ("issuer", "other")])
def test_a_token_of_another_service_is_refused(
    tokens: RefreshTokens, ring: SigningKeys, issuer: str, service: str
) -> None:
    with pytest.raises(InvalidRefreshToken):
        RefreshTokens(issuer, service, DAY).open(ring, sealed(tokens, ring), NOW)


def test_a_token_lives_as_long_as_its_key(
    tokens: RefreshTokens, keys: Path, command: Callable[..., Result]
) -> None:
    old = read_keys(keys)
    text = sealed(tokens, old)
    assert command("rotate", keys, "--delay", "0").exit_code == 0
    both = read_keys(keys)
    assert tokens.open(both, text, NOW) == ANN
    assert command("remove", keys, old.keys[0].name).exit_code == 0
    with pytest.raises(InvalidRefreshToken, match="key was removed"):
        tokens.open(read_keys(keys), text, NOW)


def test_a_key_of_the_same_name_is_another_key(
    tokens: RefreshTokens, ring: SigningKeys, tmp_path: Path, command: Callable[..., Result]
) -> None:
    assert command("init", tmp_path / "other").exit_code == 0
    [path] = (tmp_path / "other").glob("*.pem")
    path.rename(path.with_name(f"{ring.keys[0].name}.pem"))
    with pytest.raises(InvalidRefreshToken):
        tokens.open(read_keys(tmp_path / "other"), sealed(tokens, ring), NOW)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_every_kind_of_key_seals(
    tokens: RefreshTokens, tmp_path: Path, command: Callable[..., Result], algorithm: str
) -> None:
    assert command("init", tmp_path / "k", "--algorithm", algorithm).exit_code == 0
    ring = read_keys(tmp_path / "k")
    text = sealed(tokens, ring)
    assert tokens.open(read_keys(tmp_path / "k"), text, NOW) == ANN, "on every replica"


def test_there_are_none_without_a_lifetime(ring: SigningKeys, tokens: RefreshTokens) -> None:
    none = RefreshTokens("issuer", "service", 0)
    assert none.seal(ring, ANN, NOW) is None
    with pytest.raises(InvalidRefreshToken):
        none.open(ring, sealed(tokens, ring), NOW)


def test_an_endless_password_is_not_sealed(tokens: RefreshTokens, ring: SigningKeys) -> None:
    assert tokens.seal(ring, Credentials("ann", "p" * MAX_CREDENTIALS), NOW) is None
