"""``penstock run``: commands or calls over many inputs, like GNU parallel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penstock.cli.option_types import WORD, Place
from penstock.cli.options import as_json, debug, graced, key_url, keyed
from penstock.cli.output import say
from penstock.cli.run.help_sections import JobsCommand
from penstock.cli.run.job_options import jobs_options
from penstock.cli.run.one_run import Run, RunOptions
from penstock.cli.run.pacing import pace_options
from penstock.cli.run.who_can_run import AtOnceType, check_own, slots_for
from penstock.cli.run.work import Work, first_of


@click.command(
    "run",
    cls=JobsCommand,
    context_settings={"allow_interspersed_args": False},
    short_help="Run commands or calls over many inputs, like GNU parallel.",
)
@keyed
@click.option(
    "--url",
    envvar="PENSTOCK_URL",
    type=WORD,
    default=key_url,
    help="Use the running pipeline at this URL; without it and a key, run starts its own.  [env: PENSTOCK_URL]",
)
@click.option(
    "--data",
    type=Place(path_type=Path, file_okay=False),
    help="Keep the data of its own pipeline in this folder, for --resume and `penstock up --data`.",
)
@click.option(
    "-j",
    "--jobs",
    "at_once",
    type=AtOnceType(),
    help="Run this many jobs at once: 8, 50%, +1, or 0 for no limit.  [default: cores, or slots of the pipeline]",
)
@click.option("-k", "--keep-order", is_flag=True, help="Print output in the order of the input.")
@click.option("--tag", is_flag=True, help="Begin each line with the arguments of its job.")
@click.option("--tagstring", metavar="TEXT", help="Begin each line with TEXT; replacement strings in it are filled in.")
@click.option("-v", "verbose", count=True, help="Print each command before its output.")
@click.option("-t", "--verbose", "verbose_stderr", is_flag=True, help="Like -v, on stderr.")
@click.option("--dry-run", "--dryrun", is_flag=True, help="Print the commands without running them.")
@click.option(
    "--halt",
    metavar="WHEN,WHY=N",
    help="soon,fail=N: start no more jobs after N failures; now,fail=N: also end running ones.",
)
@pace_options
@click.option(
    "--joblog",
    type=WORD,
    metavar="FILE",
    help="Write a line for each finished job, in the format of GNU parallel; +FILE appends.",
)
@click.option(
    "--results", type=WORD, metavar="DIR", help="Make a folder for each job, with the files stdout, stderr and seq."
)
@click.option("--resume", is_flag=True, help="Skip the jobs that an earlier run of the same line has done.")
@click.option("--resume-failed", is_flag=True, help="Like --resume, and run failed jobs again.")
@click.option(
    "--retry-failed", is_flag=True, help="Run the failed commands of an earlier run again, from its --joblog FILE."
)
@click.option("--lb", "--line-buffer", "live", is_flag=True, help="Print output line by line while jobs run.")
@click.option("-u", "--ungroup", is_flag=True, help="Like --lb, without --tag.")
@click.option(
    "--bar",
    "--eta",
    "--progress",
    is_flag=True,
    expose_value=False,
    help="Accepted for GNU parallel's sake: a terminal shows progress anyhow.",
)
@graced("; on a running pipeline the worker's own grace holds")
@as_json
@debug
@jobs_options
def command(**asked: Any) -> int:
    """Run COMMAND once for each ARGUMENT, or --call a Python function with it.

    {} {.} {/} {//} {/.} {#} {%} {1} {2} in COMMAND stand for the argument and its parts; without any of them the
    argument is appended. Arguments come after ::: (:::+ links two lists, :::: reads files), from -a FILE, or from
    stdin. Without COMMAND each input line is a command. No shell is involved unless you give --shell.
    """
    options = RunOptions(**{name: asked.pop(name) for name in RunOptions._fields})
    if options.url == "local":
        options = options._replace(url=None)
    options.check(asked["once"])
    if options.url and options.at_once and asked["limit"]:
        raise click.UsageError("-j and --limit mean the same on a running pipeline: give one of them")
    logged = options.logged()
    if logged is not None and options.retry_failed:
        asked["words"] = (":::", *logged.failures())
    work = Work.of(asked)
    if not options.url:
        check_own(work)
    if work.filling.fills:
        work.slots = slots_for(options.at_once, options.url)
    inputs = first_of(work.inputs())
    run = Run(options, work, logged)
    if inputs is None:
        say("the joblog has no failed job: nothing to do" if options.retry_failed else "empty input: 0 jobs")
        return run.of_nothing()
    inputs = run.left(inputs)
    if inputs is None:
        say("resumed: all jobs are done according to the joblog, nothing is left")
        return 0
    return run.show(inputs) if options.dry_run else run.to_the_end(inputs)
