"""One run of ``penstock run``: its jobs, but for those that an earlier one has done, are handed in and watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from penstock.cli.job_output import Tagged
from penstock.cli.output import counted, printable, say, write
from penstock.cli.run.halt import Halt, Tally
from penstock.cli.run.job_inputs import JobInputs
from penstock.cli.run.joblog import JobLog, ResultFiles
from penstock.cli.run.joblog_resume import Logged
from penstock.cli.run.outcome_printer import OutcomePrinter
from penstock.cli.run.pipe import kept
from penstock.cli.run.progress import Progress
from penstock.cli.run.resume import Resumed, earlier, grow, hand_in
from penstock.cli.run.run_options import RunOptions
from penstock.cli.run.summary import Summary, shown_by
from penstock.cli.run.wanted_jobs import Wanted
from penstock.cli.run.watch import Watch
from penstock.cli.run.who_can_run import fit
from penstock.cli.run.work import Work, first_of, shown
from penstock.cli.streams import check_stdout
from penstock.cli.why_waiting import Lookout
from penstock.errors import ConfigError
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock import Batch, Pipeline


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
