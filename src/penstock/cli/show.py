"""``penstock show``: all that is known of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.options import as_json, running
from penstock.cli.output import as_text, duration, json_line, local_time, outcome_record, say, value_text
from penstock.errors import NoSuchBatch
from penstock.outcome import Outcome

if TYPE_CHECKING:
    from penstock import Batch, Pipeline


@click.command("show", short_help="All that is known of one job.")
@running
@as_json
@click.argument("job", metavar="BATCH:INDEX")
def command(url: str, as_json: bool, job: str) -> None:
    """Show one job: its attempts, what it printed, its traceback."""
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        batch, index = job_of(pipeline, job)
        attempts = batch.attempts(index)
    if not attempts:
        say(f"{job} has not ended yet: `penstock why {job}`")
    for outcome in attempts:
        if as_json:
            json_line(outcome_record(outcome))
        else:
            _show(outcome)


def job_name(text: str) -> tuple[str, int]:
    """``BATCH:INDEX`` in two. UsageError: it is not written so."""
    batch, _, index = text.rpartition(":")
    if not batch or not index.isdecimal():
        raise click.UsageError(f"{text!r} is no job: write BATCH:INDEX, like last:0")
    return batch, int(index)


def job_of(pipeline: Pipeline, text: str) -> tuple[Batch, int]:
    """The batch and the index of the job that is named so. UsageError: it is written otherwise; NoSuchBatch: there is
    none."""
    name, index = job_name(text)
    batch = pipeline.attach(name)
    jobs = batch.status().accepted
    if index >= jobs:
        raise NoSuchBatch(f"no job {text}: the batch has {jobs} job{'' if jobs == 1 else 's'}, counted from 0")
    return batch, index


def _show(outcome: Outcome) -> None:
    facts = {
        "job": outcome.job_id,
        "state": outcome.state,
        "cause": outcome.cause,
        "attempt": outcome.attempts,
        "worker": f"{outcome.worker} slot {outcome.slot}" if outcome.worker else "",
        "started": local_time(outcome.started),
        "ran": duration(outcome.elapsed),
        "exit code": outcome.returncode,
        "value": "" if outcome.value is None or outcome.returncode is not None else value_text(outcome.value),
    }
    for name, fact in facts.items():
        if fact not in {"", None}:
            print(f"{name:10} {fact}")
    for name, text in {
        "stdout": as_text(outcome.stdout),
        "stderr": as_text(outcome.stderr),
        "traceback": outcome.traceback,
    }.items():
        if text:
            print(f"{name}:\n{text.rstrip()}")
