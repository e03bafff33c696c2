"""One run of ``penstock run``: its jobs, but for those that an earlier one has done, are handed in and watched, as the
options say that are about how and where, not what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from msgspec.structs import replace

from penstock.cli.job_output import Tagged
from penstock.cli.output import counted, printable, say, write
from penstock.cli.run.halt import Halt, Tally
from penstock.cli.run.job_inputs import JobInputs, Tagging, tag_of, tagging
from penstock.cli.run.joblog import STDOUT, JobLog, ResultFiles
from penstock.cli.run.joblog_resume import Logged
from penstock.cli.run.outcome_printer import OutcomePrinter
from penstock.cli.run.pacing import Pacing
from penstock.cli.run.pipe import kept
from penstock.cli.run.progress import Progress
from penstock.cli.run.resume import Resumed, earlier, grow, hand_in
from penstock.cli.run.summary import Summary, shown_by
from penstock.cli.run.wanted_jobs import Wanted
from penstock.cli.run.watch import Watch
from penstock.cli.run.who_can_run import AtOnce, fit
from penstock.cli.run.work import Work, first_of, shown
from penstock.cli.streams import check_stdout
from penstock.cli.why_waiting import Lookout
from penstock.errors import ConfigError
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.cli.run.work import Work


class Run:
    """One run: what is asked for, and how. `logged`: what an earlier one has done, by its joblog."""

    def __init__(self, options: RunOptions, work: Work, logged: Logged | None) -> None:
        self._options = options
        self._work = work
        self._logged = logged
        self._target: Any = work.target()
        self._kept = kept if work.pipe else None
        self._halt = Halt.parse(options.halt) if options.halt else None

    def left(self, inputs: Iterator[Any]) -> Iterator[Any] | None:
        """The inputs that are not done; None: there are none. With --halt N% they are counted first."""
        if self._halt is not None and self._halt.percent:
            if self._work.pipe:
                raise ConfigError(
                    f"--halt {self._options.halt}: a percentage needs the number of jobs, unknown with --pipe"
                )
            items = list(inputs)
            inputs = iter(items)
            logged = self._logged.total if self._logged is not None and self._options.retry_failed else 0
            self._halt = self._halt.among(max(logged, len(items)))
        if self._logged is None or self._options.retry_failed:
            return inputs
        return first_of(self._logged.missing(inputs, None if self._has(b"{%}") else self._shown))

    def of_nothing(self) -> int:
        """What is beside stdout is there, and empty."""
        with ExitStack() as stack:
            for record in () if self._options.dry_run else self._records():
                stack.enter_context(record)
        return 0

    def show(self, inputs: Iterator[Any]) -> int:
        """Print what would be run."""
        tag = self._options.tagging(self._work)
        for place, item in enumerate(inputs):
            seq = self._seq(place) + 1
            line = self._shown(item, seq) + b"\n"
            write(Tagged(tag and tag(self._remembered(item), seq))(line))
        return 0

    def to_the_end(self, inputs: Iterator[Any]) -> int:
        """Run them; the exit code."""
        from penstock import Pipeline
        from penstock.client.command_line import output_size

        check_stdout()
        options, work = self._options, self._work
        records = list(self._records())
        given = self._job_inputs(records)
        if given is not None:
            inputs = given.remember(inputs)
        with ExitStack() as stack:
            summary = stack.enter_context(self._summary(given))
            slots = None if options.url or options.at_once is None else options.at_once.slots(work)
            pipeline = Pipeline(
                options.url or "local",
                slots=slots,
                data=options.data,
                pass_output=False,
                ship=work.ship,
                grace=options.grace,
            )
            stack.enter_context(pipeline)
            if options.url:
                fit(pipeline, work, options.at_once)
            for record in records:
                stack.enter_context(record)
            say(_place(pipeline, options, slots))
            wanted = self._submitted(pipeline, inputs)
            progress = stack.enter_context(Progress(wanted.total))
            wanted.when_complete(progress.expect)
            summary.begin(wanted)
            if options.url:
                stack.enter_context(Lookout(pipeline, wanted.newest, lambda: summary.ended))
                summary.failed_hint = f"see them: {shown_by('results --failed', options.url, wanted.newest.id)}"
            printer = OutcomePrinter(
                wanted,
                progress,
                as_json=options.as_json,
                inputs=given,
                commands=(bool(options.verbose), options.verbose_stderr),
                records=[record.add for record in records],
            )
            code = Watch(wanted, printer, Tally(self._halt, summary), in_order=options.keep_order).to_the_end()
            if (most := output_size(options.keep_output, "--keep-output")) is not None:
                wanted.trim(most)
            wanted.check()
            return code or (FAILURE if any(record.failure for record in records) else SUCCESS)

    def _job_inputs(self, records: list[JobLog | ResultFiles]) -> JobInputs | None:
        """What remembers what jobs are given, where somebody wants to know."""
        options = self._options
        tag = options.tagging(self._work)
        if options.url and not (records or tag or options.verbose or options.verbose_stderr):
            return None
        return JobInputs(partial(shown, self._work, self._target), tag, self._seq, self._remembered)

    def _summary(self, given: JobInputs | None) -> Summary:
        """What is said at the end, and what shows more."""
        options = self._options
        goes_on = "run the same line with --resume to go on"
        if options.url:
            return Summary(left=goes_on)
        remembers = options.data or options.joblog
        return Summary(
            failed=f"{options.joblog} lists all" if options.joblog else "--joblog FILE lists all",
            again="run the same line with --resume-failed to run the failed ones again" if remembers else "",
            left=goes_on if remembers else "with --data DIR or --joblog FILE a run can be resumed (--resume)",
            names=None if given is None else given.name,
        )

    def _submitted(self, pipeline: Pipeline, inputs: Iterator[Any]) -> Wanted:
        """Hand in the jobs, with --resume only the missing ones."""
        from penstock.client.command_line import Live

        options, work, target = self._options, self._work, self._target
        live = Live() if options.shows_lines else None
        pace = options.pacing.of(pipeline, work, options.url)
        if self._logged is not None:
            target, inputs = self._numbered(self._logged, inputs)
        if self._logged is not None or not options.resumes:
            return Wanted.all_of(grow(pipeline, work, target, inputs, live, pace))
        resumed = Resumed(earlier(pipeline, work, target), failed_too=options.resume_failed)
        missing = first_of(resumed.missing(inputs))
        new: Batch | None = None
        if missing is not None and (live is not None or pace is not None):
            # Wanted must know the numbers of all of them
            new = grow(pipeline, work, target, iter(list(missing)), live, pace)
        elif missing is not None:
            new = hand_in(pipeline, work, target, missing)
        wanted = resumed.wanted(new, own=options.url is None)
        say(f"resumed: {resumed.found} of {wanted.total} jobs had been submitted before")
        return wanted

    def _numbered(self, logged: Logged, inputs: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
        """Jobs that do not know their numbers by their places are told: of those that a joblog leaves."""
        say(f"resumed: {counted(logged.counts.of('done'), 'job')} done according to the joblog {logged.path}")
        if self._halt is not None:
            self._halt = self._halt.after(logged.counts)
        if not self._has(b"{#}"):
            return self._target, inputs
        numbers = (b"%d" % (seq + 1) for seq in map(logged.numbers.__getitem__, count()))
        # a number is there when its item is drawn, so the item comes first
        return replace(self._target, numbered=True), ([next(numbers), *item] for item in inputs)

    def _has(self, place: bytes) -> bool:
        return self._work.is_command and any(place in word for word in self._target.words)

    def _records(self) -> Iterator[JobLog | ResultFiles]:
        """ConfigError: one cannot be written."""
        options, work, logged = self._options, self._work, self._logged
        if options.results:
            yield ResultFiles(options.results, work.columns, work.names)
        if options.joblog is not None:
            resumed = logged.size if logged is not None else None
            yield JobLog(options.joblog, "" if options.url else ":", resumed=resumed)

    def _shown(self, item: Any, number: int) -> bytes:
        """What would be run."""
        return shown(self._work, self._target, self._remembered(item), number)

    def _remembered(self, item: Any) -> Any:
        """What is kept of an item until its outcome is there."""
        return self._kept(item) if self._kept is not None else item

    def _seq(self, place: int) -> int:
        """A job's place in the whole input."""
        return self._logged.numbers[place] if self._logged is not None else place


