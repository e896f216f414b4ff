"""YAML as it is read: lines, bounds, and nothing but clear errors."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyreg.config import load
from pyreg.config.loading import parse
from pyreg.config.source import MAX_BYTES, Document, resolve
from pyreg.errors import ConfigurationError


def failure(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Document(text, "a.yml")
    (mistake,) = caught.value.mistakes
    return str(mistake)


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"none\.yml: there is no such file"):
            load(tmp_path / "none.yml", {})

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="is a directory; expected a YAML file"):
            load(tmp_path, {})

    def test_file_as_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(tmp_path / "a" / "config.yml", {})

    def test_impossible_names(self) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load("a\0b", {})
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load("x" * 5000, {})

    def test_binary(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yml"
        path.write_bytes(b"version: 0.1\n\x7fELF\xff\xfe")
        with pytest.raises(ConfigurationError, match=r"config\.yml:2: is not text in UTF-8"):
            load(path, {})
        path.write_bytes(b"version: 0.1\na: \x00\x01\n")
        with pytest.raises(ConfigurationError, match=r"config\.yml:2: contains characters"):
            load(path, {})

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yml"
        path.write_bytes(b"#" * (MAX_BYTES + 1))
        with pytest.raises(ConfigurationError, match="is larger than 1048576 bytes"):
            load(path, {})

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yml"
        path.write_bytes(b"\xef\xbb\xbfversion: 0.1\nstorage: inmemory\n")
        assert load(path, {}).storage.driver.name == "inmemory"

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Stdin:
            buffer = io.BytesIO(b"version: 0.1\nstorage: inmemory\nlog: 1\n")

        monkeypatch.setattr("sys.stdin", Stdin)
        with pytest.raises(ConfigurationError, match=r"^<stdin>:3: log: expected a mapping"):
            load("-", {})


class TestSyntax:
    def test_tabs(self) -> None:
        assert failure("a:\n\tb: 1\n") == "a.yml:2: a tab cannot indent YAML; use spaces"

    def test_names_the_line(self) -> None:
        assert failure("a: 1\nb: 'x\n").startswith("a.yml:3: is not YAML: ")
        assert failure("a: 1\nb: c: d\n").startswith("a.yml:2: is not YAML: ")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: *b", "a.yml:1: uses an anchor (*name) that is not defined before it"),
            ("&a [*a]", "a.yml:1: uses an anchor (*name) that is not defined before it"),
            ("a: !!python/object:os.system x", "a.yml:1: uses a YAML tag (!name)"),
            ("? [a]\n: 1", "a.yml:1: has a mapping or a list as a key"),
            ("a: 1\n<<: 2", "a.yml: merges (<<) something that is not a mapping"),
            ('a: "\\U99999999"', "a.yml: is not YAML"),
            ("%YAML 1.99999999999\n--- a", "a.yml: is not YAML"),
            ('a: "\\ud83d\\ude00"', "a.yml:1: contains characters that no text has"),
            ("[" * 100, "a.yml:1: nests deeper than 32 levels"),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        assert failure(text).startswith(message)

    def test_duplicate_keys_are_all_found(self) -> None:
        document = Document("a: 1\nb: {c: 1, c: 2}\na: 3\n", "a.yml")
        assert [str(mistake) for mistake in document.mistakes] == [
            "a.yml:2: the key 'c' is given twice; the first is on line 2",
            "a.yml:3: the key 'a' is given twice; the first is on line 1",
        ]

    def test_anchors_cannot_explode(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        for level in range(1, 12):
            lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
        assert "has more than 20000 values, counting anchors in full" in failure("\n".join(lines))

    def test_many_values_are_refused_early(self) -> None:
        assert failure("- a\n" * 200_000).startswith("a.yml:20000: has more than 20000 values")

    def test_anchors_are_copies(self) -> None:
        text = (
            "version: 0.1\nstorage: inmemory\n"
            "extensions: {a: &a {x: {y: 1}}, b: *a, c: {<<: *a, z: 2}}\n"
        )
        configuration = parse(text, {"REGISTRY_EXTENSIONS_A_X_Y": "2"}).configuration
        assert [each.values for each in configuration.extensions] == [
            {"x": {"y": 2}},
            {"x": {"y": 1}},
            {"z": 2, "x": {"y": 1}},
        ]


class TestScalars:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("", None), ("~", None), ("null", None), ("NULL", None),
            ("true", True), ("False", False), ("yes", "yes"), ("off", "off"),
            ("12", 12), ("-12", -12), ("+1", 1), ("1_000", 1000), ("0x1F", 31), ("0b11", 3),
            ("0o17", 15), ("017", 15), ("0", 0), ("-0x10", -16), ("08", 8.0), ("0x", "0x"),
            ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), ("-", "-"), ("1-2", "1-2"),
            ("9" * 65, "9" * 65), (":5000", ":5000"), ("1:30", "1:30"),
            ("2020-01-01", "2020-01-01"),
        ],
    )  # fmt: skip
    def test_resolve(self, text: str, value: object) -> None:
        found = resolve(text)
        assert found == value
        assert type(found) is type(value)

    @given(st.integers(-(2**63), 2**63))
    def test_integers(self, number: int) -> None:
        assert resolve(str(number)) == number
        assert resolve(f"{number:#x}") == number

    @given(st.text())
    @example("0" * 64)
    @example("1e999")
    @example("0_")
    @example("-0b_")
    def test_never_fails(self, text: str) -> None:
        resolve(text)


yaml_like = st.lists(
    st.sampled_from(
        ["version: 0.1", "storage", "http", "auth", "log", ":", " ", "\n", "\n  ", "- ", "[", "]",
         "{", "}", ",", "*a", "&a ", "<<", "!", "!!", "'", '"', "|", ">", "%", "\t", "#", "?",
         "---", "...", "null", "0.1", "inmemory", "\\x", "\\U", "\\uD800", "@", "`", "\r", "\x85",
         "\u2028", "\ufeff", "s3", "tls", "headers", "0", "é"]
    )
).map("".join)  # fmt: skip


@given(st.one_of(st.text(), yaml_like, yaml_like.map("version: 0.1\nstorage: ".__add__)))
@example("a: ! b")
@example("--- |1-\n")
@example("a: !<tag:yaml.org,2002:int> b")
@example("? \n")
@example("[&a a]: *a")
def test_junk_is_a_mistake_and_nothing_else(text: str) -> None:
    for message in said(text, {"REGISTRY_HTTP_HEADERS": text, "REGISTRY_LOG_FIELDS_A": text}):
        assert message


@given(st.binary(max_size=300))
def test_binary_junk_is_a_mistake_and_nothing_else(data: bytes) -> None:
    for message in said(data.decode("latin-1"), {}):
        assert message


def said(text: str, environ: dict[str, str]) -> list[str]:
    try:
        parse(text, environ)
    except ConfigurationError as error:
        return [mistake.message for mistake in error.mistakes]
    return []
