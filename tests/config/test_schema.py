"""The JSON Schema for editors."""

from __future__ import annotations

import jsonschema_rs
import pytest

from pyreg.config.schema import DIALECT, json_schema

SCHEMA = json_schema()
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)
GOOD = {"version": 0.1, "storage": {"s3": {"bucket": "a"}}}


def test_is_a_schema() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert SCHEMA["$schema"] == DIALECT


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        {"version": "0.1", "storage": "inmemory", "auth": "htpasswd"},
        {**GOOD, "auth": {"token": {"realm": "r"}, "silly": None}},
        {**GOOD, "http": {"draintimeout": "1m", "idletimeout": 5, "maxmanifestsize": "1MiB"}},
        {**GOOD, "validation": {"manifests": {"indexes": {"platforms": "none"}}}},
        {**GOOD, "extensions": {"quota": {"limit": 3}}},
        {**GOOD, "notifications": {"endpoints": [{"type": "redis", "stream": "s", "tls": {}}]}},
        {**GOOD, "notifications": {"endpoints": [{"batch": 9, "maxage": "1h", "actions": []}]}},
    ],
)
def test_accepts(document: object) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 0.1},
        {"storage": "inmemory"},
        {**GOOD, "version": 0.2},
        {**GOOD, "htpp": {}},
        {**GOOD, "http": {"draintimeout": "1 m"}},
        {**GOOD, "http": {"workers": 0}},
        {**GOOD, "log": {"level": "loud"}},
        {"version": 0.1, "storage": {"s3": "bucket"}},
        {**GOOD, "driver": {}},
        {**GOOD, "sections": []},
        {**GOOD, "warnings": []},
        {**GOOD, "notifications": {"endpoints": [{"batch": 0}]}},
        {**GOOD, "notifications": {"endpoints": [{"actions": ["pusch"]}]}},
        {**GOOD, "notifications": {"endpoint": []}},
    ],
)
def test_refuses(document: object) -> None:
    assert not VALIDATOR.is_valid(document)


def test_describes_every_key() -> None:
    for name, section in [("", SCHEMA), *SCHEMA["$defs"].items()]:
        for key, schema in section["properties"].items():
            assert schema.get("description"), f"{name}.{key}"


def test_writes_defaults_as_files_do() -> None:
    http = SCHEMA["$defs"]["HTTP"]["properties"]
    assert http["draintimeout"]["default"] == "30s"
    assert http["maxmanifestsize"]["default"] == "4MiB"
    assert http["workers"]["default"] == 2
