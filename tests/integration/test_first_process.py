"""As process 1 of a container: it answers SIGTERM, and buries what is orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import Pipeline
from penstock.slot.process_tree import children
from support.stations import LIMIT, Stations, free_url, until

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
Inside = Callable[..., "Container"]


class Container:
    """A command as process 1 of a namespace of its own."""

    def __init__(self, folder: Path, words: tuple[str, ...]) -> None:
        argv = [*UNSHARE, sys.executable, "-m", "penstock", *words]
        self.process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @property
    def first(self) -> int:
        """Process 1, as it is called out here."""
        found = until(lambda: children(self.process.pid))
        return found[0]

    def end(self, number: int) -> int:
        """Send it a signal; its exit code."""
        os.kill(self.first, number)
        self.process.communicate(timeout=LIMIT)
        return self.process.returncode


@pytest.fixture
def inside(folder: Path) -> Iterator[Inside]:
    """Starts containers; skips where none can be made."""
    tried = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(f"no namespace can be made: {tried.stderr}")
        pytest.skip(f"no right to make a namespace: {tried.stderr.strip()}")
    made: list[Container] = []

    def start(*words: str) -> Container:
        made.append(Container(folder, words))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate(timeout=LIMIT)


def states(pid: int) -> list[str]:
    """Of the children of a process, as ps shows them."""
    return [Path(f"/proc/{child}/stat").read_bytes().rpartition(b")")[2].split()[0].decode() for child in children(pid)]


def test_a_worker_answers_and_buries(inside: Inside, stations: Stations, folder: Path) -> None:
    """SIGTERM lets it finish what runs; what was orphaned, by whomever, is no zombie."""
    stations.start("ventilator", "sink")
    worker = inside("worker", "--connect", stations.url, "--slots", "1")
    with Pipeline(stations.url) as pipeline:
        text = f"touch {folder}/up; while ! [ -e {folder}/go ]; do sleep 0.05; done; echo well"
        future = pipeline.command(["sh", "-c", text], cwd="/")
        until((folder / "up").exists)
        orphans = [
            "nsenter",
            "--target",
            str(worker.first),
            "--pid",
            "--",
            "sh",
            "-c",
            "for i in 1 2 3; do (: & ); done",
        ]
        subprocess.run(orphans, check=True)
        until(lambda: states(worker.first) == ["S"], what="one child, no zombie")
        os.kill(worker.first, signal.SIGTERM)
        assert worker.process.stderr is not None
        assert any(b" drains: " in line for line in worker.process.stderr)
        (folder / "go").touch()
        assert future.result(LIMIT).stdout == b"well\n"
    assert worker.process.wait(LIMIT) == 0


def test_a_pipeline_answers(inside: Inside, folder: Path) -> None:
    """`up` ends as it does elsewhere."""
    url = free_url()
    up = inside("up", "--bind", url, "--data", str(folder / "data"), "--slots", "1")
    assert up.process.stdout is not None
    assert up.process.stdout.readline() == f"export PENSTOCK_URL={url}\n".encode()
    with Pipeline(url) as pipeline:
        assert pipeline.submit(pow, 2, 3).result(LIMIT) == 8
    assert up.end(signal.SIGTERM) in {0, 130}


@pytest.mark.parametrize(("word", "code"), [("0", 0), ("3", 1)])
def test_a_run_has_its_exit_code(inside: Inside, word: str, code: int) -> None:
    """And nothing of it is left, nor waited for."""
    run = inside("run", "--shell", "(setsid sleep 0.1 & ); exit {}", ":::", word)
    run.process.communicate(timeout=LIMIT)
    assert run.process.returncode == code


def test_a_run_answers(inside: Inside, folder: Path) -> None:
    """It ends, and its jobs are told and have their grace: the container is not gone before they are."""
    text = f"trap 'sleep 0.5; echo clean > {folder}/mark; exit' TERM; touch {folder}/up; while :; do sleep 0.05; done"
    run = inside("run", "--shell", f"{text}; : {{}}", ":::", "x")
    until((folder / "up").exists)
    assert run.end(signal.SIGTERM) != 0
    assert (folder / "mark").read_text() == "clean\n"
