"""`notifications`: the core's part, the sink's part, and names that events can be kept under."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, SecretStr
from pydantic.dataclasses import dataclass as checked
from stevedore import _cache

from pyreg import plugins
from pyreg.assembly import plugin_instances, source_of, subscriptions
from pyreg.config import Configuration, load, option_warnings, validate_options
from pyreg.config.commands import config
from pyreg.config.loading import load_tree, parse
from pyreg.config.redact import MASK
from pyreg.config.show import show
from pyreg.content.names import is_name
from pyreg.errors import ConfigurationError
from pyreg.hooks.events import Subscription
from pyreg_notify_webhook import WebhookPlugin
from tests.fixtures.distributions import install

GOOD = "version: 0.1\nstorage: inmemory\n"


@dataclass(frozen=True)
class Sink:
    """Options of an event sink: the name, and what is its own."""

    name: str
    url: str = ""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    format: Literal["docker", "cloudevents"] = "docker"
    streams: tuple[str, ...] = ()
    signature: Mapping[str, SecretStr] = field(default_factory=dict)


@checked(config=ConfigDict(extra="forbid"), frozen=True)
class Strict:
    """The same, for a plugin that takes nothing that it does not know."""

    name: str
    url: str = ""


def configured(endpoints: str, **environ: str) -> Configuration:
    """A configuration with a list of endpoints, whose first line is line 5."""
    text = f"{GOOD}notifications:\n  endpoints:\n{endpoints}"
    variables = {f"REGISTRY_NOTIFICATIONS_{name}": value for name, value in environ.items()}
    return parse(text, variables).configuration


def mistakes(endpoints: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        configured(endpoints, **environ)
    return [str(mistake) for mistake in caught.value.mistakes]


def warnings(endpoints: str, **environ: str) -> list[str]:
    return [str(warning) for warning in configured(endpoints, **environ).warnings]


class TestSubscriptions:
    def test_an_endpoint_that_says_nothing_hears_all(self) -> None:
        found = configured("    - {name: ci, url: 'http://a'}\n")
        assert subscriptions(found) == {"ci": Subscription()}

    def test_everything(self) -> None:
        found = parse(
            GOOD
            + """\
