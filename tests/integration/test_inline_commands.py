"""Commands of an inline pipeline: run in the caller, by what the slots run them with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from penstock import Pipeline, errors
from support.stations import LIMIT, until

SLEEP = "sleep 60 & echo begun; wait"


def living(group: int) -> list[psutil.Process]:
    """Processes of a group that have not ended; whether somebody has asked how they did is not theirs."""
    return [
        process
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and group_of(process) == group
    ]


def group_of(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def test_one_over_its_time_limit_is_ended_with_what_it_started() -> None:
    """Its outcome is timed_out as everywhere, with what it wrote, and it is not tried again."""
    with Pipeline("inline") as pipeline:
        batch = pipeline.batch(["sh", "-c", f"echo $$; {SLEEP}"], [1], time_limit=0.5, retries=3)
        (outcome,) = batch.outcomes()
        assert (outcome.state, outcome.attempts) == ("timed_out", 1)
        assert isinstance(outcome.error, errors.JobTimedOut)
        group, begun = outcome.stdout.split()
        assert begun == b"begun"
        until(lambda: not living(int(group)))
        assert batch.status().timed_out == batch.status().finished == 1


def test_it_knows_which_job_it_is() -> None:
    """PENSTOCK_JOB_ID and the rest, and the attempt counts."""
    words = "echo $PENSTOCK_JOB_ID $PENSTOCK_INDEX $PENSTOCK_ATTEMPT $PENSTOCK_SLOT; exit 1"
    with Pipeline("inline") as pipeline:
        batch = pipeline.batch(["sh", "-c", words], [1, 2], retries=1)
        assert [one.stdout for one in batch.outcomes()] == [
            b"%s:%d %d 2 0\n" % (batch.id.encode(), n, n) for n in (0, 1)
        ]


def test_how_it_ended_is_told_as_by_a_worker() -> None:
    """A signal has its name, a missing program the exit code of a shell; what it reads is at its end."""
    with Pipeline("inline") as pipeline:
        (killed,) = pipeline.batch(["sh", "-c", "kill -9 $$"], [1]).outcomes()
        (missing,) = pipeline.batch(["/nowhere/x"], [1]).outcomes()
        assert (killed.returncode, killed.cause) == (-9, "killed by SIGKILL")
        assert (missing.returncode, missing.cause) == (127, "cannot start '/nowhere/x': No such file or directory")
        assert pipeline.command(["cat"]).result().stdout == b""


def test_the_callers_folder_is_another_one_only_while_one_starts(tmp_path: Path) -> None:
    """While it runs elsewhere, other threads of the caller are where they were."""
    here, there = os.getcwd(), tmp_path / "pipe"
    os.mkfifo(there)
    with Pipeline("inline") as pipeline:
        done: list[bytes] = []
        command = ["sh", "-c", "cat pipe; pwd"]
        run = threading.Thread(target=lambda: done.append(pipeline.command(command, cwd=tmp_path).result().stdout))
        run.start()
        with there.open("w"):  # it runs until this is closed
            until(lambda: os.getcwd() == here)
        run.join()
    assert done == [os.fsencode(tmp_path) + b"\n"]


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    """It has a process group of its own, which a terminal does not interrupt."""
    program = f"import penstock; penstock.Pipeline('inline').command(['sh', '-c', 'echo $$ > group; {SLEEP}'])"
    caller = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.DEVNULL)
    group = tmp_path / "group"
    until(lambda: group.exists() and group.read_text().endswith("\n"))
    caller.send_signal(signal.SIGINT)
    assert caller.wait(LIMIT) == -signal.SIGINT
    until(lambda: not living(int(group.read_text())))
