"""A disk of our own: ext4 in a file, which can lose its power, fail, fill up, or be unplugged."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

from tests.fixtures.programs import absent, require_root

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32), the same for XFS
_NO_LOG_FLUSH = 2  # what has not reached the journal is lost, as when the power fails


class Disk:
    """A small filesystem.

    Args:
        directory: Where its file and its mount point are made.
        mebibytes: Its size.
        options: For `mkfs.ext4`.
    """

    def __init__(self, directory: Path, mebibytes: int, *options: str) -> None:
        require_root("mounting a disk")
        self.image = directory / "disk.img"
        self.path = directory / "disk"
        self.path.mkdir(parents=True)
        with self.image.open("wb") as file:
            file.truncate(mebibytes << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", *options, str(self.image))
        self.mount()

    def mount(self, *options: str) -> None:
        """Mount it; with a journal, what the journal holds is brought into order."""
        _mount("-o", ",".join(["loop", *options]), str(self.image), str(self.path))

    def unmount(self) -> None:
        """Unmount it; waits until nobody uses it."""
        unmount(self.path)

    def remount(self, option: str) -> None:
        """`ro` or `rw`."""
        _mount("-o", f"remount,{option}", str(self.path))

    def cut_power(self) -> None:
        """From now on nothing reaches the disk: everything fails with EIO until the next mount."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Take it away for good."""
        if os.path.ismount(self.path):
            self.unmount()
        self.image.unlink()


def unmount(path: Path, patience: float = 10.0) -> None:
    """Unmount a directory, as soon as nobody uses it."""
    deadline = time.monotonic() + patience
    while True:
        done = subprocess.run(["umount", str(path)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, f"{path} stays in use: {done.stderr}"
        time.sleep(0.02)


def fill(path: Path) -> Path:
    """Fill a filesystem to the last byte. Returns the file that does; removing it makes room."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    return ballast


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        absent(
            f"mount {' '.join(arguments)}: {done.stderr.strip()} - these tests mount disks of "
            "their own: run them as root, in a container with --privileged"
        )


def mount_tmpfs(path: Path, mebibytes: int) -> None:
    """Mount a filesystem in memory."""
    require_root("mounting a filesystem")
    path.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
