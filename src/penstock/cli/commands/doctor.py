"""``penstock doctor``: what keeps this machine from using a pipeline, or from running jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.options import as_json, data_folder, debug, key_path, keyed, stores_option
from penstock.cli.output import json_line, printable
from penstock.errors import ConfigError
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock.cli.commands.doctor_reach import Finding


@click.command("doctor", short_help="Check whether this machine can use a pipeline.")
@click.option(
    "--url",
    envvar="PENSTOCK_URL",
    help="Check the way to the pipeline at this URL.  [env: PENSTOCK_URL; default: the key's]",
)
@keyed
@click.option("--module", "names", multiple=True, metavar="NAME", help="Check also that jobs can import this module.")
@stores_option("Check the disk of this folder of stores.", "")
@as_json
@debug
def command(url: str | None, names: tuple[str, ...], data: Path | None, as_json: bool) -> int:
    """Check all that a client or a worker on this machine needs, and say what is wrong and what to do.

    Each check is one line: ok, warn or wrong. The exit code is 1 if something is wrong.
    """
    unwell = 0
    for finding in _findings(url, names, data):
        unwell |= finding.state == "wrong"
        if as_json:
            json_line(finding._asdict())
        else:
            print(f"{finding.state:5}  {finding.check:13}  {printable(finding.said)}", flush=True)
    return FAILURE if unwell else SUCCESS


def _findings(url: str | None, names: tuple[str, ...], data: Path | None) -> Iterator[Finding]:
    from penstock.cli.commands import doctor_machine
    from penstock.cli.commands.doctor_reach import Finding, reach

    yield from reach(url, key_path())
    yield from doctor_machine.modules(names)
    try:
        yield doctor_machine.disk(Path(data_folder(data)))
    except ConfigError as error:  # of a machine for workers alone that is no fault
        yield Finding("disk", "warn", str(error))
    yield doctor_machine.files()
    yield doctor_machine.processes()
    yield doctor_machine.slot()
