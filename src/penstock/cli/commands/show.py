"""``penstock show``: all that is known of one job."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from penstock.cli.options import as_json, running
from penstock.cli.output import (
    as_text,
    counted,
    duration,
    in_local_time,
    json_line,
    local_time,
    outcome_record,
    printable,
    printable_lines,
    say,
    value_text,
)
from penstock.errors import NoSuchBatch
from penstock.job.display import shortened

if TYPE_CHECKING:
    from penstock import Batch
    from penstock.client.records import JobInfo, Outcome

SHOWN = 1_000
"""Characters of a command or call that are shown unless all is wanted: a screen has room for it, and for the rest."""
INSTANTS = ("not_before", "expires")
"""Options that are shown as times."""
DURATIONS = ("retry_delay", "time_limit", "retain")


@click.command("show", short_help="Show all that is known of one job.")
@click.option("--full", is_flag=True, help="Show the whole command or arguments, and the values of --env variables.")
@as_json
@click.argument("job", metavar="BATCH:INDEX")
@running
def command(url: str, full: bool, as_json: bool, job: str) -> None:
    """Show one job: what it runs, who submitted it with which options, its attempts, its output, its traceback.

    Of a job that has not ended it shows what the job waits for, or where it runs.
    """
    from penstock import Pipeline

    with Pipeline(url) as pipeline:
        batch, index = job_of(pipeline, job)
        batch.opens_pickles = False
        info = batch.job(index, full=full)
        attempts = batch.attempts(index)
    if as_json:
        record = msgspec.structs.asdict(info) | {"env": info.env if full else dict.fromkeys(info.env)}
        for outcome in attempts or (None,):
            json_line(record if outcome is None else record | outcome_record(outcome))
        return
    _facts(_of_job(info, full=full))
    for outcome in attempts:
        if len(attempts) > 1 or info.waits:
            print()
        _show(outcome)


def job_name(text: str) -> tuple[str, int]:
    """``BATCH:INDEX`` in two. UsageError: it is not written so."""
    batch, _, index = text.rpartition(":")
    if not batch or not index.isdecimal():
        raise click.UsageError(f"{text!r} is not a job: write BATCH:INDEX, like last:0")
    return batch, int(index)


class Attaches(Protocol):
    """A pipeline, or its ventilator alone."""

    def attach(self, batch: str) -> Batch:
        """A handle on a batch. Raises NoSuchBatch."""


def job_of(pipeline: Attaches, text: str) -> tuple[Batch, int]:
    """The batch and the index of the job that is named so. UsageError: it is written otherwise; NoSuchBatch: there is
    none."""
    name, index = job_name(text)
    batch = pipeline.attach(name)
    jobs = batch.status().accepted
    if index >= jobs:
        raise NoSuchBatch(f"no job {text}: the batch has {counted(jobs, 'job')}, counted from 0")
    return batch, index


def _of_job(info: JobInfo, *, full: bool) -> dict[str, Any]:
    """What holds for all of its attempts, and how it stands if it has not ended."""
    env = [f"{name}={value}" if full else name for name, value in info.env.items()]
    where = f"{info.worker} on {info.host}" if info.host else ""
    if where and info.running is not None:
        where += f", slot {info.slot}, for {duration(info.running)}"
    return {
        "job": info.id,
        "runs": printable(info.text) if full else shortened(info.text, SHOWN),
        "name": info.name,
        "submitted": local_time(info.submitted),
        "by key": info.owner,
        "user": info.user,
        "folder": info.cwd,
        "env": " ".join(env),
        "options": ", ".join(f"{name} {_option(name, value)}" for name, value in info.options.items()),
        "state": info.state if info.waits else "",
        "worker": where,
        "waits": in_local_time(info.waits) if info.state != "running" else "",
    }


def _option(name: str, value: Any) -> str:
    if name in INSTANTS:
        return datetime.fromtimestamp(value).astimezone().isoformat(" ", "seconds")
    if name in DURATIONS:
        return duration(value)
    return " ".join(value) if isinstance(value, tuple) else json.dumps(value) if value is False else str(value)


def _show(outcome: Outcome) -> None:
    _facts(
        {
            "attempt": outcome.attempts,
            "state": outcome.state,
            "cause": outcome.cause,
            "worker": f"{outcome.worker} slot {outcome.slot}" if outcome.worker else "",
            "started": local_time(outcome.started),
            "ran": duration(outcome.elapsed),
            "exit code": outcome.returncode,
            "value": "" if outcome.value is None or outcome.returncode is not None else value_text(outcome.value),
        }
    )
    for name, text in {
        f"stdout ({outcome.stdout_size} bytes)": as_text(outcome.stdout),
        f"stderr ({outcome.stderr_size} bytes)": as_text(outcome.stderr),
        "traceback": outcome.traceback,
    }.items():
        if text:
            print(f"{name}:\n{printable_lines(text).rstrip()}")
    for name, kept, size in (
        ("stdout", outcome.stdout, outcome.stdout_size),
        ("stderr", outcome.stderr, outcome.stderr_size),
    ):
        if size > len(kept):
            say(f"{outcome.job_id}: its {name} had {size:,} bytes; `penstock results` prints all that is kept of it")


def _facts(facts: dict[str, Any]) -> None:
    for name, fact in facts.items():
        if fact not in {"", None}:
            print(f"{name:10} {printable(str(fact))}")
