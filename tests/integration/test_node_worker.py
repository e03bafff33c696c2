"""A worker in another language: tests/node, written from the protocol document alone, beside real stations."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Pipeline, errors
from penstock.job.command import CommandTemplate
from support.keyed_pipeline import make_keys
from support.keyed_pipeline import start as start_with
from support.stations import LIMIT, Stations, logs, until

NODE = Path(__file__).parents[1] / "node"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules").exists(),
    reason="no node, or tests/node has no node_modules: scripts/test installs both",
)

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def stations(folder: Path, url: str) -> Iterator[Stations]:
    """With leases that a busy machine cannot outlast: a worker that is gone is seen by its connection."""
    made = Stations(folder, url, lease_time=2 * LIMIT)
    yield made
    made.close()
    print("\n".join(logs(folder)))


@pytest.fixture
def start(stations: Stations) -> Start:
    """Starts ventilator and sink, and returns what starts a Node.js worker of two slots."""
    stations.start("ventilator", "sink")

    def node(name: str) -> subprocess.Popen[bytes]:
        with stations.log(name).open("ab") as log:
            argv = ["node", str(NODE / "worker.js"), stations.url, "2", name]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        stations.processes[name] = process
        return process

    return node


@pytest.fixture
def pipeline(start: Start, stations: Stations) -> Iterator[Pipeline]:
    """With one Node.js worker called js."""
    start("js")
    made = Pipeline(stations.url)
    try:
        until(made.workers, what="the worker is there")
        yield made
    finally:
        made.engine.terminate()


def test_it_runs_commands_as_python_workers_do(pipeline: Pipeline, folder: Path) -> None:
    """Replacement strings, environment, folder, output, exit codes, retries; the numbers tell all of them apart."""
    names = [f"dir/{n}.txt" for n in range(60)]
    batch = pipeline.batch(["printf", "%s %s %s", "{}", "{/.}", "{#}"], names)
    found = list(batch.outcomes())
    assert [one.stdout.decode() for one in found] == [f"dir/{n}.txt {n} {n + 1}" for n in range(60)]
    assert {one.worker for one in found} == {"js"}

    shell = ["sh", "-c", "pwd; echo $ONE $PENSTOCK_INDEX $PENSTOCK_ATTEMPT >&2"]
    result = pipeline.command(shell, cwd=folder, env={"ONE": "zwölf"}).result(LIMIT)
    assert (result.stdout, result.stderr) == (f"{folder}\n".encode(), "zwölf 0 1\n".encode())
    assert result.args == shell

    [failed] = pipeline.batch(["sh", "-c", "exit 3"], [()], retries=1, retry_delay=0).outcomes()
    assert (failed.state, failed.returncode, failed.attempts) == ("failed", 3, 2)
    assert pipeline.command(["sh", "-c", "exit 3"], check=False).result(LIMIT).returncode == 3
    with pytest.raises(errors.JobError, match="ENOENT"):
        pipeline.command(["/no/such/program"]).result(LIMIT)


def test_it_ends_what_is_to_end(pipeline: Pipeline, folder: Path) -> None:
    """By a time limit, and by cancelling; the slots are free again."""
    with pytest.raises(errors.JobTimedOut):
        pipeline.command(["sleep", "60"], time_limit=0.2).result(LIMIT)
    mark = folder / "mark"
    running = pipeline.command(["sh", "-c", f"touch {mark}; sleep 60"])
    until(mark.exists)
    pipeline.cancel(running)
    assert list(pipeline.batch(["printf", "{}"], range(4)).values())[3].stdout == b"3"


def test_it_runs_calls_that_it_knows_by_name(pipeline: Pipeline) -> None:
    """Of serializer msgpack; what it does not know fails with a reason."""
    named = pipeline.options(serializer="msgpack")
    assert list(named.map(math.sqrt, range(50))) == [math.sqrt(n) for n in range(50)]
    assert named.submit(abs, -5).result(LIMIT) == 5
    with pytest.raises(errors.RemoteError, match="no function math:cos"):
        named.submit(math.cos, 0).result(LIMIT)


def test_it_is_given_no_pickles(pipeline: Pipeline, stations: Stations) -> None:
    """It says what it opens: a pickled call waits for another worker, and is not blamed on its function."""
    future = pipeline.submit(math.sqrt, 4)
    batch, _, index = future.job_id.partition(":")
    until(lambda: "no worker that opens pickles is connected" in pipeline.attach(batch).why(int(index)))
    stations.start("python")
    assert future.result(LIMIT) == 2.0


def test_with_a_key_it_is_let_in_and_its_outcomes_are_recorded(folder: Path, stations: Stations) -> None:
    """CURVE with the two server keys, the key's name before its own, the tokens of its leases; in a mixed fleet pickled
    calls go to the Python worker alone."""
    keys = make_keys(folder, stations.url)
    start_with(stations, keys, "py")
    with stations.log("js").open("ab") as log:
        argv = ["node", str(NODE / "worker.js"), stations.url, "2", "js", str(keys.path / "gpu.key")]
        stations.processes["js"] = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    with Pipeline(stations.url, key=keys.path / "alice.key") as pipeline:
        until(lambda: "gpu/js" in {worker.name for worker in pipeline.workers()}, what="it is let in")
        batch = pipeline.options(worker="gpu/js").batch(["printf", "{}"], range(20))
        found = list(batch.outcomes())
        assert [(one.state, one.stdout, one.worker) for one in found] == [
            ("succeeded", b"%d" % n, "gpu/js") for n in range(20)
        ]
        calls = list(pipeline.batch(math.sqrt, range(300)).outcomes())
        assert {one.state for one in calls} == {"succeeded"}
        assert "gpu/js" not in {one.worker for one in calls}


def test_a_large_function_is_asked_for_once(pipeline: Pipeline) -> None:
    """It comes in parts over control."""
    template: Any = CommandTemplate(words=(b"sh", b"-c", b"#" * 100_000 + b"\necho $0"))
    batch = pipeline.batch(template, ["one", "two"])
    assert [one.stdout for one in batch.values()] == [b"one\n", b"two\n"]


def test_a_sink_that_was_away_is_told_again(pipeline: Pipeline, stations: Stations, folder: Path) -> None:
    """What a worker holds is not run again: as much as it may hold while nothing is recorded, two jobs a slot."""
    trace = folder / "trace"
    stations.end("sink", signal.SIGKILL)
    futures = [pipeline.command(["sh", "-c", f"echo {n} >> {trace}"]) for n in range(4)]
    until(lambda: trace.exists() and len(trace.read_text().split()) == 4)
    stations.start("sink")
    assert [future.result(LIMIT).returncode for future in futures] == [0] * 4
    assert sorted(map(int, trace.read_text().split())) == list(range(4))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_beside_a_python_worker_it_may_die(start: Start, stations: Stations, number: int) -> None:
    """Both run their share; killed, or leaving by itself, it loses nothing."""
    process = start("js")
    stations.start("python", slots=2)
    with Pipeline(stations.url) as pipeline:
        until(lambda: len(pipeline.workers()) == 2, what="both workers are there")
        batch = pipeline.batch(["sh", "-c", "sleep 0.02; printf {}"], range(200))
        until(lambda: batch.status().succeeded > 20)
        os.kill(process.pid, number)
        found = list(batch.outcomes())
        assert [one.stdout for one in found] == [b"%d" % n for n in range(200)]
        assert {one.worker for one in found} == {"js", "python"}
        assert process.wait(LIMIT) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
