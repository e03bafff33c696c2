"""`penstock retry`, `cancel` and `delete --where`, through real stations."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from conftest import Cli
from jobs.common import needs
from penstock import Pipeline
from support.stations import Stations, until


def test_what_fits_a_filter_is_counted_and_acted_on(
    stations: Stations, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is done before somebody has said yes, and then only to what fits: failures with that cause run again,
    what waits is cancelled while what runs goes on, and batches that have ended are deleted by their age."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    stations.start("ventilator", "sink", "w")

    def said(*words: str, code: int = 0) -> str:
        done = cli(*words)
        assert done.returncode == code, done
        return done.stderr.decode()

    with Pipeline() as pipeline:
        needy = pipeline.batch(needs, [str(folder)] * 9, range(9), name="needy")
        roots = pipeline.batch(math.sqrt, [-1, -2, 4], name="roots")
        assert (needy.wait(60).failed, roots.wait(60).failed) == (3, 2)
        for index in range(9):
            (folder / str(index)).touch()
        missing = ("retry", "--where", "cause~filenotfound")
        assert "3 jobs of 1 batch will run again. Retry them? Nobody can answer here: say --yes" in said(
            *missing, code=2
        )
        assert needy.status().failed == 3
        assert said(*missing, "--yes") == "penstock: 3 jobs will run again\n"
        assert needy.wait(60).succeeded == 9
        assert roots.status().failed == 2
        assert "nothing to retry" in said(*missing)
        assert "nothing to retry" in said("retry", "needy", "--where", "state!=succeeded")

        long = pipeline.batch(time.sleep, [600], name="long")
        until(lambda: long.status().running == 1)
        waiting = pipeline.batch(abs, range(7), name="waiting")
        assert said("cancel", "--where", "state=queued", "--yes") == "penstock: 7 jobs cancelled\n"
        assert waiting.wait(60).cancelled == 7
        assert long.status().running == 1

        assert "takes whole batches" in said("delete", "--where", "state=failed", "--yes", code=2)
        older = ("delete", "--where", "name!=roots submitted<2100-01-01T00:00Z")
        assert "2 batches with 16 jobs will be deleted, with their results. Delete them?" in said(*older, code=2)
        assert said(*older, "--yes") == "penstock: 2 batches deleted\n"
        assert [batch.name for batch in pipeline.batches()] == ["long", "roots"]
        assert "1 job cancelled" in said("cancel", "long", "--where", "state=running", "--yes")
        assert long.wait(60).cancelled == 1
        assert "is a variable of your shell not set?" in said("cancel", "--where", " ", code=2)
