"""``penstock run``: commands or calls over many inputs, like GNU parallel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from penstock.cli.atonce import AtOnce, AtOnceType
from penstock.cli.fit import check_own, fit
from penstock.cli.options import as_json, debug, key_url, keyed
from penstock.cli.output import say, write
from penstock.cli.sections import JobsCommand
from penstock.cli.work import Work, first_of, hand_in, jobs_options, shown
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.cli.records import JobLog, ResultFiles
    from penstock.cli.wanted import Wanted
    from penstock.client.live import Live


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
    default=key_url,
    help="A running pipeline; without one, and without a key, run brings its own.  [env: PENSTOCK_URL]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
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
@click.option("--dry-run", "--dryrun", is_flag=True, help="Print the commands and run none.")
@click.option("--halt", metavar="WHEN,WHY=N", help="soon,fail=N: start no more after N failures; now,fail=N: end all.")
@click.option("--joblog", metavar="FILE", help="A line for each job that was run, as GNU parallel writes it.")
@click.option("--results", metavar="DIR", help="A folder for each job with files stdout, stderr and seq.")
@click.option("--resume", is_flag=True, help="Leave out what an earlier run of the same has done: by content.")
@click.option("--resume-failed", is_flag=True, help="As --resume, and run again what failed.")
@click.option("--lb", "--line-buffer", "lines", is_flag=True, help="Output line by line, while jobs run.")
@click.option("--bar", "--eta", "--progress", is_flag=True, expose_value=False, help="Accepted: a terminal has it.")
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
    ways.check(asked["once"])
    if ways.url and ways.at_once and asked["limit"]:
        raise click.UsageError("-j is --limit on a running pipeline: give one of them")
    work = Work(**asked)
    if not ways.url:
        check_own(work)
    inputs = first_of(work.inputs())
    if inputs is None:
        say("empty input: 0 jobs")
        return 0
    target = work.target()
    if ways.dry_run:
        from penstock.cli.outputs import Tagged
        from penstock.cli.watch import tag_of

        for number, item in enumerate(inputs, 1):
            write(Tagged(tag_of(item) if ways.tag else None)(shown(work, target, item, number) + b"\n"))
        return 0
    return _run(ways, work, target, inputs)


class Ways(NamedTuple):
    """The options that say how and where, not what."""

    url: str | None
    data: Path | None
    at_once: AtOnce | None
    keep_order: bool
    lines: bool
    tag: bool
    dry_run: bool
    halt: str | None
    joblog: str | None
    results: str | None
    resume: bool
    resume_failed: bool
    as_json: bool
    keep_output: str

    def check(self, once: str | None) -> None:
        """UsageError: options that contradict each other."""
        if self.lines and self.as_json:
            raise click.UsageError("--lb and --json exclude each other: a record has all that its job printed")
        if self.lines and once:
            raise click.UsageError("--lb and --once exclude each other: its jobs may have run before")
        if self.url and self.data:
            raise click.UsageError(f"--data is for a pipeline of its own: the one at {self.url} has its own data")
        if self.as_json and self.tag:
            raise click.UsageError("--json and --tag exclude each other: a record says which job it is of")
        if self.resumes and not (self.url or self.data):
            raise click.UsageError(
                "--resume needs what remembers the earlier run: the same --data DIR, or the --url of a running pipeline"
            )

    @property
    def resumes(self) -> bool:
        """Whether earlier runs count."""
        return self.resume or self.resume_failed


def _run(ways: Ways, work: Work, target: Any, inputs: Iterator[Any]) -> int:
    from penstock import Pipeline
    from penstock.cli.halt import Halt
    from penstock.cli.progress import Progress
    from penstock.cli.watch import Asked, Watch
    from penstock.client.options import output_size

    halt = Halt.parse(ways.halt) if ways.halt else None
    with ExitStack() as stack:
        records = [stack.enter_context(closing(record)) for record in _records(ways, work)]
        asked = Asked(partial(shown, work, target)) if records or ways.tag else None
        if asked is not None:
            inputs = asked.remember(inputs)
        slots = None if ways.url or ways.at_once is None else ways.at_once.slots(work)
        pipeline = Pipeline(ways.url or "local", slots=slots, data=ways.data, pass_output=False, ship=work.ship)
        stack.enter_context(pipeline)
        if ways.url:
            fit(pipeline, work, ways.at_once)
        say(_place(pipeline, ways, slots))
        wanted = _submitted(pipeline, ways, work, target, inputs)
        progress = stack.enter_context(Progress(wanted.total))
        wanted.when_complete(progress.expect)
        code = Watch(
            wanted,
            progress,
            as_json=ways.as_json,
            in_order=ways.keep_order,
            tag=ways.tag,
            asked=asked,
            records=records,
            halt=halt,
        ).to_the_end()
        if (kept := output_size(ways.keep_output, "--keep-output")) is not None:
            wanted.trim(kept)
        wanted.check()
        return code


def _records(ways: Ways, work: Work) -> Iterator[JobLog | ResultFiles]:
    from penstock.cli.records import JobLog, ResultFiles

    if ways.results:
        yield ResultFiles(ways.results, work.columns)
    if ways.joblog:
        yield JobLog(ways.joblog, "" if ways.url else ":")


def _submitted(pipeline: Pipeline, ways: Ways, work: Work, target: Any, inputs: Iterator[Any]) -> Wanted:
    """Hand in the jobs, with --resume only the missing ones."""
    from penstock.cli.resume import Resumed
    from penstock.cli.wanted import Part, Wanted
    from penstock.client.growing import Growing
    from penstock.client.live import Live

    live = Live() if ways.lines else None
    if not ways.resumes:
        batch = grow(pipeline, work, target, inputs, live)
        return Wanted([Part(batch)], batch.total if isinstance(batch, Growing) else batch.status().total)
    resumed = Resumed(earlier(pipeline, work, target), failed_too=ways.resume_failed)
    missing = first_of(resumed.missing(inputs))
    new: Batch | None = None
    if missing is not None and live is not None:
        new = grow(pipeline, work, target, iter(list(missing)), live)  # Wanted must know the numbers of all of them
    elif missing is not None:
        new = hand_in(pipeline, work, target, missing)
    wanted = resumed.wanted(new, own=ways.url is None)
    say(f"resumed: {resumed.found} of {wanted.total} jobs were submitted before")
    return wanted


def earlier(pipeline: Pipeline, work: Work, target: Any) -> list[Any]:
    """The batches of the same command or function, the newest first."""
    from penstock.client.batch import batches_of
    from penstock.client.engine import Engine
    from penstock.client.functions import Function
    from penstock.client.options import around_of, spec_of

    engine = pipeline.engine
    if not isinstance(engine, Engine):
        raise ConfigError("--resume needs a pipeline that remembers, and `inline` does not")
    kind = "command" if work.is_command else "call"
    options = {name: value for name, value in work.options().items() if name != "after"}
    spec = spec_of(options, kind=kind)
    if work.is_command:
        function = Function.of(target.encode())
    else:
        function = engine.function(around_of(options).prepare(target), spec)
    return batches_of(engine.session, function.call, kind)


def grow(pipeline: Pipeline, work: Work, target: Any, inputs: Iterator[Any], live: Live | None) -> Batch:
    """Submit the jobs as their input comes; `live` has what they print while they run. ConfigError: an argument that no
    command can have; then nothing of them is left, if it came at once."""
    from penstock.cli.resume import digest_of
    from penstock.client.engine import Engine
    from penstock.client.functions import Function
    from penstock.client.growing import Growing
    from penstock.client.options import argument_bytes, around_of, spec_of

    engine, options = pipeline.engine, work.options()
    if not isinstance(engine, Engine) or work.once:
        return hand_in(pipeline, work, target, inputs)
    if work.after:
        options["after"] = engine.closed(work.after)
    spec = spec_of(options, kind="command" if work.is_command else "call", client=engine.client.word)
    if work.is_command:
        function = Function.of(target.encode())
        inputs = ([argument_bytes(word) for word in words] for words in inputs)
    else:
        function = engine.function(around_of(options).prepare(target), spec)
    batch = Growing(engine.session, spec, function, inputs, engine.slots(), digest_of, live)
    try:
        batch.begin()
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return batch


def _place(pipeline: Pipeline, ways: Ways, slots: int | None) -> str:
    if ways.url is None:
        from penstock.config import default_slots

        kept = f", data in {ways.data}" if ways.data else ""
        return f"embedded, {_plural(slots or default_slots(), 'slot')}{kept}"
    workers = pipeline.workers()
    hosts = len({worker.host for worker in workers})
    return f"{ways.url}, {_plural(sum(worker.slots for worker in workers), 'slot')} on {_plural(hosts, 'host')}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
