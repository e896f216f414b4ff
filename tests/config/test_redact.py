"""Secrets never show, wherever they stand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, field_validator
from pydantic.dataclasses import dataclass as checked

from pyreg.config import option_warnings, validate_options
from pyreg.config.loading import parse
from pyreg.config.redact import MASK, looks_secret, mask_text
from pyreg.config.show import show
from pyreg.errors import ConfigurationError

SECRET_NAMES = [
    "password", "passwd", "secret", "secretkey", "secret_key", "accesskey", "accesskeyid",
    "accesskeysecret", "accountkey", "token", "authToken", "apikey", "licensekey", "private_key",
    "privatekey", "key", "connectionstring", "Authorization", "Cookie", "tempurlcontainerkey",
    "sentinelpassword", "credentials", "x-auth-token", "passphrase", "client-secret",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["bucket", "region", "rootdirectory", "realm", "path", "keyid", "keyfile", "username", "author",
     "passthrough", "monkeys", "issuer", "service", "url", "pinned", "keypairid",
     "secretfile", "password_file", "tokenFile"],
)  # fmt: skip
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/path", f"https://{MASK}@host/path"),
        ("redis://:p@a@host", f"redis://{MASK}@host"),
        ("https://host/?a=1&token=abc#f", f"https://host/?a=1&token={MASK}#f"),
        ("https://host/?sig=a%2Fb;x=1", f"https://host/?sig={MASK};x=1"),
        ("https://host/a@b", "https://host/a@b"),
        ("me@example.com", "me@example.com"),
        ("two https://a:b@c and http://d:e@f", f"two https://{MASK}@c and http://{MASK}@f"),
    ],
)
def test_credentials_in_urls(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@checked
class Plugin:
    """A plugin whose own checks quote what they refuse."""

    secret: SecretStr = SecretStr("")
    password: str = ""
    number: int = 0
    nested: dict[str, str] = field(default_factory=dict)
    other: str = ""

    @field_validator("secret", "password", "other")
    @classmethod
    def _refuses(cls, value: str | SecretStr) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        raise ValueError(f"expected anything but {text}")


@dataclass
class Quiet:
    """A plugin that takes everything."""

    number: int = 0


# Long enough not to be part of what is printed anyway.
secrets = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="\x85\ufeff"),
    min_size=1, max_size=20,
).map(lambda text: f"zq{text}qz").filter(lambda text: text.isprintable())  # fmt: skip


def places(secret: str) -> dict[str, str]:
    """A configuration for each place where a secret may stand, and for each way to get it wrong."""
    text = json.dumps(secret, ensure_ascii=False)
    storage = "version: 0.1\nstorage: inmemory\n"
    found = {
        "http.secret": f"{storage}http: {{secret: {text}}}",
        "in a list": f"{storage}http: {{secret: [{text}]}}",
        "in a mapping": f"{storage}http: {{secret: {{a: {text}}}}}",
        "proxy": f"{storage}proxy: {{remoteurl: https://a, password: {text}}}",
        "redis": f"{storage}redis: {{password: {text}, sentinelpassword: [{text}]}}",
        "mail": f"{storage}log: {{hooks: [{{options: {{smtp: {{password: {text}}}}}}}]}}",
        "bugsnag": f"{storage}reporting: {{bugsnag: {{apikey: {text}, releasestage: []}}}}",
        "fields": f"{storage}log: {{level: x, fields: {{apitoken: {text}}}}}",
        "headers": f"{storage}health: {{http: [{{headers: {{Authorization: [{text}]}}}}]}}",
        "a header": f"{storage}health: {{http: [{{headers: {{Authorization: {text}}}}}]}}",
        "endpoint": f"{storage}notifications: {{endpoints: [{{headers: {{X-Token: [{text}]}}}}]}}",
        "endpoint url": f"{storage}notifications: {{endpoints: [{{url: 'http://u:SECRET@h/'}}]}}",
        "refused url": f"{storage}http: {{host: 'ftp://u:SECRET@h/'}}",
        "middleware": f"{storage}middleware: {{storage: [{{name: a, options: {{key: {text}}}}}]}}",
    }
    for name in SECRET_NAMES:
        found[f"storage {name}"] = f"version: 0.1\nstorage: {{s3: {{{name}: {text}, number: x}}}}"
        found[f"auth {name}"] = f"{storage}auth: {{token: {{deep: {{{name}: {text}}}}}}}"
    found["a list below"] = (
        f"version: 0.1\nstorage: {{s3: {{tokens: [{{a: {text}}}], secret: [{text}]}}}}"
    )
    found["the same in public"] = (
        f"version: 0.1\nstorage: {{s3: {{secret: {text}, other: {text}, number: {text}}}}}"
    )
    url_safe = "".join(c for c in secret if c.isascii() and c.isalnum())
    return {place: text.replace("SECRET", url_safe) for place, text in found.items()}


@settings(deadline=None, max_examples=15)
@given(secrets)
def test_no_secret_in_what_is_shown_or_said(secret: str) -> None:
    hidden = {secret, "".join(c for c in secret if c.isascii() and c.isalnum())}
    quoted = {json.dumps(text)[1:-1] for text in hidden}
    for place, text in places(secret).items():
        said = []
        try:
            loaded = parse(text, {})
        except ConfigurationError as error:
            said.append(str(error))
        else:
            configuration = loaded.configuration
            if place != "the same in public":
                said.append(show(loaded))
            said += [str(warning) for warning in configuration.warnings]
            plugins = (configuration.storage.driver, *configuration.auth, *configuration.sections)
            for options in plugins:
                said += [str(options), repr(options)]
                said += [str(warning) for warning in option_warnings(options, Quiet)]
                for expected in (Plugin, Quiet):
                    try:
                        validate_options(options, expected)
                    except ConfigurationError as error:
                        said.append(str(error))
            said.append(repr(configuration.http.secret))
        output = "\n".join(said)
        assert not [each for each in hidden | quoted if each in output], place


@settings(deadline=None)
@given(secrets)
def test_no_secret_of_a_variable_is_said(secret: str) -> None:
    for name in ("HTTP_SECRET", "STORAGE_S3_SECRETKEY", "AUTH_TOKEN_PASSWORD", "LOG_FIELDS_TOKEN"):
        environ = {f"REGISTRY_{name}": secret, "REGISTRY_STORAGE": "s3"}
        text = "version: 0.1\nstorage: inmemory"
        said = ""
        try:
            loaded = parse(text, environ)
            said = show(loaded) + "".join(map(str, loaded.configuration.warnings))
        except ConfigurationError as error:
            said = str(error)
        assert secret not in said
