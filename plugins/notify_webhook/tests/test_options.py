"""What may be configured, and what mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pyreg_notify_webhook import Options, WebhookPlugin, WebhookSink

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example.com/events"


def valid(**options: Any) -> Options:
    """Options as a configuration has them."""
    return Options.model_validate({"url": URL, **options})


def mistakes(**options: Any) -> str:
    """What is wrong with options."""
    with pytest.raises(ValidationError) as caught:
        valid(**options)
    return "\n".join(each["msg"] for each in caught.value.errors())


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://hooks.example.com/events", "hooks.example.com"),
        ("https://HOOKS.example.com:443", "hooks.example.com"),
        ("http://ada:secret@127.0.0.1:8080/x?token=1", "127.0.0.1-8080"),
        ("http://[::1]:8080/", "1-8080"),
        ("https://grüße.example/", "xn-gre-6ka8l.example"),
    ],
)
def test_a_name_is_made_of_the_host(url: str, name: str) -> None:
    options = Options(url=url)
    assert WebhookSink(options).name == name
    assert WebhookSink(options.model_copy(update={"name": "mine"})).name == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com/events",
        "ftp://hooks.example.com",
        "file:///etc/passwd",
        "unix:///run/x.sock",
        "https://",
        "https:///path",
        "https://host:99999/",
        "https://host:port/",
        "https://ho st/",
        "https://host/\r\nX-Evil: 1",
        "https://host/ \t",
        "https://us%3Aer:password@host/",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    assert mistakes(url=url)
    if url:
        assert mistakes(proxy=url)


@pytest.mark.parametrize(
    "name",
    [
        "Bad Name", "X:Y", "X\r\nEvil", "", "Ünicode", "Content-Length", "transfer-encoding",
        "Host", "Content-Type", "Pyreg-Delivery", "webhook-signature", "CE-id",
    ],
)  # fmt: skip
def test_headers_that_are_refused(name: str) -> None:
    assert mistakes(headers={name: ["x"]})


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "\x7f"])
def test_a_value_cannot_begin_another_header(value: str) -> None:
    text = mistakes(headers={"X-Token": [value]})
    assert "X-Token has a control character" in text
    assert value not in text


def test_a_value_is_a_list_as_in_the_docker_registry() -> None:
    assert mistakes(headers={"X-Token": "text"})
    headers = valid(headers={"X-Token": ["a", "b"], "x-empty": []}).headers
    assert [value.get_secret_value() for value in headers["X-Token"]] == ["a", "b"]


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "no base64!", "c2hvcnQ=", "whsec_" + "QUFB" * 22, "SGk" * 40 + "="]
)
def test_secrets_that_are_none(secret: str) -> None:
    text = mistakes(signature={"secrets": [secret]})
    assert "openssl rand -base64 32" in text
    assert secret in ("", "whsec_") or secret not in text


def test_what_does_not_fit_together() -> None:
    assert "one of them is missing" in mistakes(tls={"certificate": "a.pem"})
    assert "https://" in mistakes(url="http://host/", tls={"servername": "x"})
    assert "keep one" in mistakes(url="https://a:b@host/", headers={"authorization": ["Bearer x"]})
    assert "cloudevents" in mistakes(mode="binary")
    assert "at most 10" in mistakes(signature={"secrets": [SECRET] * 11})
    assert "in one list" in mistakes(headers={"X-Token": ["a"], "x-token": ["b"]})
    assert mistakes(format="json")
    assert mistakes(envelope="v3")


@pytest.mark.parametrize("name", ["a\nb", " a", "a" * 201, "a\x1b[31m"])
def test_names_that_would_spoil_the_log(name: str) -> None:
    assert mistakes(name=name)


def test_options_do_not_show_secrets() -> None:
    options = valid(
        url="https://ada:pass-word@host/?token=query-secret",
        headers={"X-Token": ["header-secret"]},
        signature={"secrets": [SECRET]},
        proxy="http://bea:proxy-secret@proxy:3128",
    )
    for shown in (repr(options), str(options), repr(options.address), str(options.address)):
        for secret in ("pass-word", "query-secret", "header-secret", SECRET, "proxy-secret"):
            assert secret not in shown


def test_the_plugin_is_what_the_configuration_names() -> None:
    from importlib.metadata import entry_points

    [point] = entry_points(group="pyreg.events", name="webhook")
    assert point.load() is WebhookPlugin
    assert WebhookPlugin.Options is Options


def test_files_are_not_looked_at_before_the_start(tmp_path: Path) -> None:
    WebhookPlugin(valid(signature={"secretfile": str(tmp_path / "missing")}))
