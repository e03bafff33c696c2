"""The scripts: help, refusals, starting, adding, stopping, each with a true exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from penstock import Pipeline
from support.stations import LIMIT, until

TOP = Path(__file__).parents[2]
SCRIPTS = TOP / "scripts"
OWN_HELP = (
    "coverage",
    "demo",
    "man-page",
    "reference",
    "other-python",
    "release",
    "start-fleet",
    "start-sink",
    "start-ventilator",
    "start-workers",
    "stop",
    "test",
)
PROGRAMS = ("bench", "chaos", "fuzz", "kills", "month", "scale", "soak")
"""Of these the help is that of the Python program behind them."""

Done = subprocess.CompletedProcess[str]
Script = Callable[..., Done]


@pytest.fixture
def run_folder(folder: Path) -> Path:
    """Where logs and pid files go."""
    return folder / "run"


@pytest.fixture
def script(folder: Path, run_folder: Path, url: str) -> Iterator[Script]:
    """Runs a script with a folder, a pipeline and (as it was installed already) a venv of its own."""
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "penstock", "pytest"):
        program = venv / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {Path(sys.executable).parent / name} "$@"\n')
        program.chmod(0o755)
    stamp = subprocess.check_output(["bash", "-c", f"source {SCRIPTS}/env.sh; stamp"], text=True)
    (venv / "installed").write_text(f"{stamp}dev\n")
    environment = {
        "PENSTOCK_VENV": str(venv),
        "PENSTOCK_RUN": str(run_folder),
        "PENSTOCK_DATA": str(folder / "data"),
        "PENSTOCK_URL": url,
    }

    def run(name: str, *words: str, **more: str) -> Done:
        argv = [str(SCRIPTS / name), *words]
        return subprocess.run(
            argv,
            env=os.environ | environment | more,
            capture_output=True,
            text=True,
            timeout=4 * LIMIT,
            check=False,
            cwd=folder,
        )

    yield run
    run("stop", PENSTOCK_STOP_TIME="1")


def pid_of(run_folder: Path, name: str) -> int:
    """By its pid file."""
    return int((run_folder / f"{name}.pid").read_text().split()[0])


@pytest.mark.parametrize("name", OWN_HELP)
def test_help_is_said_and_nothing_is_started(name: str, script: Script, run_folder: Path) -> None:
    """Wherever --help stands; not even a folder is made."""
    for words in (["--help"], ["3", "-h"]):
        done = script(name, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: scripts/{name}")
        assert "Exit codes: 0 " in done.stdout
    assert not run_folder.exists()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_say_their_help_and_refuse(name: str, script: Script) -> None:
    """What they do and each option of theirs; what they do not know is exit code 2."""
    done = script(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--help" in done.stdout
    assert script(name, "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("start-workers", [], "say how many workers"),
        ("start-workers", ["x"], "'x' is no number of workers"),
        ("start-workers", ["0"], "'0' is no number of workers"),
        ("start-workers", ["2", "--name", "w"], "--name is for one worker"),
        ("start-workers", ["1", "--no-such-option"], "No such option '--no-such-option'"),
        ("start-ventilator", ["--no-such-option"], "No such option '--no-such-option'"),
        ("start-sink", ["--data", "/proc/none"], "/proc/none"),
        ("start-fleet", [], "name the file of hosts"),
        ("stop", ["sink"], "it takes no arguments, and was given 'sink'"),
        ("demo", ["fast"], "it takes no arguments"),
        ("man-page", ["x"], "it takes no arguments"),
        ("release", ["0.4"], "it takes nothing but --tag, and was given '0.4'"),
        ("reference", ["x"], "it takes no arguments"),
        ("other-python", [], "it takes one version"),
        ("other-python", ["4"], "'4' is no version of Python"),
        ("test", ["--python"], "--python needs a version"),
        ("coverage", ["--no-such-option"], "pytest does not know all of '--no-such-option'"),
        ("test", ["--no-such-option"], "pytest does not know all of '--no-such-option'"),
    ],
)
def test_what_it_does_not_know_is_refused(name: str, words: list[str], said: str, script: Script) -> None:
    """One line on stderr, and nothing runs."""
    done = script(name, *words)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == (1 if "/proc/none" in words else 2)
    assert "nothing runs" in script("stop").stdout


def test_stations_are_started_added_to_and_stopped(script: Script, run_folder: Path, url: str) -> None:
    """A second ventilator is refused; workers come beside those that run, under names that are free; stop ends all."""
    assert script("start-ventilator").returncode == 0
    again = script("start-ventilator")
    assert again.returncode == 1
    assert f"ventilator runs already (pid {pid_of(run_folder, 'ventilator')}" in again.stderr
    assert script("start-sink").returncode == 0
    assert script("start-workers", "2", "--slots", "1").stdout.count("pid") == 2
    os.kill(pid_of(run_folder, "worker-1"), signal.SIGKILL)
    assert "worker-1: pid" in script("start-workers", "1", "--slots", "1").stdout
    assert "worker-3: pid" in script("start-workers", "1", "--slots", "1").stdout
    with Pipeline(url) as pipeline:
        until(
            lambda: sorted(one.name[-2:] for one in pipeline.workers()) == ["-1", "-2", "-3"], what="three have joined"
        )
    done = script("stop")
    names = ["worker-1", "worker-2", "worker-3", "sink", "ventilator"]
    assert (done.returncode, done.stdout.splitlines()) == (0, [f"{name}: stopped" for name in names])
    assert not list(run_folder.glob("*.pid"))
    assert script("stop").returncode == 0


def test_a_station_that_dies_at_its_start_is_told_of(script: Script, folder: Path, run_folder: Path) -> None:
    """With the last line of its log, exit code 1, and no pid file is left."""
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "results.db").write_text("no database")
    done = script("start-sink")
    assert done.returncode == 1
    assert done.stderr.startswith("sink did not start: penstock: ")
    assert "results.db: not a penstock store" in done.stderr
    assert not list(run_folder.glob("*.pid"))


def test_stop_ends_no_stranger(script: Script, run_folder: Path) -> None:
    """A number that was used again is another process, though it may look like one of ours."""
    run_folder.mkdir()
    with subprocess.Popen(["bash", "-c", "exec -a penstock-worker sleep 1000"]) as stranger:
        (run_folder / "worker-1.pid").write_text(f"{stranger.pid}\n1\n")
        done = script("stop")
        assert (done.returncode, done.stdout) == (0, "worker-1: had ended before\n")
        assert stranger.poll() is None
        stranger.kill()


def test_what_does_not_end_is_killed_and_that_is_said(script: Script, run_folder: Path) -> None:
    """Exit code 1: it was not left to finish."""
    assert script("start-workers", "1").returncode == 0
    pid = pid_of(run_folder, "worker-1")
    os.kill(pid, signal.SIGSTOP)
    done = script("stop", PENSTOCK_STOP_TIME="1")
    assert done.returncode == 1
    assert "worker-1: did not end in 1 s, and was killed" in done.stderr
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
