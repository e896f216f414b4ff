"""Whether a process of this machine has ended, so that nobody has to wait for its silence."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any


@cache
def this_machine() -> str:
    """Names the running kernel and the namespace of its process ids; "" where that is unknown.

    Two containers on one machine have process ids of their own, and know nothing of each
    other's.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def this_process() -> dict[str, Any]:
    """Names this process for others on its machine."""
    pid = os.getpid()
    status = _status(pid)
    return {"machine": this_machine(), "pid": pid, "began": status[1] if status else ""}


def has_ended(process: Any) -> bool:
    """Whether a process that named itself so is known to have ended; False if in doubt."""
    if not isinstance(process, dict) or not this_machine():
        return False
    pid, began = process.get("pid"), process.get("began")
    if process.get("machine") != this_machine() or not isinstance(pid, int) or not began:
        return False
    status = _status(pid)
    if not status:
        return not _exists(pid)
    state, since = status
    return state in "ZX" or since != str(began)


def _status(pid: int) -> tuple[str, str] | tuple[()]:
    """A process's state and when it began; nothing if the kernel does not show it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ()
    # The name, in parentheses, may have anything in it.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]


def _exists(pid: int) -> bool:
    """Whether there is such a process, maybe of another user, to whom /proc may be closed."""
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
