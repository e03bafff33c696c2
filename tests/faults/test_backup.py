"""Back-up of a pipeline that is at work, and what comes of it when everything else is gone."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from conftest import Cli
from jobs.fault import nap
from penstock.client.backup import copying_at
from penstock.errors import StoreError
from support.fault_pipeline import World
from support.stations import LIMIT

VALUE_BYTES = 1_000_000
JOBS = 100


def test_copies_of_running_stations_are_a_pipeline(world: World, cli: Cli) -> None:
    """Everything dies and the data folder is gone; on the copies each job that was accepted before comes to its one
    outcome, and what was recorded before is not run again."""
    world.up("w1", "w2")
    batch = world.batch(nap, 40, name="mine")
    recorded = [outcome.index for outcome, _ in zip(batch.follow(), range(10), strict=False)]
    done = cli("backup", "--url", world.stations.url, "--data", "data", "copy")
    assert done.returncode == 0, done.stderr
    starts = len(world.starts())
    for name in ("ventilator", "sink", "w1", "w2"):
        world.stations.processes[name].kill()
    for name in ("ventilator", "sink", "w1", "w2"):
        world.end(name, 9)
    shutil.rmtree(world.folder / "data")
    (world.folder / "copy").rename(world.folder / "data")
    world.start("ventilator", "sink", "w1", "w2")
    restored = world.clients[0].attach("mine")
    assert restored.wait(LIMIT).succeeded == 40
    assert list(restored.values()) == list(range(40))
    assert not {index for index, _, _ in world.starts()[starts:]} & set(recorded)


def test_jobs_go_on_while_it_is_made_and_a_killed_station_leaves_no_whole_file(
    world: World, cli: Cli, ptrace: None
) -> None:
    """Outcomes are recorded and told between its beginning and its end, and what is restored is sound. A station that
    is killed before all is done leaves nothing under the name of a store, and the asker is told."""
    pipeline = world.up("w1")
    assert pipeline.batch(bytes, [VALUE_BYTES] * JOBS).wait(LIMIT).succeeded == JOBS
    going = pipeline.batch(time.sleep, [0.001] * 30_000)
    with copying_at(world.stations.url, str(world.folder / "copy"), "") as copying:
        assert [state.copied for state in copying.copy("queue.db")][-1] == 1
        ended = [(state.copied, going.status().succeeded) for state in copying.copy("results.db")]
    assert (ended[0][0], ended[-1][0]) == (0, 1)
    assert ended[-2][1] > ended[0][1], "while some of it was not copied, jobs were told to have ended"
    with copying_at(world.stations.url, str(world.folder / "killed"), "") as copying:
        states = copying.copy("results.db")
        with world.dying_at("sink", "/^rename"):  # which gives the copy its name
            next(states)
        with pytest.raises(StoreError, match="the station has ended meanwhile"):
            list(states)
    going.cancel()
    names = {folder: [path.name for path in (world.folder / folder).iterdir()] for folder in ("copy", "killed")}
    assert names == {"copy": ["queue.db", "results.db"], "killed": ["results.db.part"]}
    assert (world.folder / "copy/results.db").stat().st_size > JOBS * VALUE_BYTES
    assert cli("check", "--data", "copy").stdout.split().count(b"sound") == 2


def test_without_room_nothing_is_begun(world: World, cli: Cli) -> None:
    """A copy that fills the disk in the end would stop whatever else writes there."""
    world.up("w1")
    world.check(world.batch(nap, 2), 2)
    target = world.folder / "small"
    target.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", target], check=False).returncode:
        pytest.skip("needs to be root to mount a small file system")
    try:
        done = cli("backup", "--url", world.stations.url, "small")
        assert (done.returncode, list(target.iterdir())) == (2, [])
        assert b"small: its disk has 65,536 bytes left, and the copies take up to " in done.stderr
    finally:
        subprocess.run(["umount", target], check=True)


def test_copies_at_rest_and_never_over_others(world: World, cli: Cli) -> None:
    """Stations that do not run are no hindrance; a copy that is there stays; an empty folder is said."""
    world.up("w1")
    world.check(world.batch(nap, 2), 2)
    for name in ("w1", "sink", "ventilator"):
        assert world.end(name) == 0
    assert cli("backup", "--data", "data", "copy").returncode == 0
    copies = {path.name: path.read_bytes() for path in (world.folder / "copy").iterdir()}
    assert set(copies) == {"queue.db", "results.db"}
    again = cli("backup", "--data", "data", "copy")
    assert (again.returncode, b"this file exists" in again.stderr) == (2, True)
    assert {path.name: path.read_bytes() for path in (world.folder / "copy").iterdir()} == copies
    nothing = cli("backup", "--data", "nowhere", "copy")
    assert (nothing.returncode, b"no store in this folder" in nothing.stderr) == (2, True)
