"""Whole files, as people have them."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from pyreg.config import load
from pyreg.config.loading import load_tree, parse
from pyreg.config.schema import json_schema
from pyreg.config.show import show

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.yml"))
SECRETS = (
    "hunter2",
    "bWU6aHVudGVyMg==",
    "mail-secret",
    "s3cr3t",
    "AKIAEXAMPLE",
    "cluster-secret",
    "ci:token",
    "hook-secret",
    "ci-secret",
    "redis-secret",
    "YmFzZTY0",
    "azure-secret",
    "0123456",
    "bugsnag-secret",
    "newrelic-secret",
    "gcs-secret",
    "all replicas share",
)


def test_there_are_enough() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_is_accepted(path: Path) -> None:
    configuration = load(path, {})
    for warning in configuration.warnings:
        assert warning.source == str(path)
        assert warning.line is not None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_shows_no_secret(path: Path) -> None:
    text = show(load_tree(path, {}))
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_shown_configures_the_same(path: Path) -> None:
    loaded = load_tree(path, {})
    again = parse(show(loaded), {})
    before, after = loaded.configuration, again.configuration
    assert after.log.model_dump(exclude={"hooks"}) == before.log.model_dump(exclude={"hooks"})
    for name in ("catalog", "tags", "referrers", "validation"):
        assert getattr(after, name) == getattr(before, name)
    hidden = {"secret"}
    assert after.http.model_dump(exclude=hidden) == before.http.model_dump(exclude=hidden)
    assert after.storage.model_dump() == before.storage.model_dump()
    assert after.storage.driver.name == before.storage.driver.name
    assert set(after.storage.driver.values) == set(before.storage.driver.values)
    for field in ("auth", "sections", "extensions"):
        assert [(each.name, each.path) for each in getattr(after, field)] == [
            (each.name, each.path) for each in getattr(before, field)
        ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_satisfies_the_schema_for_editors(path: Path) -> None:
    data = YAML(typ="safe", pure=True).load(path.read_text())
    errors = jsonschema_rs.Draft202012Validator(json_schema()).iter_errors(data)
    # The schema is stricter than the registry on purpose, in exactly these.
    lenient = ("x-timing", 'is not of type "boolean"', "is not one of", "123456")
    assert [e.message for e in errors if not any(word in e.message for word in lenient)] == []


def test_the_proxied_one_in_detail() -> None:
    configuration = load(next(p for p in EXAMPLES if p.stem == "behind-a-proxy"), {})
    http = configuration.http
    assert http.host_and_port == ("127.0.0.1", 5000)
    assert http.host == "https://registry.example.com"
    assert http.prefix == "/images/"
    assert http.draintimeout == 90
    assert http.workers == 4
    assert [str(network) for network in http.trustedproxies] == [
        "127.0.0.1/32",
        "10.20.0.0/16",
        "fd00::/8",
    ]
    assert http.headers["X-Content-Type-Options"] == ("nosniff",)
    assert configuration.log.fields == {
        "service": "registry",
        "environment": "staging",
        "shard": 7,
    }
    assert configuration.storage.cache.memory == 128 * 1024 * 1024
    assert configuration.storage.maintenance.uploadpurging.age == 72 * 3600
    assert configuration.storage.driver.values == {
        "rootdirectory": "/srv/registry",
        "maxthreads": 64,
    }
    assert [(each.name, each.essential) for each in configuration.sections] == [
        ("telemetry", False),
        ("health", False),
    ]
    assert configuration.warnings == ()


def test_the_cluster_needs_its_plugins() -> None:
    configuration = load(next(p for p in EXAMPLES if p.stem == "cluster-on-s3"), {})
    assert [each.name for each in configuration.auth] == ["token"]
    wanted = {each.path: (each.kind, each.name, each.essential) for each in configuration.sections}
    assert wanted == {
        "http.tls": ("extension", "tls", True),
        "middleware.storage[0].options": ("extension", "cloudfront", True),
        "notifications.endpoints[0]": ("events", "webhook", True),
    }


def test_the_old_one_is_warned_of_what_has_no_effect() -> None:
    configuration = load(next(p for p in EXAMPLES if p.stem == "mirror"), {})
    assert configuration.log.level == "error"
    assert [warning.path for warning in configuration.warnings] == [
        "loglevel",
        "reporting",
        "compatibility",
        "redis",
    ]
    assert configuration.proxy.password.get_secret_value() == "0123456"


def test_the_short_one_merges() -> None:
    configuration = load(next(p for p in EXAMPLES if p.stem == "one-word"), {})
    assert configuration.storage.driver.name == "inmemory"
    assert configuration.auth == ()
    assert configuration.health.storagedriver.enabled
    assert configuration.health.storagedriver.interval == 30
    assert configuration.health.tcp[0].interval == 5
    assert configuration.health.tcp[0].threshold == 2
    assert [warning.path for warning in configuration.warnings] == ["x-timing"]
