"""The results file loses its end: what was in it runs again, what was before it does not, and the operator is told."""

from __future__ import annotations

import shutil
import signal

import pytest

from jobs.fault import nap
from penstock.exit_codes import REFUSED
from support.fault_pipeline import World
from support.stations import until


@pytest.mark.parametrize("kept", ["an old copy", "nothing"])
def test_while_the_sink_is_away(world: World, kept: str) -> None:
    """Each job has one outcome again; `status` and one line of the log say how many were opened again."""
    client = world.up("w1")
    data = world.folder / "data"
    first = world.batch(nap, 10)
    world.check(first, 10)
    world.end("sink", signal.SIGTERM)
    shutil.copy(data / "results.db", world.folder / "copy")
    world.start("sink")
    second = world.clients[0].batch(abs, range(-5, 0), name="second")
    assert list(second.values()) == [5, 4, 3, 2, 1]
    assert second.wait(60).succeeded == 5

    world.end("sink", signal.SIGKILL)
    for name in ("results.db", "results.db-wal"):
        (data / name).unlink(missing_ok=True)
    if kept == "an old copy":
        shutil.copy(world.folder / "copy", data / "results.db")
    assert world.end_refused("sink") == REFUSED
    assert "--accept-older" in world.stations.log("sink").read_text()
    assert set(world.times().values()) == {1}, "nothing runs again before somebody says so"
    world.start("sink", accept_older=True)
    lost = 5 if kept == "an old copy" else 15
    until(lambda: client.status().reopened == lost, what="the loss is noticed")
    assert second.wait(60).succeeded == 5
    assert list(second.values()) == [5, 4, 3, 2, 1]
    assert first.wait(60).succeeded == 10
    assert set(world.times().values()) == {1 if kept == "an old copy" else 2}
    log = world.stations.log("ventilator").read_text()
    assert f"reopened={lost} dead=0" in log
