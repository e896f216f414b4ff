"""The plugin's options are those that the configuration's schema has."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pyreg.config.inherited import TLS
from pyreg.config.shape import all_keys, shape_of
from pyreg_tls import Options
from pyreg_tls.hsts import with_hsts
from pyreg_tls.options import HSTS


def test_the_schema_has_the_same_keys() -> None:
    ours, theirs = ({path for path, _, _ in all_keys(shape_of(model))} for model in (Options, TLS))
    assert ours == theirs


def test_the_defaults_are_the_same() -> None:
    made = Options(certificate="c", key="k")
    schema = TLS(certificate="c", key="k")
    for name in Options.model_fields:
        if name not in ("hsts", "letsencrypt"):
            assert getattr(made, name) == getattr(schema, name), name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("20m30s", 1230.0), ("500ms", 0.5), ("2000000000", 2.0)],
)
def test_durations(text: object, seconds: float) -> None:
    options = Options.model_validate({"certificate": "c", "key": "k", "handshaketimeout": text})
    assert options.handshaketimeout == seconds


@pytest.mark.parametrize("text", ["10", "ten", "-1s", "0s", "2h"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"certificate": "c", "key": "k", "handshaketimeout": text})


@pytest.mark.anyio
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_header_is_for_https_alone(scheme: str) -> None:
    sent = []

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200})  # type: ignore[operator]
        await send({"type": "http.response.body"})  # type: ignore[operator]

    async def send(message: object) -> None:
        sent.append(message)

    wrapped = with_hsts(app, HSTS(maxage=60.0))
    await wrapped({"type": "http", "scheme": scheme}, None, send)  # type: ignore[arg-type]
    headers = [(b"strict-transport-security", b"max-age=60")] if scheme == "https" else None
    assert sent[0].get("headers") == headers  # type: ignore[attr-defined]
    assert len(sent) == 2
