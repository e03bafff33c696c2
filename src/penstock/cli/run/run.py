"""``penstock run``: commands or calls over many inputs, like GNU parallel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penstock.cli.option_types import WORD, Place
from penstock.cli.options import as_json, debug, graced, key_url, keyed
from penstock.cli.output import say
from penstock.cli.run.help_sections import JobsCommand
from penstock.cli.run.jobs_option import AtOnceType
from penstock.cli.run.one_run import Run
from penstock.cli.run.pacing import pace_options
from penstock.cli.run.run_options import Ways
from penstock.cli.run.who_can_run import check_own, slots_for
from penstock.cli.run.work import Work, first_of, jobs_options


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
    help="A running pipeline; without one, and without a key, run brings its own.  [env: PENSTOCK_URL]",
)
@click.option(
    "--data",
    type=Place(path_type=Path, file_okay=False),
    help="Keep what its own pipeline knows in this folder, for --resume and `penstock up --data`.",
)
@click.option(
    "-j",
    "--jobs",
    "at_once",
    type=AtOnceType(),
    help="Jobs at once: 8, 50%, +1, or 0 for no limit.  [default: cores, or slots of the pipeline]",
)
@click.option("-k", "--keep-order", is_flag=True, help="Output in the order of the input.")
@click.option("--tag", is_flag=True, help="Put the arguments of its job before each line.")
@click.option("--tagstring", metavar="TEXT", help="Put this before each line; {} and the like in it are replaced.")
@click.option("-v", "verbose", count=True, help="Print each command before what it prints.")
@click.option("-t", "--verbose", "verbose_stderr", is_flag=True, help="As -v, on stderr.")
@click.option("--dry-run", "--dryrun", is_flag=True, help="Print the commands and run none.")
@click.option("--halt", metavar="WHEN,WHY=N", help="soon,fail=N: start no more after N failures; now,fail=N: end all.")
@pace_options
@click.option(
    "--joblog",
    type=WORD,
    metavar="FILE",
    help="A line for each job that was run, as GNU parallel writes it; +FILE: add.",
)
@click.option("--results", type=WORD, metavar="DIR", help="A folder for each job with files stdout, stderr and seq.")
@click.option("--resume", is_flag=True, help="Leave out what an earlier run of the same has done.")
@click.option("--resume-failed", is_flag=True, help="As --resume, and run again what failed.")
@click.option("--retry-failed", is_flag=True, help="Run the commands again that failed, as the --joblog FILE has them.")
@click.option("--lb", "--line-buffer", "live", is_flag=True, help="Output line by line, while jobs run.")
@click.option("-u", "--ungroup", is_flag=True, help="As --lb, and no --tag.")
@click.option("--bar", "--eta", "--progress", is_flag=True, expose_value=False, help="Accepted: a terminal has it.")
@graced("; those of a running pipeline have their worker's")
@as_json
@debug
@jobs_options
def command(**asked: Any) -> int:
    """Run COMMAND once for each ARGUMENT, or --call a Python function with it.

    {} {.} {/} {//} {/.} {#} {%} {1} {2} in COMMAND stand for the argument and its parts; without any, it is
    appended. Arguments come after ::: (:::+ links two lists, :::: reads files), from -a FILE, or from stdin.
    No COMMAND: each input line is one. No shell is involved unless you say --shell.
    """
    ways = Ways(**{name: asked.pop(name) for name in Ways._fields})
    if ways.url == "local":
        ways = ways._replace(url=None)
    ways.check(asked["once"])
    if ways.url and ways.at_once and asked["limit"]:
        raise click.UsageError("-j is --limit on a running pipeline: give one of them")
    logged = ways.logged()
    if logged is not None and ways.retry_failed:
        asked["words"] = (":::", *logged.failures())
    work = Work(**asked)
    if not ways.url:
        check_own(work)
    if work.filling.fills:
        work.slots = slots_for(ways.at_once, ways.url)
    inputs = first_of(work.inputs())
    run = Run(ways, work, logged)
    if inputs is None:
        say("no job failed by the joblog: nothing to do" if ways.retry_failed else "empty input: 0 jobs")
        return run.of_nothing()
    inputs = run.left(inputs)
    if inputs is None:
        say("resumed: every job is done by the joblog, nothing is left")
        return 0
    return run.show(inputs) if ways.dry_run else run.to_the_end(inputs)
