"""Nothing is dropped without a word: how programs end whose jobs have not ended."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

import penstock
from penstock import Pipeline, errors
from support.stations import LIMIT, Stations, embedded_pids, until

HEAD = """
import atexit, multiprocessing, os, signal, sys, tempfile, threading, time
from penstock import Pipeline, Pool, queues

def work(name, seconds=0.3):
    time.sleep(seconds)
    open(f"done-{name}", "w").close()

def interrupt_when(path):
    def wait():
        while not os.path.exists(path):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=wait, daemon=True).start()

def begin(name):
    open(name, "w").close()
    time.sleep(600)

"""
"""Of every program; its jobs leave a file each."""


Run = Callable[[str], "tuple[int, str, set[str]]"]


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a program in a folder of its own, warnings as errors: its exit code, what it wrote, which jobs have run."""

    def end_of(text: str) -> tuple[int, str, set[str]]:
        program = folder / "program.py"
        program.write_text(HEAD + text)
        done = subprocess.run(
            [sys.executable, "-W", "error", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            timeout=LIMIT,
            check=False,
        )
        until(lambda: not list(folder.glob("penstock-*")), what="its private folder is gone")
        return done.returncode, done.stdout, {path.name.removeprefix("done-") for path in folder.glob("done-*")}

    return end_of


EXITS = {
    "left without waiting": "p = Pipeline(slots=2); [p.submit(work, n) for n in 'abc']; p.shutdown(wait=False)",
    "not left at all": "p = Pipeline(slots=2); p.submit(work, 'a'); p.batch(work, 'bc')",
    "a map unread": "p = Pipeline(slots=2); m = p.map(work, 'abc')",
    "a map dropped": "p = Pipeline(slots=2); p.map(work, 'abc')",
    "forgotten": "p = Pipeline(slots=2); [p.submit(work, n) for n in 'abc']; del p",
    "sys.exit": "p = Pipeline(slots=2); [p.submit(work, n) for n in 'abc']; sys.exit(0)",
    "in a function": "def f():\n  p = Pipeline(slots=2); [p.submit(work, n) for n in 'abc']\nf()",
    "in a thread": (
        "p = Pipeline(slots=2)\n"
        "def f(): time.sleep(0.5); [p.submit(work, n) for n in 'abc']; sys.exit(1)\n"
        "threading.Thread(target=f).start()"
    ),
    "in an exit handler": "p = Pipeline(slots=2); atexit.register(lambda: [p.submit(work, n) for n in 'abc'])",
    "by a callback": (
        "p = Pipeline(slots=2)\n"
        "def go_on(name): return lambda _: p.submit(work, name)\n"
        "for name in 'abc': p.submit(abs, -1).add_done_callback(go_on(name))"
    ),
    "a pool": "pool = Pool(2); pool.map_async(work, 'abc')",
    "a pool that was closed": "pool = Pool(2); pool.map_async(work, 'abc'); pool.close(); del pool",
    "queues": "q = queues(run=work); [q.__enter__()[0].put(n) for n in 'a']; del q",
    "what it needs is still there": (
        "def make(folder, name): time.sleep(0.3); open(folder + '/x', 'w').close(); work(name)\n"
        "p = Pipeline(slots=1); d = tempfile.mkdtemp(); atexit.register(os.rmdir, d + '/y'); os.mkdir(d + '/y')\n"
        "[p.submit(make, d + '/y/..' , n) for n in 'abc']"
    ),
}


@pytest.mark.parametrize("text", EXITS.values(), ids=EXITS)
def test_what_was_submitted_has_run_when_the_program_has_ended(run: Run, text: str) -> None:
    """However it ends."""
    code, output, done = run(text)
    assert (code, output) == (0, "")
    assert done == ({"a"} if "queues" in text else {"a", "b", "c"})


def test_an_exception_does_not_end_what_was_submitted(run: Run) -> None:
    """Outside of a block: the program ends with it, when the jobs have."""
    code, output, done = run("p = Pipeline(slots=2); [p.submit(work, n) for n in 'abc']; 1 / 0")
    assert (code, done) == (1, {"a", "b", "c"})
    assert output.splitlines()[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_ends_when_its_jobs_have(run: Run, folder: Path, method: str) -> None:
    """It has no exit handlers before Python 3.15."""
    (folder / "mine.py").write_text(HEAD)
    code, output, done = run(
        "import mine\n"
        "def child():\n"
        "  global p\n"
        "  p = Pipeline(slots=2)\n"
        "  for n in 'abc': p.submit(mine.work, n)\n"
        "if __name__ == '__main__':\n"
        f"  c = multiprocessing.get_context({method!r}).Process(target=child)\n"
        "  c.start(); c.join(); sys.exit(c.exitcode)"
    )
    assert (code, output, done) == (0, "", {"a", "b", "c"})


INTERRUPTED = {
    "while the program waits to exit": "p = Pipeline(slots=1); p.submit(begin, 'up'); p.batch(work, 'ab')",
    "in shutdown": (
        "p = Pipeline(slots=1); p.submit(begin, 'up'); p.batch(work, 'ab')\n"
        "try: p.shutdown()\n"
        "except KeyboardInterrupt: pass"
    ),
    "at the end of a block": (
        "try:\n"
        "  with Pipeline(slots=1) as p: p.submit(begin, 'up'); p.batch(work, 'ab')\n"
        "except KeyboardInterrupt: pass"
    ),
    "after shutdown without waiting": (
        "p = Pipeline(slots=1); p.submit(begin, 'up'); p.batch(work, 'ab'); p.shutdown(wait=False)"
    ),
    "maps count": "p = Pipeline(slots=1); m = p.map(begin, ['up', 'a', 'b'])",
}


@pytest.mark.parametrize("text", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_wait_says_how_many_jobs_are_dropped(run: Run, text: str) -> None:
    """Ctrl-C ends it: one line, and nothing is left."""
    _, output, done = run("interrupt_when('up')\n" + text)
    assert output == "penstock: 3 jobs were dropped: interrupted\n"
    assert done == set()


def test_a_program_that_ctrl_c_has_ended_waits_for_nothing(run: Run) -> None:
    """It would have to be interrupted a second time."""
    code, output, _ = run("interrupt_when('up'); p = Pipeline(slots=1); p.submit(begin, 'up'); time.sleep(600)")
    assert code in {130, -signal.SIGINT}
    assert output.splitlines()[-2:] == ["KeyboardInterrupt", "penstock: 1 job was dropped: interrupted"]


def test_a_data_folder_keeps_what_an_interrupted_wait_leaves(run: Run, folder: Path) -> None:
    """It is not dropped, and the line says where it is."""
    _, output, _ = run(
        "interrupt_when('up'); p = Pipeline('local', slots=1, data='kept'); p.batch(begin, ['up'])\n"
        "p.batch(work, 'ab', name='rest')"
    )
    assert output == "penstock: 3 jobs were not done: interrupted; kept keeps them for the next pipeline there\n"
    with Pipeline("local", slots=2, data=folder / "kept") as pipeline:
        assert pipeline.attach("rest").status().total == 2
        pipeline.engine.terminate()


def test_stations_that_cannot_live_say_what_is_lost(run: Run) -> None:
    """How many jobs, and why; also of batches, which no Future tells of."""
    code, output, _ = run(
        "p = Pipeline(slots=1); p.submit(begin, 'up'); p.batch(begin, 'ab')\n"
        "folder = os.path.dirname(p.url.removeprefix('ipc://') + '/')\n"
        "while not os.path.exists(folder + '/ended'):\n"
        "  with open(folder + '/ventilator.pid') as pid: number = int(pid.read())\n"
        "  try: os.kill(number, signal.SIGKILL)\n"
        "  except OSError: pass\n"
        "  time.sleep(0.1)"
    )
    assert code == 0
    assert "penstock: 3 jobs were dropped: the embedded ventilator ended with signal 9\n  2" in output


def test_shutdown_without_waiting_returns_at_once(folder: Path) -> None:
    """Also while nobody accepts anything."""
    pipeline = Pipeline("local", slots=1)
    pid = embedded_pids(folder)["ventilator"]
    os.kill(pid, signal.SIGSTOP)
    future = pipeline.submit(pow, 2, 3)
    threading.Timer(600, os.kill, (pid, signal.SIGCONT))
    pipeline.shutdown(wait=False)
    assert not future.done()
    os.kill(pid, signal.SIGCONT)
    assert future.result(LIMIT) == 8


def test_a_map_that_is_being_read_goes_on_after_shutdown_without_waiting() -> None:
    """Its reader draws the rest; with a buffersize there is no more than was drawn, as in Python 3.14."""
    pipeline = Pipeline("local", slots=1)
    read, cut = pipeline.map(abs, (n for n in range(100))), pipeline.map(abs, (n for n in range(100)), buffersize=2)
    pipeline.shutdown(wait=False)
    assert list(read) == list(range(100))
    assert [next(cut), next(cut)] == [0, 1]
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(cut)


def test_shutdown_in_a_callback_does_not_wait_and_ends_nothing() -> None:
    """It could never return; the others' jobs go on."""
    pipeline = Pipeline("local", slots=2)
    slow = pipeline.submit(time.sleep, 1.0)
    said: list[BaseException] = []

    def leave(_: object) -> None:
        try:
            pipeline.shutdown()
        except RuntimeError as error:
            said.append(error)

    pipeline.submit(abs, -1).add_done_callback(leave)
    assert slow.result(LIMIT) is None
    if said:  # no thread of its own has called it
        assert "cannot wait" in str(said[0])


# ------------------------------------------------------------------------------------- ending all workers


@pytest.mark.parametrize("operation", ["terminate_workers", "kill_workers"])
def test_all_workers_can_be_ended(folder: Path, operation: str) -> None:
    """What waits is cancelled, what runs raises JobDied, and nothing is taken any more; SIGTERM can be handled."""
    pipeline = Pipeline("local", slots=1)

    def run() -> None:
        signal.signal(signal.SIGTERM, lambda *_: (folder / "told").touch() or os._exit(1))  # type: ignore[func-returns-value]
        (folder / "up").touch()
        time.sleep(600)

    running = pipeline.submit(run)
    until((folder / "up").exists)
    batch = pipeline.batch(time.sleep, [600])
    waiting = [pipeline.submit(abs, n) for n in range(3)]
    pipeline.flush()
    values = pipeline.map(abs, range(3))
    getattr(pipeline, operation)()
    assert [future.cancelled() for future in waiting] == [True] * 3
    with pytest.raises(BrokenExecutor, match=operation):
        running.result(0)
    assert isinstance(running.exception(0), errors.JobDied)
    with pytest.raises(errors.JobError):
        next(values)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pipeline.submit(abs, 1)
    with pytest.raises(RuntimeError, match="has been left"):
        batch.status()
    assert (folder / "told").exists() is (operation == "terminate_workers")
    until(lambda: not list(folder.glob("penstock-*")), what="its private folder is gone")
    getattr(pipeline, operation)()
    pipeline.shutdown()


def test_ending_workers_of_a_running_pipeline_ends_ones_own_jobs(stations: Stations, folder: Path) -> None:
    """Nobody else's, and no batch of one's own."""
    stations.start("ventilator", "sink")
    stations.start("w", slots=3)

    def run(ends: str) -> None:
        (folder / f"up-{os.getpid()}").touch()
        while not (folder / ends).exists():
            time.sleep(0.01)

    with Pipeline(stations.url) as other:
        batch = other.batch(run, ["end"])
        pipeline = Pipeline(stations.url)
        running = pipeline.submit(run, "never")
        kept = pipeline.batch(run, ["end"])
        until(lambda: len(list(folder.glob("up-*"))) == 3)
        pipeline.kill_workers()
        with pytest.raises(errors.JobDied, match="kill_workers"):
            running.result(0)
        (folder / "end").touch()
        assert [outcome.state for outcome in other.attach(kept.id).outcomes()] == ["succeeded"]
        assert [outcome.attempts for outcome in batch.outcomes()] == [1]
        assert other.submit(pow, 2, 3).result(LIMIT) == 8


# ------------------------------------------------------------------------------------- a running pipeline


def test_a_block_waits_for_its_futures_connected_or_not(stations: Stations) -> None:
    """The ventilator is away while they are submitted, and when the block ends."""
    stations.start("ventilator", "sink", "w")
    with Pipeline(stations.url) as pipeline:
        pipeline.submit(abs, -1).result(LIMIT)
        stations.end("ventilator", signal.SIGKILL)
        future = pipeline.submit(pow, 2, 3)
        threading.Timer(6.0, stations.start, ("ventilator",)).start()  # longer than an answer is waited for
    assert future.result(0) == 8


def test_what_a_running_pipeline_has_not_accepted_is_said(stations: Stations, run: Run) -> None:
    """The program ends, and its jobs are gone."""
    stations.start("ventilator", "sink")
    code, output, _ = run(
        "from penstock.client import leaving; leaving.EXIT_TIMEOUT = 0.5\n"
        f"p = Pipeline({stations.url!r}); os.kill({stations.processes['ventilator'].pid}, signal.SIGSTOP)\n"
        "[p.submit(abs, n) for n in range(5)]"
    )
    stations.processes["ventilator"].send_signal(signal.SIGCONT)
    assert (code, output) == (0, f"penstock: 5 jobs were dropped: {stations.url} has not accepted them\n")


def test_accepted_is_enough_for_the_exit_of_a_client_of_a_running_pipeline(stations: Stations, run: Run) -> None:
    """Nobody is there who could run them."""
    stations.start("ventilator", "sink")
    text = f"p = Pipeline({stations.url!r}); [p.submit(abs, n) for n in range(5)]; p.batch(abs, range(3))"
    assert run(text)[:2] == (0, "")
    with Pipeline(stations.url) as pipeline:
        assert pipeline.status().queued == 8


def test_queues_that_nobody_holds_run_what_was_put(folder: Path) -> None:
    """As a Pipeline that is garbage."""
    block = penstock.queues(run=Path.touch)
    dispatched, _ = block.__enter__()
    dispatched.put(folder / "made")
    del block, dispatched, _
    gc.collect()
    until((folder / "made").exists)


# ------------------------------------------------------------------------------------- folders


def test_a_pipeline_that_a_job_left_open_leaves_no_folder(folder: Path) -> None:
    """It goes with the worker; and if that is killed with all of its processes, when another pipeline starts."""

    def leave_open() -> str:
        sys.left_open = Pipeline("local", slots=1)  # type: ignore[attr-defined]  # for as long as the process lives
        return str(sys.left_open.url.removeprefix("ipc://"))  # type: ignore[attr-defined]

    with Pipeline("local", slots=1) as pipeline:
        assert Path(pipeline.submit(leave_open).result(LIMIT)).is_dir()
    until(lambda: not list(folder.glob("penstock-*")), what="both folders are gone")


def test_a_pipeline_clears_up_what_was_killed_before(folder: Path) -> None:
    """All of its processes at once; one that lives keeps its own."""
    program = (
        "import os, sys; from penstock import Pipeline; p = Pipeline('local', slots=1)\n"
        "print(*p.engine._stations.pids().values(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        pids = [client.pid, *map(int, client.stdout.readline().split())]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
    (abandoned,) = folder.glob("penstock-*")
    with Pipeline("local", slots=1) as one, Pipeline("local", slots=1) as other:
        until(lambda: not abandoned.exists(), what="the folder is gone")
        assert one.submit(abs, -1).result(LIMIT) == other.submit(abs, -1).result(LIMIT) == 1
