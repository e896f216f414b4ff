"""`REGISTRY_*`, by the rules of the Docker registry."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyreg.config import Configuration
from pyreg.config.environment import Overrides
from pyreg.config.loading import parse
from pyreg.config.section import Section
from pyreg.config.shape import ANYTHING, option, shape_of
from pyreg.config.tree import Origin, from_python
from pyreg.errors import ConfigurationError, Mistake

GOOD = "version: 0.1\nstorage: {filesystem: {rootdirectory: /a}}\n"


def configured(text: str = "", **environ: str) -> Configuration:
    return parse(GOOD + text, {f"REGISTRY_{name}": value for name, value in environ.items()}
                 ).configuration  # fmt: skip


def problems(text: str, environ: dict[str, str]) -> list[Mistake]:
    try:
        parse(text, environ)
    except ConfigurationError as error:
        return list(error.mistakes)
    return []


def mistakes(text: str = "", **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        configured(text, **environ)
    return [str(mistake) for mistake in caught.value.mistakes]


class TestRules:
    def test_an_option_of_the_driver(self) -> None:
        storage = configured(STORAGE_FILESYSTEM_ROOTDIRECTORY="/b").storage
        assert storage.driver.values == {"rootdirectory": "/b"}
        (node,) = storage.driver.node.mapping().values()
        assert str(node.origin) == "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"

    def test_values_are_yaml(self) -> None:
        http = configured(
            HTTP_HEADERS="{X-A: [b, c]}", HTTP_RELATIVEURLS="yes", HTTP_WORKERS="0x3"
        ).http
        assert http.headers == {"X-A": ("b", "c")}
        assert http.relativeurls
        assert http.workers == 3

    def test_a_section_is_replaced_whole(self) -> None:
        log = configured("log: {level: debug, fields: {a: b}}", LOG="{level: warn}").log
        assert (log.level, log.fields) == ("warn", {})

    def test_an_empty_value_is_the_default(self) -> None:
        assert configured("http: {workers: 5}", HTTP_WORKERS="").http.workers == 2

    def test_the_shorter_name_goes_first(self) -> None:
        auth = configured(
            "auth: {token: {realm: t}}",
            AUTH_HTPASSWD_REALM="Registry Realm",
            AUTH_HTPASSWD_PATH="/auth/htpasswd",
            AUTH="htpasswd",
        ).auth
        assert [(each.name, each.values) for each in auth] == [
            ("htpasswd", {"path": "/auth/htpasswd", "realm": "Registry Realm"})
        ]

    def test_storage_in_one_word_then_more(self) -> None:
        storage = configured(STORAGE="inmemory", STORAGE_DELETE_ENABLED="true").storage
        assert storage.driver.name == "inmemory"
        assert storage.delete.enabled

    @pytest.mark.parametrize(
        ("variable", "value", "path"),
        [
            ("NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "true",
             "notifications.events.includereferences"),
            ("HEALTH_FILECHECKERS_0_FILE", "/down", "health.file.0.file"),
            ("HEALTH_HTTPCHECKERS_0_STATUSCODE", "204", "health.http.0.statuscode"),
            ("HEALTH_TCPCHECKERS_0_ADDR", "a:1", "health.tcp.0.addr"),
            ("LOG_HOOKS_0_MAILOPTIONS_SMTP_ADDR", "a:25", "log.hooks.0.options.smtp.addr"),
            ("COMPATIBILITY_SCHEMA1_TRUSTKEY", "/k", "compatibility.schema1.signingkeyfile"),
            ("REPORTING_NEWRELIC_NAME", "n", "reporting.newrelic.name"),
            ("REDIS_ADDRS", "[a]", "redis.addrs"),
            ("HTTP_TLS_LETSENCRYPT_HOSTS", "[a.example]", "http.tls.letsencrypt.hosts"),
        ],
    )  # fmt: skip
    def test_names_that_go_has_and_yaml_has_not(self, variable: str, value: str, path: str) -> None:
        found: Any = configured(**{variable: value})
        for step in path.split("."):
            found = found[int(step)] if step.isdigit() else getattr(found, step)
        written = {"true": True, "204": 204, "[a]": ("a",), "[a.example]": ("a.example",)}
        assert found == written.get(value, value)

    def test_the_yaml_name_of_those_is_unknown(self) -> None:
        (warning,) = configured(NOTIFICATIONS_EVENTS_INCLUDEREFERENCES="true").warnings
        assert str(warning) == (
            "REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES: names no option, and is ignored "
            "(did you mean REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES?)"
        )

    def test_unknown_names_are_ignored_with_a_warning(self) -> None:
        found = configured(
            PORT_5000_TCP_ADDR="10.0.0.1", HTTP__ADDR=":1", HTTP_ADDRR=":1", HTTP_ADDR_X=":1"
        )
        assert found.http.addr == "127.0.0.1:5000"
        assert [warning.source for warning in found.warnings] == [
            "REGISTRY_HTTP_ADDRR",
            "REGISTRY_HTTP_ADDR_X",
            "REGISTRY_HTTP__ADDR",
            "REGISTRY_PORT_5000_TCP_ADDR",
        ]
        assert found.warnings[0].hint == "did you mean REGISTRY_HTTP_ADDR?"

    def test_other_variables_are_not_looked_at(self) -> None:
        found = parse(GOOD, {"REGISTRYHTTP_ADDR": "x", "registry_http_addr": "x", "HTTP_ADDR": "x"})
        assert found.configuration.warnings == ()

    def test_names_that_cannot_be_shown(self) -> None:
        (warning,) = configured(**{"LOG_FIELDS_\udcff": "1"}).warnings
        assert warning.source == "'REGISTRY_LOG_FIELDS_\\udcff'"

    def test_new_keys_are_lower_case_and_old_ones_keep_theirs(self) -> None:
        log = configured("log: {fields: {Service: a}}", LOG_FIELDS_SERVICE="b", LOG_FIELDS_NEW="c")
        assert log.log.fields == {"Service": "b", "new": "c"}


class TestLists:
    def test_items_by_index(self) -> None:
        text = "health: {tcp: [{addr: a}, {addr: b, threshold: 1}]}"
        tcp = configured(text, HEALTH_TCPCHECKERS_1_ADDR="c", HEALTH_TCPCHECKERS_2_ADDR="d").health
        assert [(each.addr, each.threshold) for each in tcp.tcp] == [("a", 0), ("c", 1), ("d", 0)]

    def test_texts_by_index(self) -> None:
        tls = configured(
            "http: {tls: {clientcas: [a]}}", HTTP_TLS_CLIENTCAS_0="b", HTTP_TLS_CLIENTCAS_1="c"
        ).http.tls
        assert tls.clientcas == ("b", "c")

    def test_no_gaps(self) -> None:
        assert mistakes("", HEALTH_TCPCHECKERS_1_ADDR="a") == [
            "REGISTRY_HEALTH_TCPCHECKERS_1_ADDR: the list has 0 items; expected an index up to 0"
        ]

    @pytest.mark.parametrize("index", ["X", "-1", "1.0", "²", "9" * 30])
    def test_an_index_is_a_number(self, index: str) -> None:
        (mistake,) = mistakes("", **{f"HEALTH_TCPCHECKERS_{index}_ADDR": "a"})
        assert "expected the index of a list's item" in mistake


class TestMistakes:
    def test_name_the_variable(self) -> None:
        assert mistakes("http: {workers: 3}", HTTP_WORKERS="none") == [
            'REGISTRY_HTTP_WORKERS: http.workers: expected a whole number, got "none"'
        ]

    @pytest.mark.parametrize("value", ["[::]:80", "'x", "@x", "a: b: c", "{", "*secret", "!x y"])
    def test_values_that_are_not_yaml_are_not_quoted(self, value: str) -> None:
        (mistake,) = mistakes("", HTTP_SECRET=value)
        assert mistake.startswith("REGISTRY_HTTP_SECRET: ")
        assert value not in mistake
        assert "secret" not in mistake.removeprefix("REGISTRY_HTTP_SECRET")

    def test_a_key_twice(self) -> None:
        assert mistakes("", LOG_FIELDS="{secretkey: 1, secretkey: 2}") == [
            "REGISTRY_LOG_FIELDS: gives one key twice"
        ]


class TestUnderscores:
    def test_a_key_of_the_file_is_found(self) -> None:
        text = "version: 0.1\nstorage: {azure: {max_retries: 3, max: {x: 1}}}"
        found = parse(
            text, {"REGISTRY_STORAGE_AZURE_MAX_RETRIES": "5", "REGISTRY_STORAGE_AZURE_MAX_X": "2"}
        )
        values = found.configuration.storage.driver.values
        assert values == {"max_retries": 5, "max": {"x": 2}}

    def test_inside_a_mapping_of_the_file(self) -> None:
        text = "version: 0.1\nstorage: {azure: {credentials: {type: a}}}"
        found = parse(
            text,
            {
                "REGISTRY_STORAGE_AZURE_CREDENTIALS_TYPE": "b",
                "REGISTRY_STORAGE_AZURE_CREDENTIALS_SECRET": "c",
            },
        )
        values = found.configuration.storage.driver.values
        assert values == {"credentials": {"type": "b", "secret": "c"}}


class Inner(Section):
    number: int = option(0, "A number.")
    words: tuple[str, ...] = option((), "Words.")


class Small(Section):
    inner: Inner = option(Inner(), "A section.")
    listed: tuple[Inner, ...] = option((), "Sections.", variable="LISTING")
    free: dict[str, Any] = option({}, "Anything.")


SMALL = shape_of(Small)
START: dict[str, Any] = {
    "inner": {"number": 1, "words": ["a"]},
    "listed": [{"number": 2}],
    "free": {"a": {"B": 1}, "c": "text"},
}


def by_the_rules(tree: Any, parts: list[str], value: Any) -> Any:
    """The rules once more, for the small model only, on plain data; returns the new tree."""
    tree = copy.deepcopy(tree)
    head, rest = parts[0], parts[1:]
    known = {"INNER": "inner", "LISTING": "listed", "FREE": "free"}
    if head not in known:
        return tree
    if not rest:
        tree[known[head]] = value
    elif head == "INNER":
        section(tree["inner"], rest, value)
    elif head == "LISTING":
        items = tree["listed"]
        if rest[0].isdigit() and int(rest[0]) <= len(items):
            index = int(rest[0])
            item = items[index] if index < len(items) else {}
            if len(rest) == 1:
                items[index:] = [value, *items[index + 1 :]]
            else:
                section(item, rest[1:], value)
                if item:
                    items[index:] = [item, *items[index + 1 :]]
    else:
        free(tree["free"], rest, value)
    return tree


def section(tree: Any, parts: list[str], value: Any) -> None:
    if parts == ["NUMBER"]:
        tree["number"] = value
    elif parts == ["WORDS"]:
        tree["words"] = value
    elif parts[0] == "WORDS" and len(parts) == 2 and parts[1].isdigit():
        words = tree.get("words", [])
        index = int(parts[1])
        if index <= len(words):
            tree["words"] = [*words[:index], value, *words[index + 1 :]]


def free(tree: Any, parts: list[str], value: Any) -> None:
    for length in range(len(parts), 0, -1):
        for name in tree:
            if name.upper() == "_".join(parts[:length]):
                rest = parts[length:]
                if not rest:
                    tree[name] = value
                elif isinstance(tree[name], dict):
                    free(tree[name], rest, value)
                return
    if len(parts) == 1:
        tree[parts[0].lower()] = value
    else:
        inside: dict[str, Any] = {}
        free(inside, parts[1:], value)
        tree[parts[0].lower()] = inside


names = st.lists(
    st.sampled_from(["INNER", "LISTING", "FREE", "NUMBER", "WORDS", "A", "B", "C", "0", "1", "2"]),
    min_size=1,
    max_size=4,
)


@given(st.lists(st.tuples(names, st.integers(0, 99)), max_size=4))
def test_the_rules_on_a_small_model(assignments: list[tuple[list[str], int]]) -> None:
    environ = {"REGISTRY_" + "_".join(parts): str(value) for parts, value in assignments}
    # A scalar in the place of a section or a list is a mistake of its own, found later.
    broken = re.compile(r"REGISTRY_(INNER|LISTING|FREE|INNER_WORDS|LISTING_[^_]*|LISTING_.*_WORDS)")
    environ = {name: value for name, value in environ.items() if not broken.fullmatch(name)}
    expected: Any = START
    for name in sorted(environ):
        parts = name.removeprefix("REGISTRY_").split("_")
        expected = by_the_rules(expected, parts, int(environ[name]))
    root = from_python(START)
    Overrides(root, SMALL).apply(environ)
    assert root.plain() == expected


@given(
    st.dictionaries(
        st.text(st.sampled_from("ABCHTP_SORAGE019é-\0"), max_size=30).map("REGISTRY_".__add__),
        st.text(max_size=40),
        max_size=5,
    )
)
def test_no_environment_breaks_it(environ: dict[str, str]) -> None:
    for mistake in problems(GOOD, environ):
        assert mistake.source in environ


def test_origins_of_what_nobody_wrote() -> None:
    root = from_python({}, Origin("a.yml", 1))
    Overrides(root, ANYTHING).apply({"REGISTRY_A_B": "1"})
    inner = root.child("a")
    assert inner is not None
    assert inner.implied
    assert str(inner.origin) == "REGISTRY_A_B"
