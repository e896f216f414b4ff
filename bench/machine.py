"""What the machine is, how busy it is, and how much memory processes have taken."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

QUIET = 0.15
"""The part of all cores that others may use while we measure."""


def describe() -> dict[str, str | int | float]:
    """For the record: a figure means nothing without its machine."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def _ticks() -> tuple[int, int]:
    fields = [int(item) for item in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def busy(seconds: float = 0.3) -> float:
    """The part of all cores that was in use during the next moments, 0 to 1."""
    total, idle = _ticks()
    time.sleep(seconds)
    total_after, idle_after = _ticks()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def wait_until_quiet(patience: float) -> float:
    """Wait for others to finish, for so many seconds at most. Returns how busy it still is."""
    deadline = time.monotonic() + patience
    while (now := busy()) > QUIET and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found


def peak_memory(pid: int) -> list[int]:
    """The most bytes of memory that each process of a family has ever held, largest first.

    The kernel keeps this mark (`VmHWM`) itself, so that no peak falls between two samples.
    """
    peaks = []
    for member in family(pid):
        for line in Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                peaks.append(int(line.split()[1]) << 10)
    return sorted(peaks, reverse=True)
