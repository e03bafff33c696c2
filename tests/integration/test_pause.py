"""`penstock pause` and `resume`, through real stations, one of which dies meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline
from penstock.errors import Refused
from support.stations import LIMIT, Stations, until

WAITS = "echo {} >> started; until [ -e go ]; do sleep 0.05; done; echo {}"


def test_a_pause_outlasts_the_ventilator_and_is_told_everywhere(stations: Stations, folder: Path, cli: Cli) -> None:
    """What runs goes on to its end, nothing else starts, though the slot is free and the ventilator has died; then the
    batch goes on."""
    stations.start("ventilator", "sink", "w")

    def said(*words: str, code: int = 0) -> str:
        done = cli(*words, env={"PENSTOCK_URL": stations.url})
        assert done.returncode == code, done
        return (done.stdout + done.stderr).decode()

    said("submit", "--name", "nightly", "--shell", WAITS, ":::", "a", "b", "c")
    with Pipeline(stations.url) as pipeline:
        nightly = pipeline.attach("nightly")
        until(lambda: nightly.status().running == 1 and (folder / "started").exists())
        assert "2 of 3 jobs of nightly will not start until it is resumed; 1 runs on" in said("pause", "nightly")
        stations.end("ventilator", signal.SIGKILL)
        stations.start("ventilator")
        (folder / "go").touch()
        until(lambda: nightly.status().succeeded == 1)
        assert pipeline.submit(abs, -1).result(LIMIT) == 1  # the slot is free
        assert (folder / "started").read_text() == "a\n"
        assert nightly.status().paused
        assert f"(`penstock resume {nightly.id}`)" in said("why", "nightly:1")
        assert "nightly" in said("batches", "--state", "paused")

        assert "say --yes" in said("pause", code=2)
        assert "2 jobs of all batches will not start" in said("pause", "--yes")
        assert "PAUSED    the pipeline is paused since" in said("status")
        assert "nightly goes on: 2 jobs may start, but the pipeline is paused since" in said("resume", "nightly")
        assert "2 of 3 jobs of nightly will start with priority 7 and limit 1; 0 run on" in said(
            *("set", "nightly", "--priority", "7", "--limit", "1")
        )
        assert pipeline.job(f"{nightly.id}:2").options == {"priority": 7, "limit": 1}
        pipeline.resume()
        assert [value.stdout for value in nightly] == [b"a\n", b"b\n", b"c\n"]


def test_an_embedded_pipeline_pauses_and_an_inline_one_has_nothing_to(folder: Path) -> None:
    """What is submitted meanwhile is accepted and waits."""
    with Pipeline(slots=1) as pipeline:
        pipeline.pause()
        batch = pipeline.batch(abs, [-1])
        assert "the pipeline is paused" in batch.status().waits
        batch.pause()
        pipeline.resume()
        assert "the batch is paused" in batch.status().waits
        batch.resume()
        assert list(batch) == [1]
    with pytest.raises(ValueError, match="limit must be from 1 to 2147483647, not 0"):
        batch.set(limit=0)
    with pytest.raises(ValueError, match="nothing to set: give priority, limit or both"):
        batch.set()
    with Pipeline("inline") as inline:
        for change in (inline.pause, inline.resume, inline.batch(abs, [-1]).pause, inline.batch(abs, [-1]).resume):
            with pytest.raises(Refused, match="nothing to pause or resume"):
                change()
