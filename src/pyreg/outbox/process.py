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
    return {"machine": this_machine(), "pid": pid, "began": _began(pid)}


def has_ended(process: Any) -> bool:
    """Whether a process that named itself so is known to have ended; False if in doubt."""
    if not isinstance(process, dict) or not this_machine():
        return False
    pid, began = process.get("pid"), process.get("began")
    if process.get("machine") != this_machine() or not isinstance(pid, int) or not began:
        return False
    return _began(pid) != str(began)


def _began(pid: int) -> str:
    """When a process began, in the kernel's own count; "" if there is none, or it is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name, in parentheses, may have anything in it.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
