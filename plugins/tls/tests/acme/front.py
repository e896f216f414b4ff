"""A server that gives an `Acme`'s answers to an authority, as the registry's own does, and no more.

`python front.py OPTIONS PORT [STEP]` is one in a process of its own. It ends when there is a
certificate for every host, or kills itself at a step: before or after a request to the authority,
or before or after a file gets its name.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import requests

from pyreg_tls.acme import Acme, LetsEncrypt


@asynccontextmanager
async def answering(acme: Acme, port: int) -> AsyncIterator[None]:
    """Answer on a port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    tasks: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setblocking(False)
            task = asyncio.create_task(_serve(acme, sock))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    accepting = asyncio.create_task(accept())
    try:
        yield
    finally:
        accepting.cancel()
        listener.close()
        await asyncio.gather(accepting, *tasks, return_exceptions=True)


async def _serve(acme: Acme, sock: socket.socket) -> None:
    hello = await _first_bytes(sock)
    context = await acme.hello_context(hello)
    if context is None and hello[:4] != b"GET ":
        sock.close()
        return
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context)
    if context is None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await acme.http_answer(head.split()[1].decode())
        status = b"404 Not Found" if body is None else b"200 OK"
        transport.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n" % (status, len(body or b"")))
        transport.write(b"Connection: close\r\n\r\n" + (body or b""))
    transport.close()


async def _first_bytes(sock: socket.socket) -> bytes:
    """Look at what came, and leave it where it is."""
    while True:
        try:
            return sock.recv(16_384, socket.MSG_PEEK)
        except BlockingIOError:
            await asyncio.sleep(0.005)


def die_at(step: int) -> None:
    """Arrange for this process to be killed at a step of what it is about to do."""
    steps = itertools.count(1)

    def around(owner: type[Any], name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            for done in (False, True):
                if next(steps) == step:
                    print(f"{name} {'after' if done else 'before'} {args[1:]}", flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
                if not done:
                    result = real(*args, **kwargs)
            return result

        setattr(owner, name, wrapped)

    around(requests.Session, "send")
    around(Path, "replace")


async def main(options: LetsEncrypt, port: int) -> None:
    acme = Acme(options)
    async with answering(acme, port):
        await acme.start()
        while await acme.health() is not None:
            await asyncio.sleep(0.02)
        await acme.stop()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        die_at(int(sys.argv[3]))
    asyncio.run(main(LetsEncrypt(**json.loads(sys.argv[1])), int(sys.argv[2])))
