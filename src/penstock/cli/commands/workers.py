"""``penstock workers``: who is connected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import columns, json_line, printable
from penstock.version import advice

if TYPE_CHECKING:
    from penstock.client.records import PipelineStatus, WorkerInfo


def state(worker: WorkerInfo) -> str:
    """What it is about."""
    return "broken" if worker.broken else "draining" if worker.draining else "paused" if worker.paused else "working"


@click.command("workers", short_help="List the workers that are connected.")
@as_json
@running
def command(url: str, as_json: bool) -> None:
    """List the workers: their slots, the jobs that run there, all jobs that they hold, and how many they have done."""
    from penstock.client.command_line import ask_status

    status = ask_status(url)
    workers = sorted(status.workers, key=lambda worker: (worker.host, worker.name))
    if as_json:
        for worker in workers:
            json_line(msgspec.structs.asdict(worker))
        return
    columns(
        ("NAME", "HOST", "PID", "SLOTS", "RUNNING", "HELD", "DONE", "PYTHON", "PENSTOCK", "STATE", "TAGS"),
        map(_row, workers),
    )
    for line in broken(workers):
        print(line)
    for line in of_other_versions(status):
        print(printable(f"version   {line}"))


def _row(worker: WorkerInfo) -> tuple[object, ...]:
    counts = worker.slots, worker.running, worker.jobs, worker.done
    versions = worker.python, worker.version or "-"
    return worker.name, worker.host, worker.pid, *counts, *versions, state(worker), " ".join(worker.tags)


def of_other_versions(status: PipelineStatus) -> list[str]:
    """A line for each worker that does not go with its ventilator, and which side to upgrade."""
    return [
        f"{one.name} on {one.host} has penstock {one.version}, and the ventilator {status.version}: {text}"
        for one in status.workers
        if one.version and (text := advice(one.version, status.version, "that worker", "the ventilator"))
    ]


def broken(workers: Iterable[WorkerInfo]) -> list[str]:
    """A line for each worker that can run no jobs, or not those of some batch, and why."""
    lines = [f"broken    {one.name} on {one.host} runs no jobs: {one.broken}" for one in workers if one.broken]
    lines += [
        f"paused    {one.name} on {one.host} could not start a job, and others run its batch for a while: {one.paused}"
        for one in workers
        if one.paused
    ]
    return [printable(line) for line in lines]
