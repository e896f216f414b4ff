"""What is in force, as YAML."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pyreg.config.loading import load_tree, parse
from pyreg.config.redact import looks_secret, mask_text
from pyreg.config.show import show

TEXT = """\
version: 0.1
storage:
  s3:
    bucket: images
    secretkey: hunter2
    nested: {a: [1, {b: yes}], c: }
  maintenance: {uploadpurging: {age: 36h}}
auth:
  token: {realm: https://me:pw@auth.example.com/token}
http:
  headers:
    X-A: [b, "c: d"]
"""


def test_values_with_their_origins() -> None:
    environ = {
        "REGISTRY_HTTP_ADDR": "':80'",
        "REGISTRY_HTTP_TLS_KEY": "/tls.key",
        "REGISTRY_LOG_LEVEL": "warn",
    }
    shown = show(parse(TEXT, environ)).splitlines()
    for line in (
        'version: "0.1"  # config.yml:1',
        "  level: warn  # REGISTRY_LOG_LEVEL",
        "  formatter: auto",
        "    bucket: images  # config.yml:4",
        '    secretkey: "********"  # config.yml:5',
        "      age: 36h  # config.yml:7",
        "      interval: 24h",
        '    realm: "https://********@auth.example.com/token"  # config.yml:9',
        '  addr: ":80"  # REGISTRY_HTTP_ADDR',
        '    X-A: [b, "c: d"]  # config.yml:12',
        "  maxmanifestsize: 4MiB",
        "    key: /tls.key  # REGISTRY_HTTP_TLS_KEY",
        "      platforms: all",
    ):
        assert line in shown
    assert "hunter2" not in "\n".join(shown)


def test_a_page_size_that_stands_for_the_default() -> None:
    text = "version: 0.1\nstorage: inmemory\ncatalog: {maxentries: -1}\ntags: {maxtags: '0'}\n"
    loaded = parse(text, {"REGISTRY_REFERRERS_MAXENTRIES": "0x0"})
    shown = show(loaded).splitlines()
    assert shown.count("  maxentries: 1000") == 2
    assert shown.count("  maxtags: 1000") == 1
    assert [str(warning) for warning in loaded.configuration.warnings] == [
        "config.yml:3: catalog.maxentries: -1 stands for the default, 1000",
        "config.yml:4: tags.maxtags: 0 stands for the default, 1000",
        "REGISTRY_REFERRERS_MAXENTRIES: referrers.maxentries: 0x0 stands for the default, 1000",
    ]
    given = parse(text.replace("-1", "1"), {})
    assert "  maxentries: 1  # config.yml:3" in show(given).splitlines()


def test_sections_that_are_not_used_are_left_out() -> None:
    shown = show(load_tree(None, {}))
    for name in ("redis", "proxy", "tls", "hooks", "loglevel", "blobdescriptor", "auth"):
        assert f"{name}:" not in shown
    assert "rootdirectory: ./pyreg-data\n" in shown


def test_what_is_shown_without_a_file_is_a_file_to_begin_with() -> None:
    loaded = load_tree(None, {})
    assert parse(show(loaded), {}).configuration == loaded.configuration


texts = st.text(
    st.characters(codec="utf-8").filter(lambda c: c.isprintable() or c in "\n\t"),
    max_size=12,
)
values = st.recursive(
    st.one_of(texts, st.integers(-(10**6), 10**6), st.booleans(), st.just("yes"), st.just("0123")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(texts.map("x".__add__), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(texts.map("x".__add__), values, max_size=4))
def test_any_value_is_written_as_it_is_read(options: dict[str, object]) -> None:
    def public(value: object) -> bool:
        if isinstance(value, dict):
            return all(not looks_secret(name) and public(part) for name, part in value.items())
        if isinstance(value, list):
            return all(public(part) for part in value)
        return not isinstance(value, str) or mask_text(value) == value

    if public(options):
        text = f"version: 0.1\nstorage: {{s3: {json.dumps(options, ensure_ascii=False)}}}\n"
        loaded = parse(text, {})
        assert loaded.configuration.storage.driver.values == options
        assert parse(show(loaded), {}).configuration == loaded.configuration
