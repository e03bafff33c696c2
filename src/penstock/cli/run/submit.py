"""``penstock submit``: as `run`, on a running pipeline, without waiting."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.options import as_json, running
from penstock.cli.output import in_local_time, say
from penstock.cli.run.halt import Tally
from penstock.cli.run.help_sections import JobsCommand
from penstock.cli.run.job_options import jobs_options
from penstock.cli.run.outcome_printer import OutcomePrinter
from penstock.cli.run.progress import Progress
from penstock.cli.run.resume import hand_in
from penstock.cli.run.summary import Summary, shown_by
from penstock.cli.run.wanted_jobs import Wanted
from penstock.cli.run.watch import Watch
from penstock.cli.run.who_can_run import AtOnce, AtOnceType, fit, slots_for
from penstock.cli.run.work import Work, first_of
from penstock.cli.streams import CannotWrite, check_stdout
from penstock.cli.why_waiting import Lookout, ailing


@click.command(
    "submit",
    cls=JobsCommand,
    context_settings={"allow_interspersed_args": False},
    short_help="Submit jobs as run has them, print the batch id and return.",
)
@running
@click.option(
    "-j", "--jobs", "at_once", type=AtOnceType(), help="Like --limit; also 50% of the slots, or 0 for no limit."
)
@click.option("--wait", is_flag=True, help="Wait for the outcomes and show them, as run does.")
@as_json
@jobs_options
def command(url: str, at_once: AtOnce | None, wait: bool, as_json: bool, **asked: Any) -> int:
    """Submit COMMAND for each ARGUMENT, or --call a Python function with it, and print the id of the batch.

    The jobs run on a running pipeline, whether this machine stays or not; `penstock results ID` shows their outcomes.
    """
    if at_once and asked["limit"]:
        raise click.UsageError("-j and --limit mean the same: give one of them")
    work = Work.of(asked)
    if work.filling.fills:
        work.slots = slots_for(at_once, url)
    inputs = first_of(work.inputs())
    if inputs is None:
        say("empty input: 0 jobs")
        return 0
    target = work.target()
    check_stdout()
    from penstock import Pipeline

    with Pipeline(url, ship=work.ship) as pipeline:
        fit(pipeline, work, at_once)
        batch = hand_in(pipeline, work, target, inputs)
        if not wait:
            _print(batch.id)
            for reason in ailing(pipeline.status(), batch.status()):
                say(in_local_time(reason.text))
            return 0
        wanted = Wanted.all_of(batch)
        summary = Summary(
            failed=f"see them: {shown_by('results --failed', url, batch.id)}",
            left=f"the jobs go on: {shown_by('results --follow', url, batch.id)} shows them",
        )
        with summary:
            summary.begin(wanted)
            say(f"batch {batch.id}")
            with Progress(wanted.total) as progress, Lookout(pipeline, batch, lambda: summary.ended):
                printer = OutcomePrinter(wanted, progress, as_json=as_json)
                return Watch(wanted, printer, Tally(summary=summary), ends_jobs=False).to_the_end()


def _print(batch: str) -> None:
    """The id of a batch that was handed in: who cannot have it on stdout must have it all the same."""
    try:
        print(batch, flush=True)
    except CannotWrite:
        say(f"batch {batch} is submitted")
        raise
