"""``penstock sink``: the process that records outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penstock.cli.options import binding, data_folder, health, log_format, older, station_settings
from penstock.cli.signals import give_back


@click.command("sink", short_help="Run a sink: it records outcomes and hands them to clients.")
@older
@health
@log_format
@binding
def command(url: str, data: Path | None, *, accept_older: bool, **asked: Any) -> int:
    """Run a sink until SIGTERM or Ctrl-C: it records the outcomes of jobs and hands them to clients."""
    common = station_settings(url, **asked)
    from penstock.sink.process import main
    from penstock.station.config import SinkConfig

    give_back()
    return main(SinkConfig(data=data_folder(data), accept_older=accept_older, **common))
