"""What `http.tls.letsencrypt` may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pyreg.errors import PluginError
from pyreg_tls.acme.options import LETS_ENCRYPT, ExternalAccount, LetsEncrypt, binding_key

WHOLE = {"cachefile": "/var/lib/acme", "hosts": ("registry.example.com",)}


def test_what_the_docker_registry_takes() -> None:
    options = LetsEncrypt(
        cachefile="/path/to/cache",
        email="ada@example.com",
        hosts=("myregistryaddress.org",),
        directoryurl="https://acme-v02.api.letsencrypt.org/directory",
    )
    assert options.wanted
    assert options.challenges == ("tls-alpn-01", "http-01")
    assert not LetsEncrypt().wanted
    assert LetsEncrypt(directoryurl="").directoryurl == LETS_ENCRYPT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hosts": ()}, "hosts is empty"),
        ({"cachefile": ""}, "cachefile is missing"),
        ({"hosts": ("*.example.com",)}, "wildcard"),
        ({"hosts": ("192.0.2.7",)}, "is an address"),
        ({"hosts": ("[2001:db8::1]",)}, "is an address"),
        ({"hosts": ("",)}, "not the name of a host"),
        ({"hosts": ("../account",)}, "not the name of a host"),
        ({"hosts": ("acme_account+key",)}, "not the name of a host"),
        ({"hosts": ("a..b",)}, "not the name of a host"),
        ({"hosts": ("https://registry.example.com",)}, "not the name of a host"),
        ({"hosts": ("registry.example.com:5000",)}, "not the name of a host"),
        ({"directoryurl": "http://ca.example.com"}, "https://"),
        ({"challenges": ()}, "at least 1"),
        ({"challenges": ("dns-01",)}, "tls-alpn-01"),
        ({"eab": {"kid": "a"}}, "belong together"),
        ({"eab": {"hmackey": "c2VjcmV0"}}, "belong together"),
        ({"eab": {"kid": "a", "hmackey": "c2VjcmV0", "hmackeyfile": "/key"}}, "not both"),
        ({"eab": {"kid": "a", "hmackey": "a secret!"}}, "base64url"),
    ],
)
def test_mistakes(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        LetsEncrypt(**{**WHOLE, **change})
    assert "secret" not in str(caught.value)


def test_names_are_as_certificates_have_them() -> None:
    hosts = ("Registry.Example.COM.", "registry.example.com", "bücher.example", "localhost")
    assert LetsEncrypt(cachefile="x", hosts=hosts).hosts == (
        "registry.example.com",
        "xn--bcher-kva.example",
        "localhost",
    )


@given(st.text(max_size=300))
def test_no_name_leaves_the_directory(text: str) -> None:
    try:
        [name] = LetsEncrypt(cachefile="x", hosts=(text,)).hosts
    except ValidationError:
        return
    assert name == Path(name).name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert LetsEncrypt(cachefile="x", hosts=(name,)).hosts == (name,)


def test_the_key_is_never_shown() -> None:
    options = LetsEncrypt(**WHOLE, eab={"kid": "a", "hmackey": "c2VjcmV0"})  # type: ignore[arg-type]
    assert "c2VjcmV0" not in f"{options!r} {options} {options.model_dump()}"
    assert "c2VjcmV0" not in options.model_dump_json()
    assert binding_key(options.eab) == "c2VjcmV0"


def test_the_key_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    eab = ExternalAccount(kid="a", hmackeyfile=str(path))
    with pytest.raises(PluginError, match=r"hmackeyfile .* cannot be read: No such file"):
        binding_key(eab)
    path.write_text("  c2VjcmV0\n")
    assert binding_key(eab) == "c2VjcmV0"
    for wrong in ("a secret!", "ein Schlüssel"):
        path.write_text(wrong)
        with pytest.raises(PluginError, match="no base64url of a key") as caught:
            binding_key(eab)
        assert wrong not in repr(caught.value)
