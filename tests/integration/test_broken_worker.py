"""A worker that can start no slot, beside one that can: it says so, its jobs run elsewhere, and it heals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs.fault import fork_and_wait
from penstock import Pipeline, cli
from penstock.client.engine import Engine
from penstock.slot.process_tree import children, is_alive
from support.stations import Stations, logs, until


class Breakable(Stations):
    """Stations whose workers run a Python that can be taken away."""

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def start_worker(self, name: str) -> None:
        """A venv's Python is a link with a pyvenv.cfg beside its folder."""
        self.python.parent.mkdir(exist_ok=True)
        if not self.python.exists():
            self.python.symlink_to(sys.executable)
            base = Path(sys.prefix) / "pyvenv.cfg"
            (self.folder / "pyvenv.cfg").write_text(
                base.read_text() if base.exists() else f"home = {sys.base_prefix}/bin"
            )
            (self.folder / "lib").symlink_to(Path(sys.prefix) / "lib")
        usual, sys.executable = sys.executable, str(self.python)
        try:
            self.start(name)
        finally:
            sys.executable = usual

    def kill_fork_server(self, name: str) -> None:
        os.kill(self.fork_server(name), signal.SIGKILL)

    def fork_server(self, name: str) -> int:
        """Its pid; the watcher is its parent."""
        (watcher,) = psutil.Process(self.processes[name].pid).children()
        (server,) = watcher.children()
        return int(server.pid)


@pytest.fixture
def stations(folder: Path, url: str) -> Iterator[Breakable]:
    made = Breakable(folder, url)
    made.start("ventilator", "sink")
    yield made
    made.close()
    print("\n".join(logs(folder)))


@pytest.fixture
def pipeline(stations: Breakable) -> Iterator[Pipeline]:
    """With one worker, called frail."""
    stations.start_worker("frail")
    made = Pipeline(stations.url)
    assert isinstance(made.engine, Engine)
    yield made
    made.engine.abandon()


def test_a_worker_that_can_start_no_slot(
    stations: Breakable, pipeline: Pipeline, capfd: pytest.CaptureFixture[str]
) -> None:
    """Log, `workers`, `why`, `status` and `doctor` have the reason; jobs run at another worker, or wait for it."""
    assert pipeline.submit(abs, -1).result(60) == 1
    stations.python.rename(stations.folder / "away")
    stations.kill_fork_server("frail")
    (worker,) = until(lambda: [one for one in pipeline.workers() if one.broken])
    assert "bin/python" in worker.broken
    assert b" broken: no process can be started for any slot" in stations.log("frail").read_bytes()
    waiting = pipeline.submit(abs, -2)
    batch, _, index = waiting.job_id.partition(":")
    assert "every worker that may run it is broken (frail on" in pipeline.attach(batch).why(int(index))
    for words in (["workers"], ["status"], ["doctor"]):
        code = cli.main([*words, "--url", stations.url])
        assert (code == 1) == (words == ["doctor"])
        assert "frail on" in capfd.readouterr().out
    stations.start("sound")
    assert waiting.result(60) == 2
    assert {outcome.worker for outcome in pipeline.batch(abs, range(50)).outcomes()} == {"sound"}
    (stations.folder / "away").rename(stations.python)
    until(lambda: not any(one.broken for one in pipeline.workers()))
    assert pipeline.options(worker="frail").submit(abs, -3).result(60) == 3


@pytest.mark.parametrize("watched", [True, False])
def test_nothing_of_a_job_outlives_its_agent(stations: Breakable, pipeline: Pipeline, watched: bool) -> None:
    """Agent and fork server are killed at one moment, as by kill -9 of both: what they ran ends at once, commands and
    what calls have forked, before another worker runs it again. Where the watcher is killed with them (the control),
    it runs on, until the next worker comes up here."""
    command, forked = stations.folder / "command", stations.folder / "forked"
    script = f"echo $$ > {command}.new; mv {command}.new {command}; sleep 1000 & wait"
    pipeline.command(["sh", "-c", script], max_crashes=1)
    until(command.exists)
    stations.start("second")
    pipeline.options(worker="second", max_crashes=1).submit(fork_and_wait, str(forked))
    until(forked.exists)
    running = [int(mark.read_text()) for mark in (command, forked)]
    running += [child for pid in running for child in children(pid)]
    doomed: list[int] = []
    for name in ("frail", "second"):
        server = stations.fork_server(name)
        doomed += [stations.processes[name].pid, server, *([] if watched else [psutil.Process(server).ppid()])]
    for pid in doomed:
        os.kill(pid, signal.SIGSTOP)  # none of them can do anything more for it
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    if not watched:
        until(lambda: not any(map(is_alive, doomed)))
        assert any(map(is_alive, running))
        stations.start("third")
    until(lambda: not any(map(is_alive, running)))
