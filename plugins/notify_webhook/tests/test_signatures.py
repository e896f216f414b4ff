"""Signatures, verified by the library of the Standard Webhooks project."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from plugins.notify_webhook.tests.conftest import Opened
from plugins.notify_webhook.tests.receiver import Receiver, Request
from plugins.notify_webhook.tests.samples import PUSH, event, several
from pyreg.errors import PluginError
from pyreg_notify_webhook import Options, Signature, WebhookSink, watched
from pyreg_notify_webhook.signing import read_secrets, signature_headers
from tests.server.authorities import put

pytestmark = pytest.mark.anyio

FIRST = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND = base64.b64encode(bytes(range(64))).decode()
THIRD = f"whsec_{base64.b64encode(b'third' * 5).decode()}"


def verified(request: Request, secret: str) -> bool:
    """Whether a receiver with a secret believes a request."""
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_every_secret_signs(receiver: Receiver, opened: Opened) -> None:
    sink = await opened(receiver.url, signature={"secrets": [FIRST, SECOND]})
    await sink.deliver([PUSH])
    [request] = receiver.requests()
    assert request.headers["webhook-id"] == PUSH.id
    assert verified(request, FIRST)
    assert verified(request, SECOND)
    assert not verified(request, THIRD)
    assert len(request.headers["webhook-signature"].split()) == 2


async def test_without_a_secret_there_is_no_signature(receiver: Receiver, opened: Opened) -> None:
    await (await opened(receiver.url)).deliver([PUSH])
    [request] = receiver.requests()
    assert not [name for name in request.headers if name.startswith("webhook-")]


async def test_what_was_changed_on_the_way_is_not_believed(
    receiver: Receiver, opened: Opened
) -> None:
    await (await opened(receiver.url, signature={"secrets": [FIRST]})).deliver([PUSH])
    [request] = receiver.requests()
    for name, value in (
        ("webhook-id", "another"),
        ("webhook-timestamp", str(int(request.headers["webhook-timestamp"]) + 1)),
    ):
        changed = Request(**{**vars(request), "headers": {**request.headers, name: value}})
        assert not verified(changed, FIRST)
    assert not verified(Request(**{**vars(request), "body": request.body + " "}), FIRST)


async def test_an_id_stands_for_the_same_events(receiver: Receiver, opened: Opened) -> None:
    sink = await opened(receiver.url, signature={"secrets": [FIRST]})
    one, two, three = several(3)
    for batch in ([one], [one], [one, two], [one, two], [one, two, three]):
        await sink.deliver(batch)
    ids = [request.headers["webhook-id"] for request in receiver.requests()]
    assert ids[0] == ids[1] == one.id
    assert ids[2] == ids[3]
    assert len(set(ids)) == 3
    assert not any("." in each for each in ids)


async def test_secrets_are_changed_without_a_restart(
    receiver: Receiver, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.0)
    path = put(tmp_path / "secrets", f"# of the audit\n\n{FIRST}\n".encode())
    sink = await opened(receiver.url, signature={"secrets": [SECOND], "secretfile": str(path)})

    async def sent() -> Request:
        await sink.deliver([PUSH])
        return receiver.requests()[-1]

    assert verified(await sent(), FIRST)
    put(path, f"{THIRD}\n{FIRST}".encode())
    both = await sent()
    assert verified(both, FIRST)
    assert verified(both, THIRD)
    put(path, THIRD.encode())
    assert not verified(await sent(), FIRST)
    # Whatever happens to the file, what was good stays good.
    for broken in (b"", b"# nothing\n", b"no secret\n", os.urandom(100), b"x" * (2 << 20)):
        put(path, broken)
        assert verified(await sent(), THIRD)
    path.unlink()
    assert verified(await sent(), THIRD)
    put(path, FIRST.encode())
    request = await sent()
    assert verified(request, FIRST)
    assert not verified(request, THIRD)
    assert verified(request, SECOND)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*no such file"),
        (b"", "it has 0 secrets"),
        (FIRST.encode() + b"\nnope\n", "line 2: a secret is base64"),
        ("\n".join([FIRST] * 11).encode(), "it has 11 secrets"),
        (b"x" * (2 << 20), "is it the right file"),
    ],
    ids=["missing", "empty", "second", "many", "large"],
)
async def test_mistakes_at_the_start(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "secrets"
    if content is not None:
        path.write_bytes(content)
    options = Options(url="https://127.0.0.1:1", signature=Signature(secretfile=str(path)))
    with pytest.raises(PluginError, match=rf"signature\.secretfile: .*{message}") as caught:
        await WebhookSink(options).open()
    assert "nope" not in str(caught.value)


@given(st.binary(max_size=200), st.lists(st.binary(min_size=24, max_size=64), min_size=1))
def test_any_body_is_verified(body: bytes, secrets: list[bytes]) -> None:
    text = json.dumps(body.decode("latin-1"))
    now = time.time()
    headers = signature_headers(tuple(secrets), event().id, text.encode(), lambda: now)
    for secret in secrets:
        assert Webhook(base64.b64encode(secret).decode()).verify(text, headers) is not None


@given(st.binary(max_size=100))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    try:
        secrets = read_secrets(data)
    except ValueError:
        return
    assert all(24 <= len(secret) <= 64 for secret in secrets)
