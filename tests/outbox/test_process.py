"""Whether a process has ended: only what is certain counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from pyreg.outbox.process import has_ended, this_machine, this_process
from tests.servers.process import until

PROGRAM = """
import json, sys
from pyreg.outbox.process import this_process
print(json.dumps(this_process()), flush=True)
sys.stdin.read()
"""


def test_a_process_has_ended_once_it_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        assert said["pid"] == child.pid
        assert not has_ended(said)
        os.kill(child.pid, signal.SIGKILL)
        # Also before anybody has waited for it.
        until(lambda: has_ended(said), seconds=10, what="the child to end")
    assert has_ended(said)


def test_what_is_not_certain_has_not_ended() -> None:
    own = this_process()
    assert this_machine()
    assert not has_ended(own)
    assert has_ended({**own, "began": "1"})  # the same id, given to another process since
    for doubtful in (
        None, "x", {}, {**own, "machine": "another", "began": "1"}, {**own, "pid": "x"},
        {**own, "began": ""}, {**own, "began": None},
    ):  # fmt: skip
        assert not has_ended(doubtful)


@pytest.mark.parametrize("pid", [0, -1, 2**40])
def test_ids_that_no_process_can_have(pid: int) -> None:
    assert has_ended({**this_process(), "pid": pid, "began": "5"})
