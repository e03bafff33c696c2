"""Silence is an error: what stations say on stderr while they wait, when they join, and of the jobs they run."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline
from support.keyed_pipeline import make_keys
from support.stations import LIMIT, Stations, until


def count(stations: Stations, name: str, event: str) -> int:
    """How often a station's log has this event."""
    return stations.log(name).read_text().count(f" {event}: ")


@pytest.mark.parametrize("name", ["w1", "sink"])
def test_a_station_says_that_it_waits_that_it_joined_and_that_the_link_is_lost(stations: Stations, name: str) -> None:
    """Before there is a ventilator, when there is one, when it dies, and when it is back; each once."""
    stations.start(name, slots=3)
    assert until(lambda: count(stations, name, "joining"), what="it says whom it waits for") == 1
    until(lambda: count(stations, name, "no_answer") == 1, what="it waits")
    assert f"nothing answers there: trying on url={stations.url}" in stations.log(name).read_text()
    assert not count(stations, name, "joined")
    stations.start("ventilator", *({"sink"} - {name}))
    until(lambda: count(stations, name, "joined") == 1, what="it has joined")
    stations.end("ventilator", signal.SIGKILL)
    until(lambda: count(stations, name, "lost_link") == 1, what="the link is lost")
    stations.start("ventilator")
    until(lambda: count(stations, name, "joined") == 2, what="it is back")
    assert count(stations, name, "no_answer") <= 2


def test_of_a_ventilator_that_is_stopped_nobody_says_that_it_does_not_know_a_key(
    stations: Stations, folder: Path, cli: Cli
) -> None:
    """Its machine accepts connections, and nothing more is known: workers and clients say so, with keys and without."""
    keys = make_keys(folder, stations.url)
    for key in ("", str(keys.path)):
        stations.start("ventilator", "sink", key=key)
        until(lambda: count(stations, "sink", "joined"), what="they run")
        for name in ("ventilator", "sink"):
            stations.processes[name].send_signal(signal.SIGSTOP)
        stations.start("w1", key=key)
        until(lambda: count(stations, "w1", "no_handshake"), what="it is said")
        assert 'why="no answer: who listens there is stopped' in stations.log("w1").read_text()
        done = cli("status", *(["--key", key] if key else ["--url", stations.url]))
        assert done.returncode == 3
        assert b"no answer in the handshake" in done.stderr
        assert b"key" not in done.stderr
        stations.close()
        for name in ("w1", "sink", "ventilator"):
            stations.log(name).unlink()


def test_a_worker_prints_a_line_for_each_job(stations: Stations, folder: Path) -> None:
    """With `--show-jobs`, on stdout, as each ends; without it nothing."""
    stations.start("ventilator", "sink", "quiet")
    argv = [sys.executable, "-m", "penstock", "worker", "--connect", stations.url, "--name", "loud", "--show-jobs"]
    with (folder / "loud.out").open("wb") as out, (folder / "loud.log").open("wb") as log:
        process = subprocess.Popen([*argv, "--slots", "1"], stdout=out, stderr=log)
    try:
        with Pipeline(stations.url) as pipeline:
            until(lambda: len(pipeline.workers()) == 2, what="both are there")
            batch = pipeline.batch([sys.executable, "-c", "import sys; sys.exit({})"], [0, 3], worker="loud")
            assert [outcome.returncode for outcome in batch.outcomes()] == [0, 3]
            pipeline.batch(["true"], ["x"], worker="quiet").wait(LIMIT)
        until(lambda: (folder / "loud.out").read_text().count("\n") == 2, what="a line for each job")
    finally:
        process.terminate()
        process.wait(LIMIT)
    lines = (folder / "loud.out").read_text().splitlines()
    assert f"{batch.id}:0  succeeded" in lines[0]
    assert f"{batch.id}:1  failed (exit code 3)" in lines[1]
    assert lines[1].endswith("sys.exit(3)'")
    assert "slot 0" not in stations.log("quiet").read_text()


def test_status_says_who_is_missing(stations: Stations, cli: Cli) -> None:
    """No sink, though nobody can tell what was recorded then; no worker, while jobs wait for one."""
    stations.start("ventilator")
    until(lambda: count(stations, "ventilator", "started"), what="the ventilator is up")
    done = cli("status", "--url", stations.url)
    assert done.returncode == 0, done
    assert b"TROUBLE   the sink is not connected" in done.stdout
    stations.start("sink")
    until(lambda: count(stations, "sink", "joined"), what="the sink has joined")
    assert b"TROUBLE" not in cli("status", "--url", stations.url).stdout
    assert cli("submit", "--url", stations.url, "true", ":::", "x").returncode == 0
    for command in ("status", "doctor"):
        assert b"no worker is connected, and 1 job waits for one" in cli(command, "--url", stations.url).stdout


def test_who_asks_the_ventilator_needs_no_sink(stations: Stations, cli: Cli) -> None:
    """`status`, `workers`, `batches`, `cancel` and `drain` answer while the sink is away, and say that it is the
    ventilator when that is missing."""
    stations.start("ventilator", "sink", "w1")
    until(lambda: count(stations, "w1", "joined"), what="it has joined")
    assert cli("submit", "--url", stations.url, "sleep", ":::", "1000").returncode == 0
    stations.end("sink", signal.SIGKILL)
    for words in (["status"], ["workers"], ["batches"], ["cancel", "last"], ["drain", "w1"]):
        done = cli(*words, "--url", stations.url)
        assert done.returncode == 0, (words, done.stderr)
    until(lambda: count(stations, "w1", "drains"), what="it was told")
    stations.end("ventilator", signal.SIGKILL)
    stations.start("sink")
    until(lambda: count(stations, "sink", "joining"), what="the sink is up")
    done = cli("workers", "--url", stations.url)
    assert (done.returncode, f"no ventilator answers at {stations.url}".encode() in done.stderr) == (3, True)


def test_a_worker_says_that_nobody_takes_its_outcomes(stations: Stations) -> None:
    """A sink that is away, or behind a port that is shut, and that it is there again."""
    stations.start("ventilator", "w1")
    until(lambda: count(stations, "w1", "no_sink") == 1, what="it waits for the sink")
    stations.start("sink")
    until(lambda: count(stations, "w1", "sink_reached") == 1, what="the sink is there")
