"""Go's names of cipher suites, and what is spoken for them."""

from __future__ import annotations

import re
import subprocess

import pytest

from plugins.tls.tests.conftest import Start, hears
from pyreg_tls import ciphers
from tests.fixtures.programs import require

DOCUMENTED = """
TLS_RSA_WITH_RC4_128_SHA
TLS_RSA_WITH_3DES_EDE_CBC_SHA
TLS_RSA_WITH_AES_128_CBC_SHA
TLS_RSA_WITH_AES_256_CBC_SHA
TLS_RSA_WITH_AES_128_CBC_SHA256
TLS_RSA_WITH_AES_128_GCM_SHA256
TLS_RSA_WITH_AES_256_GCM_SHA384
TLS_ECDHE_ECDSA_WITH_RC4_128_SHA
TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
TLS_ECDHE_RSA_WITH_RC4_128_SHA
TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA
TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256
TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256
TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
TLS_AES_128_GCM_SHA256
TLS_AES_256_GCM_SHA384
TLS_CHACHA20_POLY1305_SHA256
"""
"""What the Docker registry's documentation lists."""


def test_every_documented_name_is_known() -> None:
    assert sorted(ciphers.NAMES) == sorted(DOCUMENTED.split())


def test_without_a_list_only_good_ones_are_spoken() -> None:
    suites = ciphers.choose([])
    assert not suites.warnings
    assert suites.tls12[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert not [name for name in suites.tls12 if "GCM" not in name and "CHACHA20" not in name]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", "did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256?"),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265", "did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM"),
        ("tls_aes_128_gcm_sha256", "did you mean TLS_AES_128_GCM_SHA256?"),
        ("nonsense", "no cipher suite"),
    ],
)
def test_an_unknown_name_is_refused(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        ciphers.choose([name])


def test_broken_ones_are_left_out_and_weak_ones_warned_of() -> None:
    suites = ciphers.choose(
        [
            "TLS_RSA_WITH_RC4_128_SHA",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ]
    )
    assert suites.tls12 == ("ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA")
    assert [warning.partition(" ")[0] for warning in suites.warnings] == [
        "TLS_RSA_WITH_RC4_128_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
    ]
    with pytest.raises(ValueError, match="every cipher suite of the list is broken"):
        ciphers.choose(["TLS_RSA_WITH_RC4_128_SHA"])


def test_those_of_tls_1_3_alone_leave_nothing_for_tls_1_2() -> None:
    assert ciphers.choose(["TLS_AES_128_GCM_SHA256"]).tls12 == ()


def test_an_old_name_of_go() -> None:
    assert ciphers.choose(["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"]).tls12 == (
        "ECDHE-RSA-CHACHA20-POLY1305",
    )


def agreed(address: str, *options: str) -> str:
    """What openssl and a server agree on; "" for nothing."""
    done = subprocess.run(
        [require("openssl"), "s_client", "-connect", address, "-brief", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    found = re.search(r"Protocol version: (\S+)\s+Ciphersuite: (\S+)", done.stderr)
    return f"{found[1]} {found[2]}" if found else ""


def test_what_openssl_gets(serve: Start) -> None:
    both = serve().address
    assert agreed(both) == "TLSv1.3 TLS_AES_128_GCM_SHA256"
    assert agreed(both, "-tls1_2") == "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256"
    for suite in ("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"):
        assert agreed(both, "-ciphersuites", suite) == f"TLSv1.3 {suite}"
    assert not agreed(both, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")
    assert not agreed(both, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert not agreed(both, "-tls1", "-cipher", "DEFAULT:@SECLEVEL=0")


def test_a_list(serve: Start) -> None:
    chosen = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"]
    registry = serve({"ciphersuites": chosen})
    assert agreed(registry.address, "-tls1_2") == "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384"
    weak = ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")
    assert agreed(registry.address, *weak) == "TLSv1.2 ECDHE-ECDSA-AES128-SHA"
    assert not agreed(registry.address, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert agreed(registry.address) == "TLSv1.3 TLS_AES_128_GCM_SHA256"
    hears(registry, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA is weak")


@pytest.mark.parametrize(
    "tls", [{"minimumtls": "tls1.3"}, {"ciphersuites": ["TLS_AES_128_GCM_SHA256"]}], ids=str
)
def test_tls_1_3_alone(serve: Start, tls: dict[str, object]) -> None:
    registry = serve(tls)
    assert agreed(registry.address) == "TLSv1.3 TLS_AES_128_GCM_SHA256"
    assert not agreed(registry.address, "-tls1_2")


@pytest.mark.parametrize("oldest", ["tls1.0", "tls1.1"])
def test_versions_that_are_broken_are_not_spoken(serve: Start, oldest: str) -> None:
    registry = serve({"minimumtls": oldest})
    assert not agreed(registry.address, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert agreed(registry.address, "-tls1_2").startswith("TLSv1.2")
    hears(registry, f"{oldest} is broken")
