"""Container engines that touch nothing of the machine's own: no bridge, no iptables, no mounts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.servers.process import Process, answers


def dockerd(program: str, directory: Path) -> Process:
    """A Docker engine, listening on `directory/docker.sock`.

    Args:
        program: The path of `dockerd`; it must run as root.
        directory: Short: a unix socket's path has at most 107 bytes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings = directory / "daemon.json"
    settings.write_text(
        json.dumps(
            {
                "data-root": str(directory / "root"),
                "exec-root": str(directory / "exec"),
                "pidfile": str(directory / "docker.pid"),
                "hosts": [f"unix://{directory / 'docker.sock'}"],
                "storage-driver": "vfs",
                "iptables": False,
                "ip6tables": False,
                "bridge": "none",
            }
        )
    )
    return Process(
        "dockerd",
        [program, "--config-file", str(settings)],
        directory,
        ready=lambda: answers("http://docker/_ping", socket_path=directory / "docker.sock"),
        patience=60.0,
    )


def unmount_below(directory: Path) -> None:
    """Undo the mounts that an engine left; dockerd may have mounted its data on itself."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(mounts):
        point = Path(line.split()[4])
        if point.is_relative_to(directory):
            subprocess.run(["umount", str(point)], check=True)


_CONTAINERD = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = "{directory}/s"
[ttrpc]
address = "{directory}/t"
"""


def containerd(program: str, directory: Path) -> Process:
    """A containerd with the native snapshotter, listening on `directory/s`; as `dockerd`."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = directory / "config.toml"
    settings.write_text(_CONTAINERD.format(directory=directory))
    return Process(
        "containerd",
        [program, "--config", str(settings), "--log-level", "warn"],
        directory,
        # It binds its socket only when every service is registered.
        ready=(directory / "s").is_socket,
    )
