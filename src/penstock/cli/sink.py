"""``penstock sink``: the process that records outcomes."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.options import binding, checked_bind, data_folder


@click.command("sink", short_help="Run a sink: it records outcomes and shows them to clients.")
@binding
def command(url: str, data: Path | None, insecure: bool) -> int:
    """Run a sink until SIGTERM or Ctrl-C: it records what jobs came to and shows it to clients."""
    checked_bind(url, insecure=insecure)
    from penstock.config import SinkConfig
    from penstock.sink import main

    return main(SinkConfig(url=url, data=data_folder(data)))