def _place(pipeline: Pipeline, options: RunOptions, slots: int | None) -> str:
    if options.url is None:
        from penstock.station.capacity import default_slots

        kept = f", data in {printable(str(options.data))}" if options.data else ""
        return f"embedded, {counted(slots or default_slots(), 'slot')}{kept}"
    workers = pipeline.workers()
    hosts = len({worker.host for worker in workers})
    return f"{options.url}, {counted(sum(worker.slots for worker in workers), 'slot')} on {counted(hosts, 'host')}"


class RunOptions(NamedTuple):
    """How and where the jobs of a run are run, as the options say."""

    url: str | None
    data: Path | None
    at_once: AtOnce | None
    keep_order: bool
    live: bool
    ungroup: bool
    tag: bool
    tagstring: str | None
    verbose: int
    verbose_stderr: bool
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
    grace: float
    as_json: bool
    keep_output: str

    def check(self, once: str | None) -> None:
        """UsageError: options that contradict each other."""
        if self.shows_lines and self.as_json:
            raise click.UsageError("--lb and --json exclude each other: a JSON record holds all that its job printed")
        if self.shows_lines and once:
            raise click.UsageError("--lb and --once exclude each other: jobs of --once may have run before")
        if self.url and self.data:
            raise click.UsageError(
                f"--data is for a pipeline that run starts itself: the one at {self.url} has its own data"
            )
        if self.as_json and (self.tag or self.tagstring or self.verbose or self.verbose_stderr):
            raise click.UsageError(
                "--json excludes --tag, --tagstring, -v and -t: a JSON record says which job it is of"
            )
        if self.retry_failed and (self.resume or self.resume_failed):
            raise click.UsageError(
                "--retry-failed and --resume exclude each other: one reads the joblog, the other the input"
            )
        if (self.retry_failed or (self.resumes and not self.remembers)) and self.joblog in {None, *STDOUT}:
            remembers = "" if self.retry_failed else ", the same --data DIR, or the --url of a running pipeline"
            raise click.UsageError(
                f"{'--retry-failed' if self.retry_failed else '--resume'} needs a record of the earlier run: its"
                f" --joblog FILE{remembers}"
            )
        self.pacing.check(self.url)

    @property
    def shows_lines(self) -> bool:
        """Whether they are shown while jobs run."""
        return self.live or self.ungroup

    def tagging(self, work: Work) -> Tagging | None:
        """What lines begin with, if with anything. ConfigError: what nobody knows before the job has ended."""
        if self.ungroup:
            return None
        return tagging(work, self.tagstring) if self.tagstring is not None else tag_of if self.tag else None

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
