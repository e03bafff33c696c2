"""``penstock run``: commands or calls over many inputs, like GNU parallel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from penstock.cli.atonce import AtOnce, AtOnceType
from penstock.cli.fit import check_own, fit
from penstock.cli.halt import Halt
from penstock.cli.handing import earlier, grow, hand_in
from penstock.cli.logged import Logged
from penstock.cli.options import as_json, debug, key_url, keyed
from penstock.cli.output import say, write
from penstock.cli.pacing import Pacing, pace_options
from penstock.cli.pipe import kept
from penstock.cli.records import STDOUT, JobLog, ResultFiles
from penstock.cli.sections import JobsCommand
from penstock.cli.work import Work, first_of, jobs_options, shown
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.cli.wanted import Wanted


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
@pace_options
@click.option(
    "--joblog", metavar="FILE", help="A line for each job that was run, as GNU parallel writes it; +FILE: add."
)
@click.option("--results", metavar="DIR", help="A folder for each job with files stdout, stderr and seq.")
@click.option("--resume", is_flag=True, help="Leave out what an earlier run of the same has done.")
@click.option("--resume-failed", is_flag=True, help="As --resume, and run again what failed.")
@click.option("--retry-failed", is_flag=True, help="Run the commands again that failed, as the --joblog FILE has them.")
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
    logged = ways.logged()
    if logged is not None and ways.retry_failed:
        asked["words"] = (":::", *logged.failures())
    work = Work(**asked)
    if not ways.url:
        check_own(work)
    run = Run(ways, work, logged)
    inputs = first_of(work.inputs())
    if inputs is None:
        say("no job failed by the joblog: nothing to do" if ways.retry_failed else "empty input: 0 jobs")
        return run.of_nothing()
    inputs = run.left(inputs)
    if inputs is None:
        say("resumed: every job is done by the joblog, nothing is left")
        return 0
    return run.show(inputs) if ways.dry_run else run.to_the_end(inputs)


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
    delay: float | None
    load: float | None
    memfree: int | None
    joblog: str | None
    results: str | None
    resume: bool
    resume_failed: bool
    retry_failed: bool
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
        if self.retry_failed and (self.resume or self.resume_failed):
            raise click.UsageError(
                "--retry-failed takes the commands from the joblog, and --resume the input: give one"
            )
        if (self.retry_failed or (self.resumes and not self.remembers)) and self.joblog in {None, *STDOUT}:
            remembers = "" if self.retry_failed else ", the same --data DIR, or the --url of a running pipeline"
            raise click.UsageError(
                f"{'--retry-failed' if self.retry_failed else '--resume'} needs what remembers the earlier run: its"
                f" --joblog FILE{remembers}"
            )
        self.pacing.check(self.url)

    @property
    def resumes(self) -> bool:
        """Whether earlier runs count."""
        return self.resume or self.resume_failed

    @property
    def remembers(self) -> bool:
        """Whether the pipeline itself knows of earlier runs."""
        return bool(self.url or self.data)

    @property
    def pacing(self) -> Pacing:
        """What keeps jobs back."""
        return Pacing(self.delay, self.load, self.memfree, halts=self.halt is not None)

    def logged(self) -> Logged | None:
        """What the joblog of an earlier run tells, where that is asked for. ConfigError: it is none."""
        if self.joblog is None or not (self.retry_failed or (self.resumes and not self.remembers)):
            return None
        return Logged(self.joblog.removeprefix("+"), failed_too=self.resume_failed or self.retry_failed)


class Run:
    """One run: what is asked for, and how. `logged`: what an earlier one has done, by its joblog."""

    def __init__(self, ways: Ways, work: Work, logged: Logged | None) -> None:
        self._ways = ways
        self._work = work
        self._logged = logged
        self._target: Any = work.target()
        self._kept = kept if work.pipe else None
        self._halt = Halt.parse(ways.halt) if ways.halt else None

    def left(self, inputs: Iterator[Any]) -> Iterator[Any] | None:
        """The inputs that are not done; None: there are none. With --halt N% they are counted first."""
        if self._halt is not None and self._halt.percent:
            if self._work.pipe:
                raise ConfigError(f"--halt {self._ways.halt}: how many blocks of --pipe there are is not known before")
            items = list(inputs)
            inputs = iter(items)
            logged = self._logged.total if self._logged is not None and self._ways.retry_failed else 0
            self._halt = self._halt.among(max(logged, len(items)))
        if self._logged is None or self._ways.retry_failed:
            return inputs
        return first_of(self._logged.missing(inputs, None if self._has(b"{%}") else self._shown))

    def of_nothing(self) -> int:
        """What is beside stdout is there, and empty."""
        with ExitStack() as stack:
            for record in () if self._ways.dry_run else self._records():
                stack.enter_context(closing(record))
        return 0

    def show(self, inputs: Iterator[Any]) -> int:
        """Print what would be run."""
        from penstock.cli.outputs import Tagged
        from penstock.cli.watch import tag_of

        for place, item in enumerate(inputs):
            line = self._shown(item, self._seq(place) + 1) + b"\n"
            write(Tagged(tag_of(self._remembered(item)) if self._ways.tag else None)(line))
        return 0

    def to_the_end(self, inputs: Iterator[Any]) -> int:
        """Run them; the exit code."""
        from penstock import Pipeline
        from penstock.cli.progress import Progress
        from penstock.cli.watch import Asked, Watch
        from penstock.client.options import output_size

        ways, work = self._ways, self._work
        with ExitStack() as stack:
            records = [stack.enter_context(closing(record)) for record in self._records()]
            asked = None
            if records or ways.tag:
                asked = Asked(partial(shown, work, self._target), self._seq, self._remembered)
                inputs = asked.remember(inputs)
            slots = None if ways.url or ways.at_once is None else ways.at_once.slots(work)
            pipeline = Pipeline(ways.url or "local", slots=slots, data=ways.data, pass_output=False, ship=work.ship)
            stack.enter_context(pipeline)
            if ways.url:
                fit(pipeline, work, ways.at_once)
            say(_place(pipeline, ways, slots))
            wanted = self._submitted(pipeline, inputs)
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
                halt=self._halt,
            ).to_the_end()
            if (most := output_size(ways.keep_output, "--keep-output")) is not None:
                wanted.trim(most)
            wanted.check()
            return code or int(any(record.failure for record in records))

    def _submitted(self, pipeline: Pipeline, inputs: Iterator[Any]) -> Wanted:
        """Hand in the jobs, with --resume only the missing ones."""
        from penstock.cli.resume import Resumed
        from penstock.cli.wanted import Part, Wanted
        from penstock.client.growing import Growing
        from penstock.client.live import Live

        ways, work, target = self._ways, self._work, self._target
        live = Live() if ways.lines else None
        pace = ways.pacing.of(pipeline, work, ways.url)
        if self._logged is not None:
            target, inputs = self._numbered(self._logged, inputs)
        if self._logged is not None or not ways.resumes:
            batch = grow(pipeline, work, target, inputs, live, pace)
            return Wanted([Part(batch)], batch.total if isinstance(batch, Growing) else batch.status().total)
        resumed = Resumed(earlier(pipeline, work, target), failed_too=ways.resume_failed)
        missing = first_of(resumed.missing(inputs))
        new: Batch | None = None
        if missing is not None and (live is not None or pace is not None):
            # Wanted must know the numbers of all of them
            new = grow(pipeline, work, target, iter(list(missing)), live, pace)
        elif missing is not None:
            new = hand_in(pipeline, work, target, missing)
        wanted = resumed.wanted(new, own=ways.url is None)
        say(f"resumed: {resumed.found} of {wanted.total} jobs were submitted before")
        return wanted

    def _numbered(self, logged: Logged, inputs: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
        """Jobs that do not know their numbers by their places are told: of those that a joblog leaves."""
        say(f"resumed: {_plural(logged.counts.of('done'), 'job')} done by the joblog {logged.path}")
        if self._halt is not None:
            self._halt = self._halt.after(logged.counts)
        if not self._has(b"{#}"):
            return self._target, inputs
        from msgspec.structs import replace

        numbers = (b"%d" % (seq + 1) for seq in map(logged.numbers.__getitem__, count()))
        # a number is there when its item is drawn, so the item comes first
        return replace(self._target, numbered=True), ([next(numbers), *item] for item in inputs)

    def _has(self, place: bytes) -> bool:
        return self._work.is_command and any(place in word for word in self._target.words)

    def _records(self) -> Iterator[JobLog | ResultFiles]:
        ways, logged = self._ways, self._logged
        if ways.results:
            yield ResultFiles(ways.results, self._work.columns)
        if ways.joblog:
            yield JobLog(ways.joblog, "" if ways.url else ":", resumed=logged.size if logged is not None else None)

    def _shown(self, item: Any, number: int) -> bytes:
        """What would be run."""
        return shown(self._work, self._target, self._remembered(item), number)

    def _remembered(self, item: Any) -> Any:
        """What is kept of an item until its outcome is there."""
        return self._kept(item) if self._kept is not None else item

    def _seq(self, place: int) -> int:
        """A job's place in the whole input."""
        return self._logged.numbers[place] if self._logged is not None else place


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
