"""From a file and the environment to options, or to every mistake."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from pyreg.config import Configuration, load
from pyreg.config.loading import parse
from pyreg.errors import ConfigurationError

GOOD = "version: 0.1\nstorage: {inmemory: }\n"


def configured(text: str, environ: dict[str, str] | None = None) -> Configuration:
    return parse(text, environ or {}).configuration


def mistakes(text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, environ or {})
    return [str(mistake) for mistake in caught.value.mistakes]


def warnings(text: str, environ: dict[str, str] | None = None) -> list[str]:
    return [str(warning) for warning in configured(text, environ).warnings]


class TestWithoutAFile:
    def test_defaults(self) -> None:
        configuration = load(None, {})
        assert configuration.storage.driver.name == "filesystem"
        assert configuration.storage.driver.values == {"rootdirectory": "./pyreg-data"}
        assert configuration.http.addr == "127.0.0.1:5000"
        assert configuration.storage.delete.enabled
        assert configuration.http.draintimeout == 30
        assert configuration.warnings == ()

    def test_can_be_overridden(self) -> None:
        configuration = load(
            None,
            {
                "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/srv",
                "REGISTRY_STORAGE_DELETE_ENABLED": "false",
                "REGISTRY_HTTP_ADDR": ":80",
            },
        )
        assert configuration.storage.driver.values == {"rootdirectory": "/srv"}
        assert not configuration.storage.delete.enabled
        assert configuration.http.host_and_port == ("", 80)

    def test_another_driver_needs_no_switch(self) -> None:
        configuration = load(None, {"REGISTRY_STORAGE_S3_BUCKET": "images"})
        assert configuration.storage.driver.name == "s3"
        assert configuration.storage.driver.values == {"bucket": "images"}
        assert configuration.storage.delete.enabled

    def test_the_variable_names_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yml"
        path.write_text(GOOD)
        configuration = load(None, {"REGISTRY_CONFIGURATION_PATH": str(path)})
        assert configuration.storage.driver.name == "inmemory"
        assert not configuration.storage.delete.enabled
        assert configuration.warnings == ()


class TestMistakes:
    def test_name_the_line_the_path_and_what_was_expected(self) -> None:
        assert mistakes(GOOD + "http:\n  workers: 0\n") == [
            "config.yml:4: http.workers: expected at least 1, got 0"
        ]

    def test_are_listed_all_at_once_in_the_order_of_the_file(self) -> None:
        text = (
            "version: 0.2\nlog:\n  level: verbose\n  accesslog: {disabled: perhaps}\n"
            "storage:\n  inmemory:\n  maintenance: {uploadpurging: {age: 3 days}}\n"
            "http:\n  addr: nowhere\n  headers: {X-A: text}\n  draintimeout: -1s\n"
        )
        assert mistakes(text, {"REGISTRY_HTTP_WORKERS": "many"}) == [
            "config.yml:1: version: expected 0.1, got 0.2",
            'config.yml:3: log.level: expected one of error, warn, info or debug, got "verbose"',
            'config.yml:4: log.accesslog.disabled: expected true or false, got "perhaps"',
            "config.yml:7: storage.maintenance.uploadpurging.age: expected a duration such as 30s "
            'or 1h30m, got "3 days"',
            "config.yml:9: http.addr: expected host:port or :port, such as 127.0.0.1:5000, got "
            '"nowhere"',
            'config.yml:10: http.headers.X-A: expected a list, got "text"',
            "config.yml:11: http.draintimeout: expected a duration that is not negative, such as "
            '30s or 1h30m, got "-1s"',
            'REGISTRY_HTTP_WORKERS: http.workers: expected a whole number, got "many"',
        ]

    def test_suggest_a_value(self) -> None:
        assert mistakes(GOOD + "log: {level: warning}") == [
            "config.yml:3: log.level: expected one of error, warn, info or debug, "
            'got "warning" (did you mean warn?)'
        ]

    @pytest.mark.parametrize("section", ["log", "http", "storage", "validation", "proxy"])
    def test_a_section_must_be_a_mapping(self, section: str) -> None:
        text = f"version: 0.1\nstorage: inmemory\n{section}: [1]\n".replace(
            "storage: inmemory\nstorage", "storage"
        )
        (mistake,) = mistakes(text)
        assert f": {section}: expected a mapping (lines of `key: value`), got a list" in mistake

    def test_in_lists_have_an_index(self) -> None:
        text = GOOD + "health:\n  http:\n    - uri: http://a\n      timeout: soon\n"
        assert mistakes(text) == [
            "config.yml:6: health.http[0].timeout: expected a duration such as 30s or 1h30m, "
            'got "soon"'
        ]

    def test_required_keys(self) -> None:
        assert mistakes("log: {}") == [
            "config.yml: version: is required; write `version: 0.1`",
            "config.yml: storage: is required, with one storage driver in it",
        ]
        assert mistakes(GOOD + "middleware: {storage: [{options: {}}]}") == [
            "config.yml:3: middleware.storage[0].name: is required, and nothing is given"
        ]

    @pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null"])
    def test_empty_files(self, text: str) -> None:
        assert mistakes(text) == [
            "config.yml: is empty; expected at least `version: 0.1` and `storage`"
        ]

    def test_regular_expressions_are_compiled(self) -> None:
        text = GOOD + "validation: {manifests: {urls: {allow: ['^https:', '(']}}}"
        (mistake,) = mistakes(text)
        assert mistake.startswith(
            "config.yml:3: validation.manifests.urls.allow[1]: expected a regular expression; "
        )

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("addr", "::1:80"),
            ("addr", "localhost"),
            ("addr", "localhost:70000"),
            ("addr", "http://localhost:80"),
            ("net", "udp"),
            ("host", "registry.example.com"),
            ("host", "ftp://registry.example.com"),
            ("host", "'https://registry.example.com/?a=b'"),
            ("prefix", "/../"),
            ("prefix", "'/a b/'"),
            ("maxmanifestsize", "9MiB"),
            ("maxmanifestsize", "4 bananas"),
            ("maxmanifestsize", "0"),
            ("idletimeout", "-5s"),
            ("workers", "1.5"),
            ("trustedproxies", "[everyone]"),
            ("headers", "{'X A': [b]}"),
            ("headers", '{X-A: ["a\\r\\nX-B: c"]}'),
        ],
    )
    def test_values_of_http(self, option: str, value: str) -> None:
        (mistake,) = mistakes(GOOD + f"http:\n  {option}: {value}\n")
        assert mistake.startswith(f"config.yml:4: http.{option}")
        assert "expected" in mistake

    def test_a_long_value_is_shortened(self) -> None:
        (mistake,) = mistakes(GOOD + f"log: {{level: {'x' * 10_000}}}")
        assert len(mistake) < 200


class TestDrivers:
    def test_exactly_one(self) -> None:
        assert mistakes("version: 0.1\nstorage:\n  delete: {enabled: true}\n") == [
            "config.yml:2: storage: expected one storage driver, such as `filesystem`, got none"
        ]
        assert mistakes("version: 0.1\nstorage:\n  inmemory:\n  filesystem: {}\n") == [
            "config.yml:4: storage: expected one storage driver, got inmemory (config.yml:3) "
            "and filesystem (config.yml:4); keep one"
        ]

    def test_a_misspelt_section_is_not_taken_for_a_driver_silently(self) -> None:
        (mistake,) = mistakes("version: 0.1\nstorage:\n  inmemory:\n  maintenence: {}\n")
        assert mistake.endswith("(did you mean maintenance?)")

    def test_two_by_a_variable_say_how_to_switch(self) -> None:
        assert mistakes(GOOD, {"REGISTRY_STORAGE_S3_BUCKET": "b"}) == [
            "REGISTRY_STORAGE_S3_BUCKET: storage: expected one storage driver, got inmemory "
            "(config.yml:2) and s3 (REGISTRY_STORAGE_S3_BUCKET); keep one; to switch to s3, set "
            "REGISTRY_STORAGE=s3 as well"
        ]

    def test_switched_by_a_variable(self) -> None:
        text = "version: 0.1\nstorage: {filesystem: {rootdirectory: /a}, delete: {enabled: true}}"
        environ = {"REGISTRY_STORAGE_S3_BUCKET": "b", "REGISTRY_STORAGE": "s3"}
        storage = configured(text, environ).storage
        assert (storage.driver.name, storage.driver.values) == ("s3", {"bucket": "b"})
        assert not storage.delete.enabled

    @pytest.mark.parametrize("written", ["inmemory", "{inmemory: }", "{inmemory: {}}"])
    def test_without_options(self, written: str) -> None:
        driver = configured(f"version: 0.1\nstorage: {written}\n").storage.driver
        assert (driver.kind, driver.name, driver.values) == ("storage", "inmemory", {})

    def test_options_are_a_mapping(self) -> None:
        assert mistakes("version: 0.1\nstorage:\n  s3: bucket\n") == [
            "config.yml:3: storage.s3: expected the options of s3 (lines of `key: value`)"
        ]


class TestAuth:
    def test_several_in_the_order_of_the_file(self) -> None:
        text = GOOD + "auth:\n  token: {realm: r}\n  htpasswd: {path: p}\n"
        auth = configured(text).auth
        assert [(each.kind, each.name, each.values) for each in auth] == [
            ("auth", "token", {"realm": "r"}),
            ("auth", "htpasswd", {"path": "p"}),
        ]
        assert all(each.essential for each in auth)
        assert str(auth[1].origin) == "config.yml:5"

    def test_none_is_open_and_stands_alone(self) -> None:
        assert configured(GOOD + "auth: none").auth == ()
        assert configured(GOOD + "auth: {none: {}}").auth == ()
        assert mistakes(GOOD + "auth: {none: {}, token: {}}") == [
            "config.yml:3: auth.none: `none` is open to all, and cannot be combined with token"
        ]

    def test_never_lost_by_a_mistake(self) -> None:
        assert mistakes(GOOD + "auth: [htpasswd]") == [
            "config.yml:3: auth: expected names of plugins, each with its options"
        ]
        assert mistakes(GOOD + "auth: {htpasswd: on}") == [
            "config.yml:3: auth.htpasswd: expected the options of htpasswd (lines of `key: value`)"
        ]


class TestWantedSections:
    @pytest.mark.parametrize(
        "text",
        [
            "http: {tls: {}}",
            "http: {tls: }",
            "http: {tls: {certificate: ''}}",
            "proxy: {remoteurl: ''}",
            "notifications: {endpoints: []}",
            "notifications: {endpoints: [{name: a, disabled: true}]}",
            "middleware: {storage: [{name: a, disabled: yes}]}",
            "health: {storagedriver: {enabled: false, interval: 10s}}",
            "policy: {repository: {classes: []}}",
        ],
    )
    def test_nothing_is_wanted_by_what_is_switched_off(self, text: str) -> None:
        assert configured(GOOD + text).sections == ()

    @pytest.mark.parametrize(
        ("text", "name", "essential"),
        [
            ("http: {tls: {certificate: c}}", "tls", True),
            ("http: {tls: {letsencrypt: {email: me@example.com}}}", "tls", True),
            ("http: {tls: {certfile: c}}", "tls", True),
            ("proxy: {remoteurl: https://example.com}", "proxy", True),
            ("notifications: {endpoints: [{url: http://a}]}", "webhook", True),
            ("middleware: {repository: [{name: mine}]}", "mine", True),
            ("policy: {repository: {classes: [image]}}", "policy", True),
            ("http: {debug: {addr: ':5001'}}", "telemetry", False),
            ("health: {file: [{file: /down}]}", "health", False),
        ],
    )
    def test_what_is_in_use(self, text: str, name: str, essential: bool) -> None:
        (wanted,) = configured(GOOD + text).sections
        assert (wanted.name, wanted.essential) == (name, essential)

    def test_extensions(self) -> None:
        (wanted,) = configured(GOOD + "extensions: {quota: {limit: 10}}").extensions
        assert (wanted.kind, wanted.name, wanted.values) == ("extension", "quota", {"limit": 10})
        assert wanted.path == "extensions.quota"


class TestWarnings:
    def test_unknown_keys_are_ignored_with_a_suggestion(self) -> None:
        text = GOOD + "http:\n  adr: :80\n  delete: {}\nzzz: {}\nhealth: {tcp: [{adr: a}]}\n"
        assert warnings(text) == [
            "config.yml:4: http.adr: is not a known key, and is ignored (did you mean addr?)",
            "config.yml:5: http.delete: is not a known key, and is ignored "
            "(did you mean storage.delete?)",
            "config.yml:6: zzz: is not a known key, and is ignored",
            "config.yml:7: health.tcp[0].adr: is not a known key, and is ignored "
            "(did you mean addr?)",
        ]

    def test_keys_without_effect(self) -> None:
        (warning,) = warnings(GOOD + "redis: {addrs: [a], nonsense: 1}")
        assert warning.startswith("config.yml:3: redis: is accepted and ignored: ")

    def test_quiet_about_what_every_file_has(self) -> None:
        text = "version: 0.1\nstorage: {inmemory: , cache: {blobdescriptor: inmemory}}\n"
        assert warnings(text + "http: {secret: s}") == []

    def test_a_duration_without_a_unit(self) -> None:
        text = GOOD + "http:\n  draintimeout: 60\n"
        assert warnings(text) == [
            "config.yml:4: http.draintimeout: 60 without a unit is 60 nanoseconds; "
            "write 60s for seconds"
        ]
        assert configured(text).http.draintimeout == 60e-9

    def test_a_second_document(self) -> None:
        (warning,) = warnings(f"---\n{GOOD}---\nlog: {{}}\n")
        assert warning.startswith("config.yml:4: only the first YAML document is read")


class TestValues:
    @pytest.mark.parametrize("word", ["yes", "on", "true", "True", "y", "YES", "On"])
    def test_truth(self, word: str) -> None:
        text = f"version: 0.1\nstorage: {{inmemory: , delete: {{enabled: {word}}}}}"
        assert configured(text).storage.delete.enabled

    def test_text_is_taken_as_it_is_written(self) -> None:
        http = configured(GOOD + "http: {secret: 0123, tls: {key: yes, certificate: 1.10}}").http
        assert http.secret.get_secret_value() == "0123"
        assert (http.tls.key, http.tls.certificate) == ("yes", "1.10")

    @pytest.mark.parametrize("number", [0, -1, ""])
    def test_page_sizes_fall_back(self, number: object) -> None:
        configuration = configured(
            GOOD + f"catalog: {{maxentries: {number}}}\ntags: {{maxtags: {number}}}\n"
        )
        assert (configuration.catalog.maxentries, configuration.tags.maxtags) == (1000, 1000)

    @pytest.mark.parametrize(
        ("written", "prefix"), [("my", "/my/"), ("/a/b", "/a/b/"), ("/", ""), ("''", "")]
    )
    def test_prefix(self, written: str, prefix: str) -> None:
        assert configured(GOOD + f"http: {{prefix: {written}}}").http.prefix == prefix

    @pytest.mark.parametrize(
        ("addr", "expected"),
        [
            ("127.0.0.1:5000", ("127.0.0.1", 5000)),
            (":443", ("", 443)),
            ("'[::1]:80'", ("::1", 80)),
            ("localhost:0", ("localhost", 0)),
        ],
    )
    def test_addresses(self, addr: str, expected: tuple[str, int]) -> None:
        assert configured(GOOD + f"http:\n  addr: {addr}\n").http.host_and_port == expected

    def test_unix_sockets(self) -> None:
        http = configured(GOOD + "http: {addr: /run/r.sock, net: unix}").http
        assert http.host_and_port is None
        (mistake,) = mistakes(GOOD + f"http: {{addr: /{'x' * 200}, net: unix}}")
        assert "expected a path of at most 107 bytes" in mistake

    def test_log_level_wins_over_its_old_name(self) -> None:
        assert configured(GOOD + "loglevel: debug").log.level == "debug"
        assert configured(GOOD + "loglevel: debug\nlog: {level: error}").log.level == "error"
        (warning,) = warnings(GOOD + "loglevel: debug")
        assert "deprecated" in warning

    def test_patterns(self) -> None:
        urls = configured(
            GOOD + "validation: {manifests: {urls: {allow: ['^https://a/']}}}"
        ).validation.manifests.urls
        assert urls.allow[0].search("https://a/b")
        assert not urls.allow[0].search("http://a/b")


class TestTheResult:
    def test_is_immutable(self) -> None:
        configuration = load(None, {})
        with pytest.raises(ValidationError):
            configuration.http.addr = ":80"
        with pytest.raises(AttributeError):
            configuration.storage.driver.name = "s3"  # type: ignore[misc]

    def test_survives_pickling(self) -> None:
        configuration = configured(
            GOOD + "auth: {htpasswd: {path: p}}\nvalidation: {manifests: {urls: {deny: [a]}}}",
            {"REGISTRY_HTTP_WORKERS": "3", "REGISTRY_NONSENSE": "1"},
        )
        again = pickle.loads(pickle.dumps(configuration))
        assert again == configuration
        assert again.warnings == configuration.warnings
        assert again.auth[0].origin == configuration.auth[0].origin

    def test_is_equal_when_it_configures_the_same(self) -> None:
        one = configured(GOOD + "catalog: {maxentries: 5}\nauth: {token: {realm: a}}")
        same = configured(
            "auth: {token: {realm: a}}\n" + GOOD + "x: 1\n", {"REGISTRY_CATALOG_MAXENTRIES": "5"}
        )
        other = configured(GOOD + "catalog: {maxentries: 5}\nauth: {token: {realm: b}}")
        assert one == same
        assert one != other
        assert one != "one"

    def test_made_in_python_has_the_defaults_of_a_silent_file(self) -> None:
        silent = parse("version: 0.1\nstorage: {filesystem: {rootdirectory: ./pyreg-data}}", {})
        assert Configuration() == silent.configuration
