"""An ASGI application that does as its path says; the servers of these tests run it."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from typing import Any

PIECE = b"0123456789abcdef" * 65536
"""1 MiB."""


class Application:
    """Answers; `configure_server` turns on TLS where the log's fields name a certificate."""

    def __init__(self, fields: Any) -> None:
        self._fields = fields

    def configure_server(self, config: Any) -> None:
        """As a plugin may."""
        if "certificate" in self._fields:
            config.certfile = self._fields["certificate"]
            config.keyfile = self._fields["key"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        name, _, argument = scope["path"].strip("/").partition("/")
        if name == "file":
            await self._do_file(argument, scope, send)
            return
        await getattr(self, f"_do_{name}")(argument, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        if "refuse" in self._fields:
            await send({"type": "lifespan.startup.failed", "message": self._fields["refuse"]})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("stopped in order", flush=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _do_pid(self, _: str, receive: Any, send: Any) -> None:
        await answer(send, 200, f"{os.getpid()}".encode())

    async def _do_count(self, _: str, receive: Any, send: Any) -> None:
        count = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                print(f"gone after {count}", flush=True)
                return
            count += len(message["body"])
            if not message["more_body"]:
                break
        await answer(send, 201, f"{count}".encode())

    async def _do_field(self, name: str, receive: Any, send: Any) -> None:
        await answer(send, 200, str(self._fields.get(name, "")).encode())

    async def _do_work(self, seconds: str, receive: Any, send: Any) -> None:
        await asyncio.sleep(float(seconds))
        await answer(send, 200, b"done")

    async def _do_leisure(self, seconds: str, receive: Any, send: Any) -> None:
        """Take the body slowly, whoever waits."""
        more = True
        while more:
            await asyncio.sleep(float(seconds))
            more = (await receive())["more_body"]
        await answer(send, 201, b"done")

    async def _do_refuse(self, _: str, receive: Any, send: Any) -> None:
        """Answer without having read the body."""
        await answer(send, 413, b"too large")

    async def _do_big(self, mebibytes: str, receive: Any, send: Any) -> None:
        count = int(mebibytes)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(count * len(PIECE)).encode())],
            }
        )
        try:
            for index in range(count):
                body = {"type": "http.response.body", "body": PIECE, "more_body": index < count - 1}
                await send(body)
        except OSError as error:
            print(f"stopped sending: {error}", flush=True)
            raise

    async def _do_part(self, target: str, receive: Any, send: Any) -> None:
        """`/part/START-STOP-ANNOUNCED/PATH`: a part of a file, sent by the kernel."""
        numbers, _, path = target.partition("/")
        start, stop, announced = map(int, numbers.split("-"))
        headers = [(b"content-length", str(announced).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with open(f"/{path}", "rb") as file:
            part = {"file": file.fileno(), "offset": start, "count": stop - start}
            try:
                await send({"type": "http.response.zerocopysend", **part, "more_body": True})
            except OSError as error:
                print(f"stopped sending: {error}", flush=True)
                raise
        await send({"type": "http.response.body", "body": b""})

    async def _do_file(self, mebibytes: str, scope: Any, send: Any) -> None:
        count = int(mebibytes) * len(PIECE)
        assert "http.response.zerocopysend" in scope["extensions"]
        head = [(b"content-length", str(count).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        with tempfile.TemporaryFile() as file:
            file.write(PIECE * (count // len(PIECE)))
            file.flush()
            body = {"file": file.fileno(), "offset": 0, "count": count}
            try:
                await send({"type": "http.response.zerocopysend", **body})
            except OSError as error:
                print(f"stopped sending: {error}", flush=True)
                raise
        await send({"type": "http.response.body", "body": b""})

    async def _do_late(self, seconds: str, receive: Any, send: Any) -> None:
        """Send the head, and the body long after it."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(float(seconds))
        await send({"type": "http.response.body", "body": b"late"})

    async def _do_fail(self, _: str, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug\nwith a second line")

    async def _do_crash(self, _: str, receive: Any, send: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def answer(send: Any, status: int, body: bytes) -> None:
    """Send a whole response."""
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def make(configuration: Any) -> Application:
    """The factory; `log.fields` tells the application how to behave."""
    fields = configuration.log.fields
    if "die" in fields:
        os._exit(3)
    if "raise" in fields:
        raise RuntimeError(fields["raise"])
    return Application(fields)
