"""Keep one of the tests' servers running: `python -m tests.servers NAME DIRECTORY`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.servers.engines import containerd, dockerd
from tests.servers.process import Process
from tests.servers.registries import start_docker_registry, start_pyreg

NAMES = ("pyreg", "docker-registry", "dockerd", "containerd")


def main(name: str, directory: Path) -> None:
    """Start a server, print its address, and stop it at SIGINT or SIGTERM."""
    process: Process | None
    if name in ("dockerd", "containerd"):
        process = (dockerd if name == "dockerd" else containerd)(name, directory)
        process.start()
        where = f"unix://{directory}/{'docker.sock' if name == 'dockerd' else 's'}"
    else:
        registry = (
            start_pyreg(directory) if name == "pyreg" else start_docker_registry(name, directory)
        )
        process, where = registry.process, registry.address
    assert process is not None
    print(f"{name} (pid {process.pid}) answers at {where}; Ctrl-C stops it")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        process.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in NAMES:
        sys.exit(f"usage: python -m tests.servers {'|'.join(NAMES)} DIRECTORY")
    main(sys.argv[1], Path(sys.argv[2]).resolve())
