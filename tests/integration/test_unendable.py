"""A job whose process becomes another user's, as by sudo, on a worker that may not end it: that is told."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Pipeline
from penstock.slot.process_tree import is_alive
from support.stations import LIMIT, Stations, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can start a worker that may not kill others"
)
BECOME_NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"]


@pytest.fixture
def stations(folder: Path, url: str) -> Iterator[Stations]:
    """A worker that, as one of a usual account, may end its own processes only; and does not wait long."""
    made = Stations(folder, url)
    made.start("ventilator", "sink")
    argv = ["setpriv", "--bounding-set=-kill", *made.argv("w1", 1, url, {"grace": 0.2})]
    with made.log("w1").open("ab") as log:
        made.processes["w1"] = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    yield made
    for pid in re.findall(r"not_ended: .* pid=(\d+)", made.log("w1").read_text()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    made.close()


def test_who_outlives_its_time_limit_is_named(stations: Stations) -> None:
    """In the outcome's cause and in the worker's log; later jobs neither wait for it nor are said to have left it."""
    with Pipeline(stations.url) as pipeline:
        (sleeper,) = pipeline.batch([*BECOME_NOBODY, "sleep", "600"], [[]], cwd="/", time_limit=0.5).failures()
        assert sleeper.state == "timed_out"
        named = re.search(r"time limit of 0.5 s; its process (\d+) runs on, as another user", sleeper.cause)
        assert named, sleeper.cause
        pid = int(named[1])
        assert is_alive(pid)
        assert f"slot=0 pid={pid}" in until(lambda: stations.log("w1").read_text().partition("not_ended")[2])
        began_at = time.monotonic()
        (other,) = pipeline.batch(["sleep", "600"], [[]], cwd="/", time_limit=0.5).failures()
        assert other.cause == "ran longer than its time limit of 0.5 s"
        assert time.monotonic() - began_at < LIMIT / 4
        assert is_alive(pid)
