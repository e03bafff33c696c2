"""``penstock ventilator``: the process that hands out jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penstock.cli.options import binding, data_folder, health, log_format, older, station_settings
from penstock.cli.signals import give_back


@click.command("ventilator", short_help="Run a ventilator: it takes in jobs and hands them to workers.")
@older
@health
@log_format
@binding
def command(url: str, data: Path | None, *, accept_older: bool, **asked: Any) -> int:
    """Run a ventilator until SIGTERM or Ctrl-C: it takes in jobs, keeps them safe and hands them to workers."""
    common = station_settings(url, **asked)
    from penstock.station.config import VentilatorConfig
    from penstock.ventilator.process import main

    give_back()
    return main(VentilatorConfig(data=data_folder(data), accept_older=accept_older, **common))
