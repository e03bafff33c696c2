"""What is read of a slot, from outside: of processes that this test is, or has started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import slot
from penstock.worker.slot_stacks import StackFile, of_user, processes

OURS = f"{Path(slot.__file__).parent}/process.py"
DUMP = f"""\
Thread 0x00007f01 (most recent call first):
  File "{OURS}", line 5 in pump
  File "/usr/lib/python3.11/threading.py", line 1002 in _bootstrap

Thread 0x00007f02 (most recent call first):
  File "{OURS}", line 9 in only_ours

Current thread 0x00007f03 (most recent call first):
  File "/home/a/job.py", line 3 in inner
  File "{OURS}", line 7 in called_back
  File "/home/a/job.py", line 1 in job
  File "{OURS}", line 99 in run
  File "{OURS}", line 2 in <module>
"""


def test_a_dump_ends_where_the_users_code_begins() -> None:
    """Frames of ours below it go, those between the user's stay, and threads that have nothing else go whole."""
    first, last = of_user(DUMP).split("\n\n")
    assert first.splitlines()[1:] == DUMP.splitlines()[1:3]
    assert last.splitlines()[1:] == DUMP.splitlines()[8:11]


def test_no_process_is_ended_by_the_question(tmp_path: Path) -> None:
    """One that has no such file, or no handler for the signal, is asked nothing; nor one that is gone."""
    script = "import os, sys; os.memfd_create('penstock-stack'); print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(OSError, match="taken the signal"):
            StackFile(process.pid)
        with pytest.raises(OSError, match="closed the file"):
            StackFile(os.getpid())
        process.communicate(b"")
        assert process.returncode == 0
    with pytest.raises(OSError, match="No such file"):
        StackFile(process.pid)


def test_a_tree_of_processes_is_told_by_its_command_lines() -> None:
    """Those below another one are behind it, and further in."""
    argv = [sys.executable, "-c", "import subprocess; subprocess.run(['cat'])", "x" * 1000]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        while len(lines := processes(process.pid, "(the slot)")) < 2 or ": cat" not in lines[1]:
            pass
        process.communicate()
    assert lines[0].startswith(f"{process.pid} ")
    assert lines[0].endswith(": (the slot)")
    assert lines[1].startswith("  ")
    assert processes(process.pid) == []
