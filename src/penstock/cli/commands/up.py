"""``penstock up``: a whole pipeline on this machine, as processes of this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from penstock.cli.options import binding, data_folder, graced, key_path, older, station_settings
from penstock.cli.output import say
from penstock.errors import ConfigError, NoPipeline, PenstockError
from penstock.exit_codes import REFUSED, SUCCESS, WRONG_USE, in_words

if TYPE_CHECKING:
    from penstock.station.config import StationConfig

LOOK_INTERVAL = 0.2
"""Seconds between two looks at the stations."""
START_TIME = 15.0
"""Seconds the stations have to find each other: a cold start of Python on a busy machine, thrice."""
SETTLED_TIME = 5.0
"""Seconds after which a station's end is no failed start."""


@click.command("up", short_help="Run ventilator, sink and workers on this machine, until Ctrl-C.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=1,
    envvar="PENSTOCK_WORKERS",
    show_default=True,
    help="Start this many worker processes.",
)
@click.option(
    "--slots",
    type=click.IntRange(1),
    metavar="N",
    envvar="PENSTOCK_SLOTS",
    help="Run this many jobs at once in each worker.  [default: cores / workers]",
)
@click.option("--show-jobs", is_flag=True, help="Print a line for each job as it ends.")
@older
@graced()
@binding
def command(
    url: str,
    data: Path | None,
    workers: int,
    slots: int | None,
    *,
    show_jobs: bool,
    grace: float,
    accept_older: bool,
    **asked: Any,
) -> None:
    """Run a whole pipeline on this machine until Ctrl-C, which lets running jobs finish.

    A second Ctrl-C ends the running jobs with their grace, a third one at once.
    """
    common = station_settings(url, **asked)
    folder = data_folder(data)
    _check_places(url, folder)
    stations = Stations()
    with _terminable():
        try:
            stores = {"data": folder, "accept_older": accept_older}
            _start(stations, common, stores, workers, slots, show_jobs=show_jobs, grace=grace)
            _wait_until_up(stations, url, workers)
            say(f"{url} is up and keeps its data in {folder}; others on this machine find it with")
            print(f"export PENSTOCK_URL={url}", flush=True)
            if key_path():
                print(f"export PENSTOCK_KEY={key_path()}", flush=True)
            stations.watch()
        finally:
            stations.stop()


def _check_places(url: str, folder: str) -> None:
    """Before anything is started. ConfigError: somebody else is there; UnfitFolder: no stores can be there."""
    from penstock.cli.commands.doctor_reach import is_taken
    from penstock.station.store_file import prepare

    if is_taken(url):
        raise ConfigError(f"{url} is in use: see `penstock status --url {url}`, or choose another --bind")
    try:
        prepare(Path(folder), durable=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {(error.strerror or str(error)).lower()}") from None


def _start(
    stations: Stations,
    common: dict[str, Any],
    stores: dict[str, Any],
    workers: int,
    slots: int | None,
    **of_workers: Any,
) -> None:
    """`common`: what every station is told; `stores`: what those with a store are; `of_workers`: what workers are."""
    from penstock.cli.commands.worker import default_name
    from penstock.station.capacity import default_slots
    from penstock.station.config import SinkConfig, VentilatorConfig, WorkerConfig

    common["lifeline"] = stations.lifeline
    stations.start("ventilator", VentilatorConfig(**stores, **common))
    stations.start("sink", SinkConfig(**stores, **common))
    each = slots or max(1, default_slots() // max(1, workers))
    for number in range(1, workers + 1):
        name = f"{default_name()}-{number}"
        stations.start("worker", WorkerConfig(slots=each, name=name, **of_workers, **common))


def _wait_until_up(stations: Stations, url: str, workers: int) -> None:
    from penstock import Pipeline

    try:
        pipeline = Pipeline(url)
    except NoPipeline:
        stations.check(starting=True)
        raise
    with pipeline:
        end = time.monotonic() + START_TIME
        while not (status := pipeline.status()).sink_present or len(status.workers) < workers:
            stations.check()
            if time.monotonic() > end:
                raise NoPipeline(f"{url}: sink and workers did not come up within {START_TIME:g} s")
            time.sleep(LOOK_INTERVAL)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends this as Ctrl-C does."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Running(NamedTuple):
    """One station's process and how it was started."""

    kind: str
    config: StationConfig
    process: subprocess.Popen[bytes]
    started_at: float


class Stations:
    """Station processes in sessions of their own, so that Ctrl-C reaches only this process; they end with it."""

    lifeline: int

    def __init__(self) -> None:
        self.lifeline, self._held = os.pipe()
        self._running: list[Running] = []

    def start(self, kind: str, config: StationConfig) -> None:
        """Start a station of this kind."""
        import msgspec

        process = subprocess.Popen(
            [sys.executable, "-m", f"penstock.{kind}.process", msgspec.json.encode(config).decode()],
            pass_fds=(self.lifeline,),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running.append(Running(kind, config, process, time.monotonic()))

    def check(self, *, starting: bool = False) -> None:
        """Start again what was killed. PenstockError: a station ended soon after its start, or while all are
        `starting`; it said why on stderr."""
        for station in [one for one in self._running if one.process.poll() is not None]:
            self._running.remove(station)
            code = station.process.returncode
            if station.kind == "worker" and code in {SUCCESS, REFUSED}:
                continue  # it was drained, or its key was revoked
            if starting or time.monotonic() < station.started_at + SETTLED_TIME:
                kind = ConfigError if code == WRONG_USE else PenstockError
                raise kind(f"the {station.kind} ended with {in_words(code)}, see above")
            say(f"the {station.kind} ended with {in_words(code)}: started again")
            self.start(station.kind, station.config)

    def watch(self) -> None:
        """Look after the stations until Ctrl-C."""
        while True:
            self.check()
            time.sleep(LOOK_INTERVAL)

    def stop(self) -> None:
        """Workers finish first, while there is someone to report to. Interrupted, all end as soon as what runs has had
        its grace; interrupted again, at once."""
        try:
            for kinds in ({"worker"}, {"ventilator", "sink"}):
                self._terminate(kinds)
        finally:
            os.close(self._held)  # whoever still lives sees its lifeline end
            os.close(self.lifeline)
            try:
                self._wait()
            except KeyboardInterrupt:
                self._terminate({"worker"})
                raise

    def _terminate(self, kinds: Collection[str]) -> None:
        some = [station.process for station in self._running if station.kind in kinds]
        for process in some:
            process.terminate()
        for process in some:
            process.wait()

    def _wait(self) -> None:
        for station in self._running:
            station.process.wait()
