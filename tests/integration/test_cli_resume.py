"""`run --resume`: real processes, killed and interrupted, go on by what their jobs are given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import Cli
from support.stations import LIMIT, Stations, descendants, until

SCRIPT = "echo {} >> begun; sleep 0.3; echo {} >> done; echo {}; [ {} != bad ]"


def lines(path: Path) -> Counter[str]:
    """How often each line is in a file."""
    return Counter(path.read_text().split()) if path.exists() else Counter()


def begun(folder: Path, *words: str, jobs: int) -> subprocess.Popen[bytes]:
    """A run that is under way: the outcomes of so many of its jobs were shown."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(jobs):
        process.stdout.readline()
    return process


def test_killed_run_goes_on_where_it_was(cli: Cli, folder: Path) -> None:
    """kill -9 after three of eight jobs; the input is in another order now and has more. What is done stays done, also
    what failed; all results come out, in the order of this input; the same line twice is two jobs."""
    words = ["--data", "kept", "-j1", "--shell", SCRIPT, ":::"]
    process = begun(folder, *words, "bad", "b", "a", "c", "a", "d", "e", "f", jobs=3)
    process.kill()
    process.communicate(timeout=LIMIT)
    until(lambda: not [one for one in descendants(str(folder)) if "penstock" in " ".join(one.cmdline())])
    done = cli("run", "-k", "--resume", "--joblog", "log", *words, "new", "a", "f", "e", "d", "c", "b", "a", "bad")
    assert (done.returncode, done.stdout.split()) == (1, b"new a f e d c b a bad".split())
    assert b"resumed: 8 of 9 jobs had been submitted before\n" in done.stderr
    after = lines(folder / "done")
    assert [after[name] for name in ("new", "bad", "b", "a", "d", "e", "f")] == [1, 1, 1, 2, 1, 1, 1]
    assert after["c"] <= 2  # it ran when all was killed
    assert len((folder / "log").read_bytes().splitlines()) == 10

    again = cli("run", "--resume-failed", *words, "bad", "a")
    assert sorted(again.stdout.split()) == [b"a", b"bad"]
    assert lines(folder / "done") == after + Counter(["bad"])


def test_interrupted_run_goes_on_at_the_pipeline(
    cli: Cli, folder: Path, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C on a running pipeline, then again: calls are told apart by their argument, and each ran once."""
    (folder / "mine.py").write_text(
        f"import time\n\ndef work(x):\n    open({str(folder / 'done')!r}, 'a').write(f'{{x}}\\n')\n"
        "    time.sleep(0.3)\n    return -x\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    stations.start("ventilator", "sink", "w1")
    words = ["--url", stations.url, "--call", "mine:work", "--input", "json", ":::"]
    process = begun(folder, *words, *map(str, range(12)), jobs=2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    first = lines(folder / "done").total()
    assert first < 12
    done = cli("run", "-k", "--resume", *words, *map(str, range(12)))
    assert (done.returncode, done.stdout.split()) == (0, [str(-x).encode() for x in range(12)])
    assert f"resumed: {first} of 12".encode() in done.stderr
    assert set(lines(folder / "done").values()) == {1}


@pytest.mark.parametrize("option", ["--resume", "--resume-failed"])
def test_resume_needs_what_remembers(cli: Cli, option: str) -> None:
    """Without a folder or a running pipeline: exit code 2, and the line says what to add."""
    done = cli("run", option, "true", ":::", "a")
    assert done.returncode == 2
    assert b"--data DIR" in done.stderr
    assert b"--url" in done.stderr


def test_data_stays_readable_for_a_pipeline_that_stays(cli: Cli, folder: Path, stations: Stations) -> None:
    """What `run --data` has kept, stations on the same folder show; its own data is not another pipeline's."""
    assert cli("run", "--data", "data", "--name", "kept", "echo", ":::", "a").returncode == 0
    assert cli("run", "--data", "data", "--url", stations.url, "echo", ":::", "a").returncode == 2
    stations.start("ventilator", "sink")
    done = cli("results", "kept", "--url", stations.url)
    assert (done.returncode, done.stdout) == (0, b"a\n")


def test_calls_are_found_again_whatever_is_around_them(cli: Cli, folder: Path) -> None:
    """`--env` is part of the call, as of a command; an initializer is the same one at each run."""
    (folder / "mine.py").write_text(
        "import os\ndef note(x):\n    open('trace', 'a').write(x)\n    return os.environ['X']\n"
    )
    words = [
        "--resume",
        "--data",
        "kept",
        "--cwd",
        ".",
        "--initializer",
        "os:getpid",
        "--call",
        "mine:note",
        ":::",
        "a",
    ]
    for _ in range(2):
        assert cli("run", "--env", "X=1", *words).stdout == b"1\n"
    assert (folder / "trace").read_text() == "a"
    assert cli("run", "--env", "X=2", *words).stdout == b"2\n"
    assert (folder / "trace").read_text() == "aa"
