"""Stations are started on files that do not go together: nothing is lost for it, and one line says what to do."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

from jobs.fault import nap, wait
from penstock.exit_codes import REFUSED
from support.fault_pipeline import World
from support.stations import Stations, free_url, until


def last_line(world: World, name: str) -> str:
    return world.stations.log(name).read_text().splitlines()[-1]


def aside(data: Path, name: str) -> None:
    """Take a store away, with its log."""
    for path in data.glob(f"{name}*"):
        if not path.name.endswith(".lock"):
            path.rename(path.with_name(f"aside-{path.name}"))


def back(data: Path, name: str) -> None:
    """And put it back."""
    for path in [*data.glob(f"{name}*")]:
        path.unlink()
    for path in [*data.glob(f"aside-{name}*")]:
        path.rename(path.with_name(path.name.removeprefix("aside-")))


def test_a_sink_on_a_new_folder_is_refused_and_opens_nothing_again(world: World) -> None:
    """An operator's second start: it ends, with a line; the first one goes on when it is back."""
    client = world.up("w1")
    first = world.batch(nap, 6)
    world.check(first, 6)
    world.end("sink")
    data = world.folder / "data"
    aside(data, "results.db")
    for _ in range(2):
        assert world.end_refused("sink") == REFUSED
    assert "results.db: is new, and the queue.db of this pipeline knows line" in last_line(world, "sink")
    assert "--accept-older" in last_line(world, "sink")
    back(data, "results.db")
    world.start("sink")
    assert world.batch(nap, 2).wait(60).succeeded == 2
    assert client.status().reopened == 0
    assert len(world.starts()) == 8


def test_a_sink_of_another_pipeline_is_refused_by_name(world: World, folder: Path) -> None:
    """It ends, whatever it is told."""
    world.up("w1")
    world.check(world.batch(nap, 2), 2)
    (folder / "other").mkdir()
    other = Stations(folder / "other", free_url())
    try:
        other.start("ventilator", "sink")
        until(lambda: "sink_joined" in other.log("ventilator").read_text(), what="the other pipeline is up")
        time.sleep(1.5)  # a beat: the two files know each other
    finally:
        assert other.end("sink") == other.end("ventilator") == 0
    world.end("sink")
    aside(world.folder / "data", "results.db")
    shutil.copy(folder / "other" / "data" / "results.db", world.folder / "data" / "results.db")
    assert world.end_refused("sink", accept_older=True) == REFUSED
    assert "results.db: is of pipeline" in last_line(world, "sink")
    back(world.folder / "data", "results.db")
    world.start("sink")
    assert world.batch(nap, 2).wait(60).succeeded == 2


def test_a_ventilator_on_a_new_folder_ends_and_workers_keep_what_they_hold(world: World) -> None:
    """A wrong --data for some seconds: nothing is dropped, and nothing runs twice."""
    client = world.up("w1")
    batch = world.batch(wait, 3, max_crashes=1)
    values = batch.values()
    world.started(1)
    world.end("ventilator", signal.SIGKILL)
    data = world.folder / "data"
    aside(data, "queue.db")
    world.stop("sink")
    world.start("ventilator")
    time.sleep(4)  # nobody is told anything, as long as the sink cannot say what it knows
    world.go_on("sink")
    assert world.stations.processes.pop("ventilator").wait(60) == REFUSED
    assert "queue.db: is new, and the sink at this URL has the log of pipeline" in last_line(world, "ventilator")
    back(data, "queue.db")
    world.start("ventilator")
    world.open_gate()
    assert list(values) == [0, 1, 2], "its reader was not told that it is gone"
    assert [index for index, _, _ in sorted(world.starts())] == [0, 1, 2]
    assert "other_pipeline" in world.stations.log("w1").read_text()
    assert client.status().reopened == 0


def test_a_queue_without_its_write_ahead_log_is_refused(world: World) -> None:
    """What was accepted would be gone without a word; when somebody says so, it goes on without."""
    client = world.up()
    older = world.batch(nap, 2)
    until(lambda: client.status().queued == 2, what="they are accepted")
    world.end("ventilator")
    world.start("ventilator")
    world.batch(nap, 5)
    until(lambda: client.status().queued == 7, what="they are accepted")
    time.sleep(1.5)  # a beat: the sink has heard of them
    world.end("ventilator", signal.SIGKILL)
    (world.folder / "data" / "queue.db-wal").unlink()
    assert world.end_refused("ventilator") == REFUSED
    assert "queue.db: is an older copy, or has lost its end (its -wal?)" in last_line(world, "ventilator")
    world.start("ventilator", accept_older=True)
    world.start("w1")
    assert older.wait(60).succeeded == 2
    assert client.status().queued == 0
