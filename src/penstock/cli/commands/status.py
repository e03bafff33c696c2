"""``penstock status``: how a pipeline stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.commands.workers import broken
from penstock.cli.options import as_json, running
from penstock.cli.output import counted, in_local_time, json_line, printable
from penstock.cli.why_waiting import waiting

if TYPE_CHECKING:
    from penstock.client.records import PipelineStatus

SECURITY = {
    "keys": "keys: encrypted, and only holders of a key get in",
    "user": "no keys: only its own user reaches it",
    "private": "no keys: every user of its machine reaches it, and runs code there; `penstock keys init` makes keys",
    "insecure": "INSECURE: no keys, and whoever reaches it runs code there; `penstock keys init` makes keys",
}
"""What the ventilator says of itself, in words."""


@click.command("status", short_help="Show the state of the pipeline.")
@as_json
@running
def command(url: str, as_json: bool) -> None:
    """Show the state of the pipeline: workers, jobs, batches and sink."""
    from penstock.client.command_line import ask_status

    status = ask_status(url)
    if as_json:
        json_line(
            {name: getattr(status, name) for name in status.__struct_fields__}
            | {"workers": len(status.workers), "slots": status.slots}
            | {"broken": {worker.name: worker.broken for worker in status.workers if worker.broken}}
        )
        return
    print(f"pipeline  {printable(status.url)}")
    workers = f"{len(status.workers)}, {counted(status.slots, 'slot')}"
    print(f"workers   {without_workers(status) or workers}")
    for line in broken(status.workers):
        print(line)
    print(f"jobs      {status.waiting} waiting, {status.running} running")
    print(f"batches   {status.batches} with open jobs")
    print(f"sink      {'connected' if status.sink_present else 'not connected: start it with penstock sink'}")
    print(f"versions  {printable(f'penstock {status.version}, Python {status.python}')}")
    if status.reopened or status.lost:
        print(f"damage    the results file lost outcomes: {status.reopened} jobs run again, {status.lost} are dead")
    if status.damage:
        print(f"damage    {printable(status.damage)}")
    print(f"security  {SECURITY.get(status.security) or printable(status.security)}")
    if status.paused:
        print(f"PAUSED    {printable(in_local_time(status.paused))}")
    if status.trouble:
        print(f"TROUBLE   {printable(status.trouble)}")
    if status.malformed:
        print(f"dropped   {status.malformed} malformed messages")


def without_workers(status: PipelineStatus) -> str:
    """That jobs wait and there is nobody to run them, if that is so."""
    if status.workers or not status.waiting:
        return ""
    return f"no worker is connected, and {waiting(status.waiting)} for one: start one with `penstock worker`"
