"""Serve one of the applications: `python -m tests.embed SERVER APPLICATION PORT`."""

from __future__ import annotations

import asyncio
import signal
import sys

import hypercorn
import uvicorn
from hypercorn.asyncio import serve

from pyreg.hooks import ASGIApp
from tests.embed.hosts import APPLICATIONS


def main(server: str, application: str, port: int) -> None:
    """Serve until SIGTERM."""
    app = APPLICATIONS[application]()
    if server == "hypercorn":
        asyncio.run(_hypercorn(app, port))
    else:
        without = server == "uvicorn-without-lifespan"
        uvicorn.run(app, port=port, log_level="warning", lifespan="off" if without else "auto")


async def _hypercorn(app: ASGIApp, port: int) -> None:
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 5
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