notifications:
  events: {includereferences: true}
  endpoints:
    - name: ci
      url: http://a
      repositories: [team/*, "**/release"]
      actions: [push, Delete]
      ignoredmediatypes: [application/octet-stream, a/b]
      ignore: {mediatypes: [a/b, c/d], actions: [Pull]}
      timeout: 500ms
      threshold: 5
      backoff: 2s
      maxage: 36h
      maxattempts: 20
      batch: 10
      concurrency: 1
    - {name: old, disabled: yes}
    - {name: all, maxage: 0, maxattempts: 0}
""",
            {},
        ).configuration
        assert subscriptions(found) == {
            "ci": Subscription(
                actions=frozenset({"push", "delete"}),
                repositories=("team/*", "**/release"),
                ignored_actions=frozenset({"pull"}),
                ignored_media_types=frozenset({"application/octet-stream", "a/b", "c/d"}),
                references=True,
                timeout=0.5,
                threshold=5,
                backoff=2.0,
                max_age=36 * 3600.0,
                max_attempts=20,
                batch=10,
                concurrency=1,
            ),
            "all": Subscription(references=True, max_age=0.0),
        }

    def test_nothing_stands_for_the_default_as_in_the_docker_registry(self) -> None:
        text = "    - {name: ci, timeout: 0, threshold: %s, backoff: 0s}\n"
        for threshold in ("0", "-1"):
            assert subscriptions(configured(text % threshold)) == {"ci": Subscription()}

    def test_without_endpoints(self) -> None:
        assert subscriptions(load(None, {})) == {}

    @pytest.mark.parametrize(
        ("addr", "ends"), [(":5000", ":5000"), ("[::1]:81", ":81"), ("/run/pyreg.sock", "")]
    )
    def test_events_name_the_machine_and_the_port(self, addr: str, ends: str) -> None:
        net = "unix" if not ends else "tcp"
        found = parse(f"{GOOD}http: {{net: {net}, addr: '{addr}'}}\n", {}).configuration
        assert source_of(found) == f"{socket.gethostname()}{ends}"


class TestNames:
    def test_what_has_none_is_named_after_its_place(self) -> None:
        text = (
            "    - {name: old, disabled: true}\n"
            "    - {url: 'http://a'}\n"
            "    - {name: ci, url: 'http://b'}\n"
            "    - {name: '', url: 'http://c'}\n"
        )
        found = configured(text)
        assert list(subscriptions(found)) == ["endpoint-2", "ci", "endpoint-4"]
        assert [each.values["name"] for each in found.sections] == [
            "endpoint-2",
            "ci",
            "endpoint-4",
        ]
        assert [str(warning) for warning in found.warnings] == [
            f"config.yml:{line}: notifications.endpoints[{line - 5}]: has no name, and is called "
            f"endpoint-{line - 4} after its place; name it, since events that wait for it are "
            "kept under its name"
            for line in (6, 8)
        ]

    def test_two_with_one_name_are_a_mistake_that_names_both(self) -> None:
        text = "    - {name: ci, url: 'http://a'}\n    - url: 'http://b'\n      name: ci\n"
        assert mistakes(text) == [
            'config.yml:7: notifications.endpoints[1].name: "ci" is the name of another endpoint, '
            "too (config.yml:5); events that wait are kept under the name, so each endpoint needs "
            "its own"
        ]

    def test_a_name_that_another_one_would_be_given(self) -> None:
        text = "    - {name: endpoint-2, url: 'http://a'}\n    - {url: 'http://b'}\n"
        (mistake,) = mistakes(text)
        assert mistake.startswith(
            'config.yml:6: notifications.endpoints[1].name: "endpoint-2" is the name of another '
            "endpoint, too (config.yml:5)"
        )

    def test_one_text_twice(self) -> None:
        text = f"{GOOD}x: &x {{name: ci}}\nnotifications: {{endpoints: [*x, *x]}}\n"
        with pytest.raises(ConfigurationError, match="the name of another endpoint"):
            parse(text, {})

    def test_a_disabled_one_may_have_any(self) -> None:
        text = "    - {name: ci, disabled: true}\n    - {name: ci, url: a}\n    - {disabled: yes}\n"
        assert warnings(text) == []

    @pytest.mark.parametrize("name", ["a\\nb", "a\\u0000", "x" * 129])
    def test_names_that_cannot_be_shown(self, name: str) -> None:
        (mistake,) = mistakes(f'    - {{name: "{name}"}}\n')
        assert "expected a name of at most 128 printable characters" in mistake

    def test_what_is_no_endpoint_is_told_once(self) -> None:
        assert mistakes("    - ci\n    - {name: [a]}\n") == [
            "config.yml:5: notifications.endpoints[0]: expected a mapping (lines of "
            '`key: value`), got "ci"',
            "config.yml:6: notifications.endpoints[1].name: expected text, got a list",
        ]

    @given(
        st.lists(
            st.tuples(st.sampled_from(["", "a", "b", "endpoint-1", "endpoint-3"]), st.booleans()),
            max_size=5,
        )
    )
    def test_every_endpoint_has_a_name_of_its_own_or_there_is_a_mistake(
        self, written: list[tuple[str, bool]]
    ) -> None:
        enabled = [
            name or f"endpoint-{place}"
            for place, (name, disabled) in enumerate(written, 1)
            if not disabled
        ]
        listed = [{"name": name, "disabled": disabled} for name, disabled in written]
        text = f"{GOOD}notifications: {json.dumps({'endpoints': listed})}\n"
        if len(set(enabled)) == len(enabled):
            found = parse(text, {}).configuration
            assert list(subscriptions(found)) == enabled
            assert [each.values["name"] for each in found.sections] == enabled
        else:
            with pytest.raises(ConfigurationError) as caught:
                parse(text, {})
            assert len(caught.value.mistakes) == len(enabled) - len(set(enabled))


class TestValues:
    @pytest.mark.parametrize(
        ("option", "told"),
        [
            (
                "actions: [pusch]",
                "actions[0]: expected one of push, pull, mount or delete, got "
                '"pusch" (did you mean push?)',
            ),
            ("actions: push", 'actions: expected a list, got "push"'),
            ("batch: 0", "batch: expected at least 1, got 0"),
            ("concurrency: 0", "concurrency: expected at least 1, got 0"),
            ("maxattempts: -1", "maxattempts: expected at least 0, got -1"),
            (
                "maxage: 7d",
                'maxage: expected a duration such as 30s or 1h30m, got "7d"',
            ),
            (
                "repositories: [Team/*]",
                "repositories[0]: expected a pattern of repository names, such as team/* or "
                'team/**, got "Team/*"',
            ),
        ],
    )
    def test_mistakes_teach(self, option: str, told: str) -> None:
        assert mistakes(f"    - {{name: ci, {option}}}\n") == [
            f"config.yml:5: notifications.endpoints[0].{told}"
        ]

    def test_an_action_that_is_none_is_ignored_in_vain(self) -> None:
        text = "    - {name: ci, ignore: {actions: [pull, PUSH, deleted, 1]}}\n"
        assert warnings(text) == [
            'config.yml:5: notifications.endpoints[0].ignore.actions[2]: "deleted" is no action, '
            "and has no effect (did you mean delete?)",
            'config.yml:5: notifications.endpoints[0].ignore.actions[3]: "1" is no action, and '
            "has no effect",
        ]

    @pytest.mark.parametrize(
        "pattern",
        ["", "/", "team/", "/team", "team//app", "team/.*", "[a-z]*", "Team", "team/?_", "a.",
         "registry.example.com:5000/team/*", "team/_*", "*/-app", "x" * 256],
    )  # fmt: skip
    def test_patterns_that_match_no_name(self, pattern: str) -> None:
        text = json.dumps([{"name": "ci", "repositories": [pattern]}])
        assert "a pattern of repository names" in mistakes(f"    {text}\n")[0]

    NAMES = st.from_regex(
        r"[a-z0-9]{1,3}(?:(?:\.|_|__|-{1,3}|/)[a-z0-9]{1,3}){0,4}", fullmatch=True
    )

    @given(NAMES, st.data())
    def test_a_pattern_that_matches_a_name_is_taken(self, name: str, data: st.DataObject) -> None:
        assert is_name(name)
        cuts = data.draw(
            st.lists(st.integers(0, len(name)), min_size=2, max_size=6).map(sorted), "cuts"
        )
        for start, stop in reversed(list(zip(cuts[::2], cuts[1::2], strict=False))):
            cut = name[start:stop]
            wild = "**" if "/" in cut else "?" if len(cut) == 1 else "*"
            name = f"{name[:start]}{wild}{name[stop:]}"
        text = json.dumps([{"name": "ci", "repositories": [name]}])
        found = configured(f"    {text}\n")
        assert subscriptions(found)["ci"].repositories == (name,)

    @given(st.text(max_size=20))
    def test_a_pattern_that_is_taken_can_match(self, pattern: str) -> None:
        text = json.dumps([{"name": "ci", "repositories": [pattern]}])
        try:
            configured(f"    {text}\n")
        except ConfigurationError:
            return
        assert is_name(re.sub(r"[*?]", "a", pattern))


class TestTheSinksPart:
    def test_gets_its_own_keys_and_the_name(self) -> None:
        found = configured(
            "    - name: ci\n      url: http://a\n      headers: {X-A: [b]}\n"
            "      threshold: 3\n      timeout: 1s\n      ignore: {actions: [pull]}\n"
            "      repositories: ['**']\n      format: cloudevents\n      maxage: 1h\n"
        )
        (wanted,) = found.sections
        assert (wanted.kind, wanted.name, wanted.essential) == ("events", "webhook", True)
        assert wanted.path == "notifications.endpoints[0]"
        assert validate_options(wanted, Sink) == Sink(
            "ci", "http://a", {"X-A": ("b",)}, "cloudevents"
        )
        assert option_warnings(wanted, Sink) == ()

    def test_is_the_plugin_of_that_name(self) -> None:
        found = configured(
            "    - {name: a, type: redis, url: 'redis://a'}\n    - {name: b, type: }\n"
        )
        assert [(each.name, each.values) for each in found.sections] == [
            ("redis", {"name": "a", "url": "redis://a"}),
            ("webhook", {"name": "b"}),
        ]
        assert [each.type for each in found.notifications.endpoints] == ["redis", "webhook"]

    def test_what_it_does_not_know_may_be_a_key_of_its_own_or_of_the_core(self) -> None:
        found = configured(
            "    - name: ci\n      fromat: docker\n      treshold: 3\n      repositorys: [a]\n"
            "      quux: 1\n      ignore: {action: [pull]}\n"
        )
        assert [str(warning) for warning in found.warnings] == [
            "config.yml:10: notifications.endpoints[0].ignore.action: is not a known key, and is "
            "ignored (did you mean actions?)"
        ]
        assert [str(warning) for warning in option_warnings(found.sections[0], Sink)] == [
            f"config.yml:{line}: notifications.endpoints[0].{name}: is not a known key, and is "
            f"ignored{hint}"
            for line, name, hint in (
                (6, "fromat", " (did you mean format?)"),
                (7, "treshold", " (did you mean threshold?)"),
                (8, "repositorys", " (did you mean repositories?)"),
                (9, "quux", ""),
            )
        ]

    def test_one_that_refuses_what_it_does_not_know(self) -> None:
        (wanted,) = configured("    - name: ci\n      treshold: 3\n      timeout: 1s\n").sections
        with pytest.raises(ConfigurationError) as caught:
            validate_options(wanted, Strict)
        assert [str(mistake) for mistake in caught.value.mistakes] == [
            "config.yml:6: notifications.endpoints[0].treshold: is not a known key "
            "(did you mean threshold?)"
        ]

    def test_from_the_environment(self) -> None:
        found = configured(
            "    - {name: ci, url: 'http://a', format: docker}\n",
            ENDPOINTS_0_URL="http://b",
            ENDPOINTS_0_TIMEOUT="3s",
            ENDPOINTS_0_IGNORE_ACTIONS="[pull]",
            ENDPOINTS_0_FORMAT="cloudevents",
            ENDPOINTS_1_NAME="two",
            ENDPOINTS_1_TYPE="redis",
            ENDPOINTS_1_STREAMS_0="events",
            ENDPOINTS_1_SIGNATURE_SECRET="hunter2",
            ENDPOINTS_1_REPOSITORIES_0="team/*",
            EVENTCONFIG_INCLUDEREFERENCES="true",
        )
        assert found.warnings == ()
        first, second = found.sections
        assert validate_options(first, Sink) == Sink("ci", "http://b", format="cloudevents")
        assert (second.name, validate_options(second, Sink)) == (
            "redis",
            Sink("two", streams=("events",), signature={"secret": SecretStr("hunter2")}),
        )
        assert subscriptions(found) == {
            "ci": Subscription(timeout=3.0, ignored_actions=frozenset({"pull"}), references=True),
            "two": Subscription(repositories=("team/*",), references=True),
        }
        assert mistakes("    - {name: ci}\n", ENDPOINTS_0_FORMAT="x", ENDPOINTS_0_BATCH="many") == [
            "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_BATCH: notifications.endpoints[0].batch: expected "
            'a whole number, got "many"'
        ]

    def test_a_missing_one_names_the_package(self) -> None:
        assert plugins.distribution("events", "webhook") == "pyreg-notify-webhook"
        assert plugins.distribution("events", "redis") == "pyreg-notify-redis"
        found = configured("    - {name: a, type: carrierpigeon}\n")
        with pytest.raises(ConfigurationError) as caught:
            plugin_instances(found)
        text = str(caught.value.mistakes[0])
        assert text.startswith("config.yml:5: notifications.endpoints[0]: the configuration asks ")
        assert "pip install pyreg-notify-carrierpigeon" in text


TEXT = """\
version: 0.1
storage: inmemory
notifications:
  endpoints:
    - name: ci
      type: odd
      url: https://me:hunter2@ci.example.com/hook?token=hunter2
      headers: {Authorization: [Bearer hunter2], X-Any: [hunter2]}
      colours: [hunter2]
      plain: shown
      threshold: 0
    - disabled: true
      headers: {X-Any: [hunter2]}
      signature: {secrets: [hunter2]}
      plain: shown
"""

ODD = """
    from dataclasses import dataclass, field

    from pydantic import SecretStr


    @dataclass(frozen=True)
    class Options:
        name: str
        url: str
        headers: dict[str, tuple[str, ...]] = field(default_factory=dict)
        colours: tuple[SecretStr, ...] = ()
        plain: str = ""


    class Plugin:
        api_version = (1, 0)
        Options = Options

        def __init__(self, options):
            self.options = options
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with the event sink `odd`, which is installed."""
    install(tmp_path, "odd", {"pyreg.events": {"odd": "odd_sink:Plugin"}}, {"odd_sink": ODD})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_cache._c, "_dir", str(tmp_path / "cache"))
    path = tmp_path / "config.yml"
    path.write_text(TEXT)
    return path


def test_what_is_shown(odd: Path) -> None:
    loaded = load_tree(odd, {}, plugins=True)
    assert loaded.configuration.warnings == ()
    shown = show(loaded)
    assert "hunter2" not in shown
    lines = shown.splitlines()
    for line in (
        "    includereferences: false",
        f"    - name: ci  # {odd}:5",
        f"      type: odd  # {odd}:6",
        f'      url: "https://{MASK}@ci.example.com/hook?token={MASK}"  # {odd}:7',
        f'        X-Any: ["{MASK}"]  # {odd}:8',
        f'      colours: ["{MASK}"]  # {odd}:9',
        f"      plain: shown  # {odd}:10",
        f"      threshold: 10  # {odd}:11",
        "      maxage: 168h",
        "      concurrency: 4",
        f"      disabled: true  # {odd}:12",
        f'        X-Any: ["{MASK}"]  # {odd}:13',
        f'        secrets: ["{MASK}"]  # {odd}:14',
    ):
        assert line in lines, f"{line}\nis not in\n{shown}"
    again = parse(shown, {}).configuration
    assert subscriptions(again) == subscriptions(loaded.configuration)


def test_check_asks_the_plugin_and_names_the_endpoints(odd: Path) -> None:
    done = CliRunner().invoke(config, ["check", "--no-environment", str(odd)])
    assert done.exit_code == 0, done.output
    assert "  events    ci (odd)\n" in done.output
    odd.write_text(TEXT.replace("plain: shown\n      threshold", "plain: []\n      tresh"))
    done = CliRunner().invoke(config, ["check", "--no-environment", str(odd)])
    assert done.output.splitlines() == [
        f"error: {odd}:10: notifications.endpoints[0].plain: expected text, got a list",
        f"warning: {odd}:11: notifications.endpoints[0].tresh: is not a known key, and is "
        "ignored (did you mean threshold?)",
        "1 mistake",
    ]


# What the Docker registry's users have, save for the names of their machines.
FILES = {
    "as its documentation has it": """
notifications:
  endpoints:
    - name: alistener
      url: https://mylistener.example.com/event
      headers:
        Authorization: [Bearer 0123456]
      timeout: 500ms
      threshold: 5
      backoff: 1s
""",
    "everything": """
notifications:
  events:
    includereferences: true
  endpoints:
    - name: alistener
      disabled: false
      url: https://my.listener.com/event
      headers: {Authorization: [Bearer x, y], X-Empty: []}
      timeout: 1s
      threshold: 10
      backoff: 1s
      ignoredmediatypes:
        - application/octet-stream
      ignore:
        mediatypes:
           - application/octet-stream
        actions:
           - pull
""",
    "a portal": """
notifications:
  endpoints:
    - name: portus
      url: https://portus.example.com/v2/webhooks/events
      timeout: 2000ms
      threshold: 5
      backoff: 1s
""",
    "a forge": """
notifications:
  endpoints:
    - name: geo_event
      url: https://forge.example.com/api/v4/container_registry_event/events
      timeout: 2s
      threshold: 5
      backoff: 1s
      headers:
        Authorization: ["a b c"]
""",
    "two, one of them off": """
notifications:
  endpoints:
    - {name: local-8082, url: "http://localhost:5003/callback", timeout: 1s, threshold: 10,
       headers: {Authorization: [Bearer x]}, backoff: 1s, disabled: true}
    - name: local-8083
      url: http://localhost:8083/callback
      timeout: 1000000000
      threshold: 10
      backoff: 1s
      disabled: false
""",
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_docker_registry_are_taken_as_they_are(name: str) -> None:
    found = parse(GOOD + FILES[name], {}).configuration
    heard = subscriptions(found)
    assert len(heard) == 1
    assert [each.name for each in found.sections] == ["webhook"]
    told = [warning.path for warning in found.warnings]
    assert told == (["notifications.endpoints[1].timeout"] if "two" in name else [])
    (wanted,) = found.sections
    assert option_warnings(wanted, plugins.load("events", "webhook").Options) == ()
    *_, plugin = plugin_instances(found)
    assert isinstance(plugin, WebhookPlugin)
    assert plugin.pyreg_event_sink().name in heard
