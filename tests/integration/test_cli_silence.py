"""Who waits is told why nothing comes, and can leave."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from support.stations import LIMIT, Stations, until

PENSTOCK = [sys.executable, "-m", "penstock"]


class Heard:
    """A command whose stderr is read as it comes."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*PENSTOCK, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self) -> None:
        """Until it ends."""
        assert self.process.stderr is not None
        with self.process.stderr as said:
            self.lines += said

    def says(self, text: str) -> str:
        """Wait for a line with this in it."""
        return until(lambda: next((line for line in self.lines if text in line), ""), what=f"{text}: {self.lines}")

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(LIMIT)
        self.thread.join()
        return code


@pytest.fixture
def alone(stations: Stations) -> Stations:
    """A pipeline without a worker."""
    stations.start("ventilator", "sink")
    return stations


@pytest.mark.parametrize("words", [["run"], ["submit", "--wait"]])
def test_no_worker_is_said_with_how_to_start_one(folder: Path, alone: Stations, words: list[str]) -> None:
    """With the number of jobs that wait for it; Ctrl-C ends the waiting."""
    command = Heard(folder, *words, "--url", alone.url, "echo", ":::", "a", "b")
    line = command.says("no worker is connected")
    assert "2 jobs wait for one" in line
    assert f"penstock worker --connect {alone.url}" in line
    assert command.interrupt() == 130
    assert command.lines[-1].startswith("penstock: 0 succeeded, 2 left")


def test_who_follows_a_batch_is_told_too(folder: Path, alone: Stations) -> None:
    """That nobody fits, and no more than once; `submit` says it at once."""
    submitted = subprocess.run(
        [*PENSTOCK, "submit", "--url", alone.url, "--needs", "gpu", "echo", ":::", "a"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    reason = "no worker with the tag gpu is connected"
    assert reason in submitted.stderr
    follower = Heard(folder, "results", "--url", alone.url, "--follow", submitted.stdout.strip())
    follower.says(reason)
    command = Heard(folder, "run", "--url", alone.url, "--needs", "gpu", "echo", ":::", "a")
    command.says(reason)
    assert follower.interrupt() == command.interrupt() == 130
    assert sum(reason in line for line in follower.lines) == sum(reason in line for line in command.lines) == 1


def test_a_ventilator_that_answers_nothing_is_said_and_left(folder: Path, alone: Stations) -> None:
    """It is stopped, as one whose disk is full: its connection lives for a while. Ctrl-C ends it all the same."""
    command = Heard(folder, "run", "--url", alone.url, "echo", ":::", "a")
    command.says("no worker is connected")
    ventilator = psutil.Process(alone.processes["ventilator"].pid)
    ventilator.suspend()
    try:
        command.says("answer")
        assert command.interrupt() in {3, 130}
    finally:
        ventilator.resume()
    assert not any("Traceback" in line for line in command.lines)
