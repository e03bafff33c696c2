"""How a client leaves, and what stays: nothing of an embedded pipeline, everything accepted of a running one."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from penstock import Pipeline, errors
from support.stations import LIMIT, Stations, descendants, until

Script = Callable[..., "subprocess.Popen[str]"]

HEAD = "import os, sys, time, signal\nfrom penstock import Pipeline\n"
"""Of every script."""


@pytest.fixture
def script(folder: Path) -> Script:
    """Starts a Python program with a folder of its own for temporary files, warnings as errors."""

    def start(text: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", HEAD + text],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
        )

    return start


def end_of(process: subprocess.Popen[str], folder: Path) -> tuple[int, str]:
    """Exit code and output; by then, or very soon, nothing of its pipeline is left."""
    output, _ = process.communicate(timeout=LIMIT)
    until(lambda: not list(folder.glob("penstock-*")), what="its private folder is gone")
    return process.returncode, output


def test_an_embedded_pipeline_ends_with_its_block(script: Script, folder: Path) -> None:
    """And all of its processes with it."""
    text = "with Pipeline(slots=1) as p: print(p.submit(pow, 2, 3).result())"
    assert end_of(script(text), folder) == (0, "8\n")


def test_no_block_is_needed(script: Script, folder: Path) -> None:
    """The interpreter's exit is enough."""
    assert end_of(script("p = Pipeline(slots=1); print(p.submit(pow, 2, 3).result())"), folder) == (0, "8\n")


def test_leaving_by_an_exception_cancels_embedded_work(script: Script, folder: Path) -> None:
    """At once."""
    text = "with Pipeline(slots=1) as p:\n  f = p.submit(time.sleep, 600); time.sleep(0.3); sys.exit(3)"
    start = time.monotonic()
    assert end_of(script(text), folder)[0] == 3
    assert time.monotonic() < start + LIMIT / 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_whatever_ends_the_client(script: Script, folder: Path, number: signal.Signals) -> None:
    """Ctrl-C, and a kill that it cannot see; jobs end with it, and what they have started."""
    text = (
        "with Pipeline(slots=2, pass_output=False) as p:\n"
        "  c = p.command(['sleep', '600']); f = p.submit(os.system, 'sleep 600')\n"
        "  while p.status().leased < 2: time.sleep(0.02)\n"
        "  print('up', flush=True); f.result()"
    )
    process = script(text)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert end_of(process, folder)[0] == -number
    until(lambda: not descendants(os.environ["PENSTOCK_TEST_MARK"]), what="every process is gone")


def test_an_interrupted_map_leaves_the_pipeline_usable(script: Script, folder: Path) -> None:
    """Ctrl-C reaches only the client; the map's rest is cancelled."""
    text = (
        "with Pipeline(slots=1, pass_output=False) as p:\n"
        "  try:\n"
        "    for _ in p.map(time.sleep, [0] + [600] * 5): print('up', flush=True)\n"  # wherever the signal finds it
        "  except KeyboardInterrupt: print(p.submit(pow, 2, 3).result())"
    )
    process = script(text)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert end_of(process, folder) == (0, "8\n")


def test_a_forked_child_leaves_the_pipeline_alone(script: Script, folder: Path) -> None:
    """It may not use it, it does not end it, and it does not keep it alive."""
    text = (
        "p = Pipeline(slots=1); p.submit(abs, 1).result()\n"
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"  # Python's, of a fork beside threads
        "pid = os.fork()\n"
        "if not pid:\n"
        "  try: p.submit(abs, 1)\n"
        "  except RuntimeError as e: print(e, flush=True)\n"
        "  sys.exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print(p.submit(pow, 2, 3).result())"
    )
    code, output = end_of(script(text), folder)
    assert code == 0
    assert "made before a fork" in output
    assert output.endswith("8\n")


def test_a_script_needs_no_guard_and_its_classes_come_back(script: Script, folder: Path) -> None:
    """Functions, classes and exceptions of ``__main__`` work as they are."""
    (folder / "helper.py").write_text("def twice(x): return 2 * x\n")
    text = (
        "import helper\n"
        "class Point:\n"
        "  def __init__(self, x): self.x = x\n"
        "class Odd(Exception): pass\n"
        "def move(p, by):\n"
        "  if by == 0: raise Odd(p.x)\n"
        "  return Point(helper.twice(p.x + by))\n"
        "with Pipeline(slots=1) as p:\n"
        "  moved = p.submit(move, Point(1), 2).result()\n"
        "  print(type(moved) is Point, moved.x)\n"
        "  try: p.submit(move, Point(1), 0).result()\n"
        "  except Odd as e: print('odd', e)"
    )
    assert end_of(script(text), folder) == (0, "True 6\nodd 1\n")


