"""``penstock results``: the outcomes of the jobs of a batch."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.job_output import Shown, json_record
from penstock.cli.options import as_json, running
from penstock.cli.output import as_text, for_reader, outcome_record, printable, say, value_text, write
from penstock.exit_codes import FAILURE, SUCCESS
from penstock.job.display import Unopened

if TYPE_CHECKING:
    from penstock import Batch, Outcome

CSV_COLUMNS = (
    *("index", "state", "value", "returncode", "cause", "attempts", "worker", "started", "elapsed"),
    *("stdout", "stderr"),
)


@click.command("results", short_help="Print the outcomes of the jobs of a batch.")
@click.option("--follow", is_flag=True, help="Keep printing outcomes until the batch ends.")
@click.option("--failed", is_flag=True, help="Print only jobs that did not succeed.")
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, with a header line.")
@click.option(
    "--csv-safe",
    is_flag=True,
    help="As --csv, with a ' before text that a spreadsheet would run as a formula; --csv does so on a terminal.",
)
@click.option(
    "--values", "rebuilds", is_flag=True, help="Rebuild values of all kinds, which runs code that came with them."
)
@click.argument("batch")
@running
def command(
    url: str, follow: bool, failed: bool, as_json: bool, as_csv: bool, csv_safe: bool, rebuilds: bool, batch: str
) -> int:
    """Print the outcomes of the jobs of BATCH, in the order in which they were recorded.

    Jobs that did not succeed are named on stderr, each with its cause; the exit code is 1 then.

    Numbers, text, lists and the like are printed as they are. Of other values it is shown what they consist of: to
    rebuild them, as --values does, is to run code of whoever submitted and ran the jobs. On a terminal control
    characters of what jobs printed are shown, not obeyed.

    BATCH is an id, a unique beginning or end of one, a name (the newest), or `last`.
    """
    as_csv |= csv_safe
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    from penstock import Pipeline
    from penstock.cli.why_waiting import followed

    code, is_unopened = SUCCESS, False
    with Pipeline(url) as pipeline:
        handle = pipeline.attach(batch)
        handle.opens_pickles = rebuilds
        show = json_record if as_json else _csv_writer(is_safe=csv_safe) if as_csv else _plain
        for outcome in followed(pipeline, handle) if follow else recorded(handle, handle.status().finished):
            if outcome.state != "succeeded":
                code = FAILURE
            elif failed:
                continue
            is_unopened |= isinstance(outcome.value, Unopened)
            what = None if outcome.state == "succeeded" or as_json or as_csv else handle.text(outcome.index)
            show(Shown(outcome, partial(kept, handle), what=what))
    if is_unopened:
        say("values of classes are shown as they were read, unopened: --values rebuilds them, and runs their code")
    return code


def kept(batch: Batch, outcome: Outcome, is_error: bool, start: int) -> Iterator[bytes | int]:
    """What is kept of the output of one of the batch's jobs, from a byte on."""
    return batch.output(outcome, stderr=is_error, start=start)


def recorded(batch: Batch, count: int) -> Iterator[Outcome]:
    """The first `count` outcomes: those that are there already, without waiting for others."""
    return itertools.islice(batch.follow(), count)


def _plain(shown: Shown) -> None:
    for part in for_reader(sys.stdout, shown.stdout()):
        write(part)
    for part in for_reader(sys.stderr, shown.stderr()):
        sys.stderr.buffer.write(part)
    sys.stderr.buffer.write(shown.remarks())


def _csv_writer(*, is_safe: bool) -> Any:
    from penstock.cli.csv_rows import defused, write_row

    is_screen = sys.stdout.isatty()
    write_row(CSV_COLUMNS)

    def show(shown: Shown) -> None:
        outcome = shown.whole()
        record = outcome_record(outcome)
        record["value"] = "" if outcome.value is None or outcome.returncode is not None else value_text(outcome.value)
        record["stdout"], record["stderr"] = as_text(outcome.stdout), as_text(outcome.stderr)
        row = [record[name] for name in CSV_COLUMNS]
        if is_safe or is_screen:
            row = list(map(defused, row))
        write_row([printable(cell) if is_screen and isinstance(cell, str) else cell for cell in row])
        for missing in shown.said_missing():
            say(missing)

    return show
