"""`penstock run --lb`: lines of running jobs. A job goes on when the test has seen its line, so nothing is timed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.keyed_pipeline import make_keys, start
from support.stations import LIMIT, Stations, until

LINES = "echo one {}; echo error {} >&2; until [ -e go ]; do sleep 0.02; done; echo two {}; printf rest"


class Run:
    """A `penstock run` in the background, and what it has written by now."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._folder = folder
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "penstock", "run", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=os.environ,
            )

    @property
    def out(self) -> bytes:
        """On stdout."""
        return (self._folder / "out").read_bytes()

    @property
    def err(self) -> bytes:
        """On stderr."""
        return (self._folder / "err").read_bytes()

    def end(self) -> int:
        """Let the jobs go on; the exit code."""
        (self._folder / "go").touch()
        return self._process.wait(2 * LIMIT)


@pytest.fixture(params=["embedded", "running"])
def place(request: pytest.FixtureRequest, folder: Path, stations: Stations) -> Iterator[tuple[str, ...]]:
    """The options for a pipeline of its own, or a running one over tcp with keys and two workers of a slot each."""
    if request.param == "embedded":
        yield ("-j2",)
    else:
        keys = make_keys(folder, stations.url)
        start(stations, keys, "w1", "w2")
        yield ("--key", str(keys.path / "alice.key"))


def test_lines_come_before_their_jobs_end(folder: Path, place: tuple[str, ...]) -> None:
    """Of several jobs, to where they belong, tagged, and once: the outcome has the rest."""
    run = Run(folder, *place, "--lb", "--tag", "--shell", LINES, ":::", "a", "b")
    until(lambda: (run.out.count(b"\n"), run.err.count(b"error")) == (2, 2), what="a line of each job")
    assert sorted(run.out.splitlines()) == [b"a\tone a", b"b\tone b"]
    assert run.end() == 0
    lines = run.out.replace(b"rest", b"rest\n").splitlines()
    for job in (b"a", b"b"):
        assert [line for line in lines if line.startswith(job)] == [
            b"%s\t%s" % (job, text) for text in (b"one " + job, b"two " + job, b"rest")
        ]
    assert len(lines) == 6
    assert sorted(line for line in run.err.splitlines() if b"error" in line) == [b"a\terror a", b"b\terror b"]


def test_without_it_nothing_comes_before_the_end(folder: Path) -> None:
    """The control: when all of another job is shown, nothing is of one that has written a line and runs."""
    line = "echo one {}; touch said-{}; [ {} = b ] || until [ -e go ]; do sleep 0.02; done; echo two {}"
    run = Run(folder, "-j2", "--shell", line, ":::", "a", "b")
    until(lambda: run.out and (folder / "said-a").exists())
    assert run.out == b"one b\ntwo b\n"
    assert run.end() == 0
    assert run.out == b"one b\ntwo b\none a\ntwo a\n"


def test_calls_have_lines_too(folder: Path) -> None:
    """What a function prints, and at the end what it returned."""
    (folder / "waiting.py").write_text(
        "import os, time\n"
        "def wait(x):\n"
        "    print('one', x)\n"
        "    while not os.path.exists(x):\n"
        "        time.sleep(0.02)\n"
        "    return x\n"
    )
    run = Run(folder, "-j2", "--lb", "--call", "waiting:wait", ":::", str(folder / "go"))
    until(lambda: run.out == b"one %s/go\n" % os.fsencode(folder))
    assert run.end() == 0
    assert run.out == b"one %s/go\n%s/go\n" % (os.fsencode(folder), os.fsencode(folder))


def test_a_job_that_is_run_again_is_shown_from_its_beginning(folder: Path) -> None:
    """Its slot is killed under it when its first line has been seen."""
    line = (
        "echo run $PENSTOCK_ATTEMPT; until [ -e go ]; do sleep 0.02; done; [ $PENSTOCK_ATTEMPT = 2 ] || kill -9 $PPID"
    )
    run = Run(folder, "-j1", "--lb", "--shell", "--one", line)
    until(lambda: run.out == b"run 1\n")
    assert run.end() == 0
    assert run.out == b"run 1\nrun 2\n"


def test_in_order_the_job_whose_turn_it_is_is_shown(folder: Path) -> None:
    """With `-k` the second job's line waits until the first has ended, also if it has ended itself."""
    line = "echo one {}; [ {} = b ] || until [ -e go ]; do sleep 0.02; done; echo two {}"
    run = Run(folder, "-j2", "-k", "--lb", "--joblog", "log", "--shell", f"{line}; touch ended-{{}}", ":::", "a", "b")
    until(lambda: run.out and (folder / "ended-b").exists())
    assert run.out == b"one a\n"
    assert run.end() == 0
    assert run.out == b"one a\ntwo a\none b\ntwo b\n"


def test_more_than_is_kept_is_shown_whole(folder: Path) -> None:
    """A program whose output the reader keeps up with, though the outcome has head and tail only."""
    line = "seq 1 20000; until [ -e go ]; do sleep 0.02; done; seq 20001 30000"
    run = Run(folder, "-j1", "--lb", "--shell", "--one", line)
    until(lambda: run.out.count(b"\n") == 20_000)
    assert run.end() == 0
    assert run.out.splitlines() == [b"%d" % number for number in range(1, 30_001)]


def test_what_the_sink_had_not_handed_on_comes_from_the_outcome(folder: Path, stations: Stations) -> None:
    """It is killed when a line has been seen, and the job goes on without it; nothing is missing, and nothing is shown
    twice."""
    stations.start("ventilator", "sink", "w1")
    line = "echo one; until [ -e on ]; do sleep 0.02; done; echo two; touch said; until [ -e go ]; do sleep 0.02; done"
    run = Run(folder, "--url", stations.url, "--lb", "--shell", "--one", f"{line}; echo three; printf rest")
    until(lambda: run.out == b"one\n")
    stations.end("sink", signal.SIGKILL)
    (folder / "on").touch()
    until((folder / "said").exists)
    stations.start("sink")
    assert run.end() == 0
    assert run.out == b"one\ntwo\nthree\nrest"


def test_a_reader_that_pauses_holds_up_no_job(folder: Path) -> None:
    """The job prints more than any memory keeps, and ends while nobody reads; then all of it is shown."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", "-j1", "--lb", "--shell", "--one", "seq 1 4000000; touch done"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    until((folder / "done").exists, what="the job has printed all of it")
    out, _ = process.communicate(timeout=2 * LIMIT)
    assert process.returncode == 0
    assert out == b"".join(b"%d\n" % number for number in range(1, 4_000_001))
