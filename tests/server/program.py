"""`python -m tests.server.program CONFIG [ADDRESS ...]`: a server with the test application."""

from __future__ import annotations

import os
import sys

from pyreg.config import load
from pyreg.server.process import StartError
from pyreg.server.sockets import BindError
from pyreg.server.supervisor import Supervisor, set_up_logs


def main(path: str, *bind: str) -> None:
    """Run it; `PYREG_TEST_LOOP=asyncio` leaves uvloop out."""
    if "PYREG_TEST_LISTEN" in os.environ:  # as systemd does: in the process that it starts
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
    configuration = load(path, {})
    set_up_logs(configuration)
    try:
        Supervisor(
            configuration,
            reload=lambda: load(path, {}),
            bind=bind,
            factory="tests.server.application:make",
            uvloop=os.environ.get("PYREG_TEST_LOOP") != "asyncio",
        ).run()
    except (StartError, BindError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
