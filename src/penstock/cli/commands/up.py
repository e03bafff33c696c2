"""``penstock up``: a whole pipeline on this machine, as processes of this one."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.options import binding, data_folder, graced, key_path, log_format, older, station_settings
from penstock.cli.output import say
from penstock.errors import ConfigError, NoPipeline, PenstockError
from penstock.exit_codes import WRONG_USE

if TYPE_CHECKING:
    from penstock.station.config import LogFormat
    from penstock.supervisor import Station, Supervisor

LOOK_INTERVAL = 0.2
"""Seconds between two questions whether all are there."""
START_TIME = 15.0
"""Seconds the stations have to find each other: a cold start of Python on a busy machine, thrice."""


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
@log_format
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
    _check_places(url, folder, asked["log_format"])
    from penstock.supervisor import StationEndedError, Supervisor

    with _terminable():
        stores = {"data": folder, "accept_older": accept_older}
        stations = _stations(common, stores, workers, slots, show_jobs=show_jobs, grace=grace)
        supervisor = Supervisor(stations, say=say)
        try:
            supervisor.start()
            _wait_until_up(supervisor, url, workers)
            say(f"{url} is up and keeps its data in {folder}; programs find it with")
            print(f"export PENSTOCK_URL={shlex.quote(url)}", flush=True)
            if key_path():
                print(f"export PENSTOCK_KEY={shlex.quote(key_path())}", flush=True)
            while True:
                supervisor.wait()
        except StationEndedError as error:
            raise (ConfigError if error.code == WRONG_USE else PenstockError)(f"{error}, see above") from None
        finally:
            supervisor.stop()


def _check_places(url: str, folder: str, log_format: LogFormat) -> None:
    """Before anything is started. NoAddress: its name has none here; ConfigError: somebody else is there; UnfitFolder:
    no stores can be there."""
    from penstock.cli.commands.doctor_reach import is_taken
    from penstock.station.data_folder import prepare
    from penstock.station.log_events import setup
    from penstock.station.own_address import wait_for_address
    from penstock.url import endpoints

    wait_for_address(endpoints(url).desk, setup("up", "INFO", form=log_format))
    if is_taken(url):
        raise ConfigError(f"{url} is in use: see `penstock status --url {url}`, or choose another --bind")
    try:
        prepare(Path(folder), durable=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {(error.strerror or str(error)).lower()}") from None


def _stations(
    common: dict[str, Any],
    stores: dict[str, Any],
    workers: int,
    slots: int | None,
    **of_workers: Any,
) -> list[Station]:
    """`common`: what every station is told; `stores`: what those with a store are; `of_workers`: what workers are."""
    from penstock.cli.commands.worker import default_name
    from penstock.station.capacity import default_slots
    from penstock.station.config import SinkConfig, VentilatorConfig, WorkerConfig
    from penstock.supervisor import Station

    each = slots or max(1, default_slots() // max(1, workers))
    names = [f"{default_name()}-{number}" for number in range(1, workers + 1)]
    return [
        Station("ventilator", VentilatorConfig(**stores, **common)),
        Station("sink", SinkConfig(**stores, **common)),
        *(Station("worker", WorkerConfig(slots=each, name=name, **of_workers, **common)) for name in names),
    ]


def _wait_until_up(supervisor: Supervisor, url: str, workers: int) -> None:
    from penstock import Pipeline

    try:
        pipeline = Pipeline(url)
    finally:
        supervisor.wait(timeout=0)  # a station that has ended is why there is none
    with pipeline:
        end = time.monotonic() + START_TIME
        while not (status := pipeline.status()).sink_present or len(status.workers) < workers:
            if time.monotonic() > end:
                raise NoPipeline(f"{url}: sink and workers did not come up within {START_TIME:g} s")
            supervisor.wait(timeout=LOOK_INTERVAL)
    supervisor.is_up = True


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
