"""``penstock ventilator``: the process that hands out jobs."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.options import binding, checked_bind, data_folder


@click.command("ventilator", short_help="Run a ventilator: it takes in jobs and hands them to workers.")
@binding
def command(url: str, data: Path | None, insecure: bool) -> int:
    """Run a ventilator until SIGTERM or Ctrl-C: it takes in jobs, keeps them safe and hands them to workers."""
    checked_bind(url, insecure=insecure)
    from penstock.config import VentilatorConfig
    from penstock.ventilator import main

    return main(VentilatorConfig(url=url, data=data_folder(data)))
