"""A client dies, or stands still: what was accepted runs on, and anybody can read it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from penstock import Pipeline
from support.fault_pipeline import LEASE_TIME, World, harm
from support.stations import LIMIT, until

PROGRAM = """
import sys
from penstock import Pipeline
from jobs.fault import nap, wait
url, folder, what = sys.argv[1:]
p = Pipeline(url)
if what == "batch":
    b = p.batch(wait, [folder] * 4, range(4), name="mine")
    print(b.id, flush=True)
    print(sum(b.values()), flush=True)
elif what == "submits":
    futures = [p.options(name="mine").submit(wait, folder, x) for x in range(4)]
    p.flush()
    print("accepted", flush=True)
    print(sum(f.result() for f in futures), flush=True)
elif what == "map":
    values = p.map(wait, [folder] * 4, range(4))
    p.flush()
    print("accepted", flush=True)
    next(values)
else:
    for x in range(10**9):
        p.batch(nap, [folder], [x], name="mine")
        print(x, flush=True)
"""

Client = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def client(world: World) -> Client:
    """Another process that submits."""

    def run(what: str) -> subprocess.Popen[bytes]:
        world.stations.processes[what] = process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, world.stations.url, str(world.folder), what],
            stdout=subprocess.PIPE,
        )
        return process

    return run


@harm
@pytest.mark.parametrize("what", ["batch", "submits"])
def test_after_acceptance(world: World, client: Client, what: str, how: str) -> None:
    """Its jobs run on and are there for the next client; one that only stood still has its answer."""
    pipeline = world.up("w1", "w2")
    process = client(what)
    assert process.stdout is not None
    assert process.stdout.readline()
    if how == "SIGSTOP":
        world.stop(what)
        time.sleep(LEASE_TIME * 1.5)
        world.open_gate()
        world.go_on(what)
        assert process.stdout.readline() == b"6\n"
        assert process.wait(LIMIT) == 0
    else:
        world.end(what, 9 if how == "SIGKILL" else 15)
        world.open_gate()
    process.stdout.close()
    batch = pipeline.attach("mine")
    until(lambda: batch.status().succeeded == 4)
    assert [batch.attempts(index)[-1].value for index in range(4)] == [0, 1, 2, 3]
    assert set(world.times().values()) == {1}


def test_while_it_submits(world: World, client: Client) -> None:
    """All that it knew to be accepted has its outcome, and at most one batch more."""
    pipeline = world.up("w1", slots=2)
    process = client("stream")
    assert process.stdout is not None
    for _ in range(10):
        process.stdout.readline()
    process.kill()
    known = 10 + len(process.stdout.read().splitlines())
    process.stdout.close()
    until(lambda: all(batch.done for batch in pipeline.batches("", 1000)))
    assert known <= sum(batch.succeeded for batch in pipeline.batches("", 1000)) <= known + 1


def test_results_outlive_everybody(world: World, client: Client) -> None:
    """Client killed, stations stopped and started: the outcomes are there."""
    world.up("w1")
    process = client("batch")
    assert process.stdout is not None
    assert process.stdout.readline()
    world.end("batch", 9)
    process.stdout.close()
    world.open_gate()
    until(lambda: world.clients[0].attach("mine").status().done)
    for name in ("w1", "sink", "ventilator"):
        assert world.end(name) == 0
    world.start("ventilator", "sink")
    with Pipeline(world.stations.url) as later:
        assert list(later.attach("mine").values()) == [0, 1, 2, 3]


def test_an_unread_map_ends_a_while_after_its_client(world: World, client: Client) -> None:
    """Nobody else will ask for its values: what runs is ended, and nothing of it is left."""
    world.stations.transient_time = 3.0
    pipeline = world.up("w1")
    process = client("map")
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"accepted\n"
    world.started(1)
    world.end("map", 9)
    until(lambda: pipeline.batches() == [], what="the map is gone")
    until(lambda: pipeline.status().leased == 0, what="its jobs have ended")
    assert len(world.starts()) < 4
