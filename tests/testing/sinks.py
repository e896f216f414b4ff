"""A small sink that is right, for the suite to pass and for tests to break, and its endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pyreg.hooks import DeliveryFailed, Event, EventSink
from pyreg.testing import Endpoint, Received
from tests.servers.process import free_port

PASSWORD = "open sesame"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Letterbox(Endpoint):
    """A TCP server: each letter is a line of JSON with a list of events, and is answered."""

    secrets = (PASSWORD,)

    def __init__(self, kind: type[LetterSink] | None = None) -> None:
        self.kind = kind or LetterSink
        self.port = free_port()
        self._events: list[dict[str, Any]] = []
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.StreamWriter] = set()

    def sink(self) -> EventSink:
        return self.kind(self.port, PASSWORD)

    async def received(self) -> list[Received]:
        return [
            Received(
                id=event["id"],
                action=event["action"],
                kind=event["kind"],
                repository=event["repository"],
                digest=event["target"]["digest"],
                tag=event["tag"],
                actor=event["actor"],
            )
            for event in self._events
        ]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**24)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for caller in self._callers:
            caller.transport.abort()
        await self._server.wait_closed()
        while self._callers:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.add(writer)
        try:
            while line := await reader.readline():
                letter = json.loads(line)
                if letter["password"] != PASSWORD:
                    writer.write(b"who are you?\n")
                    continue
                self._events += letter["events"]
                writer.write(b"thanks\n")
                await writer.drain()
        except (ConnectionError, json.JSONDecodeError):
            pass  # the caller is gone, maybe within a line
        finally:
            self._callers.discard(writer)
            writer.close()


class LetterSink(EventSink):
    """Sends letters by one connection, one after the other."""

    name = "letters"
    batch = 20

    def __init__(self, port: int, password: str) -> None:
        self.port = port
        self.password = password
        self.connection: Connection | None = None

    async def open(self) -> None:
        self.turn = asyncio.Lock()

    async def close(self) -> None:
        if self.connection is not None:
            (_, writer), self.connection = self.connection, None
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])

    async def deliver(self, events: Sequence[Event]) -> None:
        async with self.turn:
            try:
                await self.send(self.letter(events))
            except BaseException:
                self.hang_up()
                raise

    def letter(self, events: Sequence[Event]) -> bytes:
        document = {"password": self.password, "events": [asdict(event) for event in events]}
        return json.dumps(document).encode() + b"\n"

    async def send(self, line: bytes) -> None:
        reader, writer = await self.connect()
        writer.write(line)
        await writer.drain()
        answer = await reader.readline()
        if answer != b"thanks\n":
            raise DeliveryFailed(f"the letterbox answered {answer!r}")

    async def connect(self) -> Connection:
        if self.connection is None:
            self.connection = await asyncio.open_connection("127.0.0.1", self.port)
        return self.connection

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection[1].transport.abort()
            self.connection = None
