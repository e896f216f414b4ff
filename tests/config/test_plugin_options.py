"""Options that only a plugin knows: validated late, with the same mistakes."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from pyreg.config import (
    ByteSize,
    Duration,
    PluginOptions,
    option_warnings,
    validate_options,
)
from pyreg.config.loading import parse
from pyreg.errors import ConfigurationError


@dataclass(frozen=True)
class Credentials:
    type: Literal["shared_key", "client_secret"] = "shared_key"
    secret: SecretStr = field(default_factory=lambda: SecretStr(""))


@dataclass(frozen=True)
class Options:
    bucket: str
    secretkey: SecretStr = field(default_factory=lambda: SecretStr(""))
    chunksize: Annotated[int, Ge(5242880)] = 10485760
    secure: bool = True
    max_retries: int = 5
    retry_delay: Duration = 0.1
    budget: ByteSize = 0
    credentials: Credentials = field(default_factory=Credentials)
    labels: Mapping[str, Any] = field(default_factory=dict)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    password: SecretStr
    path: str = ""

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError(f"expected an absolute path, not {value}")
        return value


def driver(options: str, **environ: str) -> PluginOptions:
    text = f"version: 0.1\nstorage:\n  s3:\n{options}"
    variables = {f"REGISTRY_STORAGE_S3_{name}": value for name, value in environ.items()}
    return parse(text, variables).configuration.storage.driver


def mistakes(options: PluginOptions, expected: type[Any] = Options) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        validate_options(options, expected)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_valid() -> None:
    options = validate_options(
        driver(
            "    bucket: 2024\n    secretkey: 0123\n    secure: no\n    chunksize: 0x500000\n"
            "    retry_delay: 250ms\n    budget: 1MiB\n    labels: {a: 1, b: yes}\n"
            "    credentials: {type: client_secret, secret: on}\n"
        ),
        Options,
    )
    assert options == Options(
        bucket="2024",
        secretkey=SecretStr("0123"),
        secure=False,
        chunksize=5242880,
        retry_delay=0.25,
        budget=2**20,
        labels={"a": 1, "b": "yes"},
        credentials=Credentials("client_secret", SecretStr("on")),
    )


def test_mistakes_have_their_lines() -> None:
    assert mistakes(driver("    chunksize: 4096\n    secure: perhaps\n")) == [
        "config.yml:3: storage.s3.bucket: is required, and nothing is given",
        "config.yml:4: storage.s3.chunksize: expected at least 5242880, got 4096",
        'config.yml:5: storage.s3.secure: expected true or false, got "perhaps"',
    ]


def test_mistakes_have_their_variables() -> None:
    assert mistakes(driver("    bucket: a\n", CHUNKSIZE="4096")) == [
        "REGISTRY_STORAGE_S3_CHUNKSIZE: storage.s3.chunksize: expected at least 5242880, got 4096"
    ]


def test_secrets_are_not_quoted() -> None:
    assert mistakes(driver("    bucket: a\n    secretkey: [hunter2]\n")) == [
        "config.yml:5: storage.s3.secretkey: expected text, got a list"
    ]
    text = driver("    password: {a: hunter2}\n    path: hunter2\n    pasword: hunter2\n")
    assert mistakes(text, Strict) == [
        "config.yml:4: storage.s3.password: expected text, got a mapping",
        "config.yml:5: storage.s3.path: expected another value, got ********",
        "config.yml:6: storage.s3.pasword: is not a known key (did you mean password?)",
    ]


def test_unknown_keys_are_warnings_unless_the_plugin_refuses_them() -> None:
    options = driver("    bucket: a\n    bukcet: b\n    credentials: {typ: a}\n")
    assert validate_options(options, Options).bucket == "a"
    assert [str(warning) for warning in option_warnings(options, Options)] == [
        "config.yml:5: storage.s3.bukcet: is not a known key, and is ignored "
        "(did you mean bucket?)",
        "config.yml:6: storage.s3.credentials.typ: is not a known key, and is ignored "
        "(did you mean type?)",
    ]
    strict = driver("    password: a\n    pth: b\n")
    assert option_warnings(strict, Strict) == ()
    assert mistakes(strict, Strict) == [
        "config.yml:5: storage.s3.pth: is not a known key (did you mean path?)"
    ]


def test_underscores_in_variables() -> None:
    options = driver(
        "    bucket: a\n",
        MAX_RETRIES="7",
        RETRY_DELAY="1s",
        CREDENTIALS_TYPE="client_secret",
        CREDENTIALS_SECRET="x",
    )
    assert validate_options(options, Options) == Options(
        bucket="a",
        max_retries=7,
        retry_delay=1.0,
        credentials=Credentials("client_secret", SecretStr("x")),
    )
    assert mistakes(driver("    bucket: a\n", MAX_RETRIES="many")) == [
        "REGISTRY_STORAGE_S3_MAX_RETRIES: storage.s3.max_retries: expected a whole number, "
        'got "many"'
    ]
    (warning,) = option_warnings(driver("    bucket: a\n", MAX_RETIRES="7"), Options)
    assert warning.path == "storage.s3.max_retires"
    assert warning.hint == "did you mean max_retries?"


@dataclass(frozen=True)
class Rule:
    issuer: str
    names: tuple[str, ...] = ()
    max_age: int = 0


@dataclass(frozen=True)
class Rules:
    rules: tuple[Rule, ...] = ()


def test_indices_in_variables() -> None:
    environ = {"RULES_0_ISSUER": "a", "RULES_1_ISSUER": "b", "RULES_1_NAMES_0": "c"}
    expected = Rules((Rule("a"), Rule("b", ("c",), 5)))
    assert validate_options(driver("    {}\n", **environ, RULES_1_MAX_AGE="5"), Rules) == expected
    assert mistakes(driver("    {}\n", RULES_0_ISSUER="[a]"), Rules) == [
        "REGISTRY_STORAGE_S3_RULES_0_ISSUER: storage.s3.rules[0].issuer: expected text, got a list"
    ]
    assert mistakes(driver("    {}\n", RULES_1_ISSUER="a"), Rules) == [
        "REGISTRY_STORAGE_S3_RULES_1_ISSUER: storage.s3.rules: expected a list, got a mapping"
    ]


def test_made_in_python() -> None:
    options = PluginOptions("storage", "s3", {"bucket": "b", "retry_delay": 2, "secure": False})
    assert validate_options(options, Options) == Options("b", retry_delay=2.0, secure=False)
    assert mistakes(PluginOptions("storage", "s3", {"chunksize": 1})) == [
        "storage.s3.bucket: is required, and nothing is given",
        "storage.s3.chunksize: expected at least 5242880, got 1",
    ]


def test_neither_text_nor_repr_shows_values() -> None:
    options = driver("    bucket: a\n    secretkey: hunter2\n")
    assert "hunter2" not in f"{options} {options!r}"
    assert str(options) == "storage plugin s3(bucket=********, secretkey=********)"


def test_pickled_options_still_know_their_lines() -> None:
    options = pickle.loads(pickle.dumps(driver("    chunksize: 1\n    bucket: a\n")))
    assert mistakes(options) == [
        "config.yml:4: storage.s3.chunksize: expected at least 5242880, got 1"
    ]


def test_a_name_of_the_authors_own_without_a_value_is_a_mistake() -> None:
    """A condition that is begun and not finished must not be as good as none."""

    @dataclass(frozen=True)
    class Rule:
        claims: Mapping[str, str] = field(default_factory=dict)
        name: str = "default"

    options = driver("    claims:\n      owner: acme\n      branch:\n    name:\n")
    with pytest.raises(ConfigurationError) as caught:
        validate_options(options, Rule)
    [mistake] = caught.value.mistakes
    assert mistake.path == "storage.s3.claims.branch"
    assert mistake.line == 6
