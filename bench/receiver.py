"""Takes webhooks as fast as it can, so that it is not what a figure measures.

    python -m bench.receiver PORT

Refuses with 503 until `POST /open`; `GET /count` answers with how many events it has taken, and
in how many seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Receiver:
    """What all connections share."""

    def __init__(self) -> None:
        self.open = False
        self.events = 0
        self.first = self.last = 0.0

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Answer one request."""
        if head.startswith(b"POST /open"):
            self.open = True
            self.events = 0
            return _TAKEN
        if head.startswith(b"GET /count"):
            said = json.dumps([self.events, self.last - self.first]).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
        if not self.open:
            return _REFUSED
        self.last = time.perf_counter()
        if not self.events:
            self.first = self.last
        # Each event has one, and nothing else that is sent here contains it.
        self.events += body.count(b'"timestamp"')
        return _TAKEN


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(self._data) < end + 4 + length:
                return
            body = self._data[end + 4 : end + 4 + length]
            self._data = self._data[end + 4 + length :]
            self._transport.write(self._receiver.answer(head, body))


async def main(port: int) -> None:
    """Serve for ever."""
    receiver = Receiver()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(receiver), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