def test_a_module_that_makes_a_pipeline_is_told_so(script: Script, folder: Path) -> None:
    """Where a slot imports it, and not where the program does; other functions run."""
    (folder / "eager.py").write_text(HEAD + "p = Pipeline('local', slots=1)\ndef f(x): return x\n")
    text = "import eager; print(eager.p.submit(eager.f, 1).exception()); print(eager.p.submit(abs, -1).result())"
    code, output = end_of(script(text), folder)
    assert (code, output.splitlines()[-1]) == (0, "1")
    assert "a Pipeline was made while a slot imports your module: make it in a function" in output


def test_an_embedded_pipeline_can_keep_its_batches(folder: Path) -> None:
    """In a folder that the user names."""
    with Pipeline("local", slots=1, data=folder / "kept") as pipeline:
        batch = pipeline.batch(abs, [-1, -2])
        batch.wait(30)
    with Pipeline("local", slots=1, data=folder / "kept") as pipeline:
        assert list(pipeline.attach(batch.id).values()) == [1, 2]


def test_a_data_folder_in_use_is_said_at_once(folder: Path) -> None:
    """With the last words of the station that could not have it."""
    with Pipeline("local", slots=1, data=folder / "kept"), pytest.raises(errors.NoPipeline, match="in use"):
        Pipeline("local", slots=1, data=folder / "kept")


def test_shutdown_waits_for_futures_and_batches() -> None:
    """Of an embedded pipeline; then it takes no more."""
    pipeline = Pipeline("local", slots=2)
    futures = [pipeline.submit(time.sleep, 0.1) for _ in range(6)]
    pipeline.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pipeline.submit(abs, 1)


def test_shutdown_without_waiting_lets_the_jobs_go_on() -> None:
    """Their futures are still settled."""
    pipeline = Pipeline("local", slots=2)
    futures = [pipeline.submit(time.sleep, 0.1) for _ in range(6)]
    pipeline.shutdown(wait=False)
    assert [future.result(30) for future in futures] == [None] * 6


def test_a_forgotten_pipeline_ends_when_its_jobs_have() -> None:
    """Nobody holds it, somebody holds a Future."""
    pipeline = Pipeline("local", slots=1)
    future = pipeline.submit(pow, 2, 3)
    del pipeline
    gc.collect()
    assert future.result(30) == 8


def test_futures_that_were_not_given_out_can_be_cancelled_at_the_end(folder: Path) -> None:
    """``cancel_futures`` ends the waiting ones, running ones are waited for."""
    pipeline = Pipeline("local", slots=1)
    started = folder / "started"

    def run() -> None:
        started.touch()
        time.sleep(0.5)

    first = pipeline.submit(run)
    until(started.exists)
    rest = [pipeline.options(name=f"n{number}").submit(time.sleep, 0.01) for number in range(200)]
    pipeline.shutdown(cancel_futures=True)
    assert first.result(0) is None
    cancelled = [future for future in rest if future.cancelled()]
    assert cancelled
    with pytest.raises(CancelledError):
        cancelled[0].result(0)


# ------------------------------------------------------------------------------------- a running pipeline


@pytest.fixture
def running(stations: Stations) -> Stations:
    """Ventilator, sink and a worker."""
    stations.start("ventilator", "sink", "w")
    return stations


def test_accepted_submits_outlive_their_client(running: Stations, script: Script, folder: Path) -> None:
    """The interpreter exits when all is accepted; another client reads it."""
    text = f"p = Pipeline({running.url!r}); f = p.submit(pow, 2, 10); print(f.job_id)"
    code, output = end_of(script(text), folder)
    assert code == 0
    with Pipeline(running.url) as pipeline:
        batch = pipeline.attach(output.partition(":")[0])
        assert list(batch.values()) == [1024]


def test_a_flushed_submit_is_a_batch_that_others_can_read(running: Stations) -> None:
    """A web handler can answer 202 then."""
    with Pipeline(running.url) as one, Pipeline(running.url) as other:
        future = one.submit(pow, 2, 10)
        one.flush(LIMIT)
        batch = other.attach(future.job_id.partition(":")[0])
        assert (batch.wait(LIMIT).total, list(batch.values())) == (1, [1024])


def test_leaving_forgets_the_maps_that_were_read(running: Stations) -> None:
    """The ventilator has heard of it when `shutdown` returns."""
    with Pipeline(running.url) as pipeline:
        assert list(pipeline.map(abs, range(-3, 0))) == [3, 2, 1]
    with Pipeline(running.url) as pipeline:
        until(lambda: not pipeline.batches())


def test_nobody_there_is_no_pipeline(url: str) -> None:
    """Within the connect timeout, with the address."""
    start = time.monotonic()
    with pytest.raises(errors.NoPipeline, match=f"no ventilator and no sink answers at {url}"):
        Pipeline(url)
    assert 4 < time.monotonic() - start < LIMIT


def test_a_missing_sink_is_said(stations: Stations) -> None:
    """It is not the ventilator that is missing."""
    stations.start("ventilator")
    with pytest.raises(errors.NoPipeline, match="no sink answers"):
        Pipeline(stations.url)
