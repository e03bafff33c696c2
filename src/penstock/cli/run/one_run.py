"""One run of ``penstock run``: its jobs, but for those that an earlier one has done, are handed in and watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from penstock.cli.output import counted, printable, say, write
from penstock.cli.run.halt import Halt
from penstock.cli.run.joblog import STDOUT, JobLog, ResultFiles
from penstock.cli.run.joblog_resume import Logged
from penstock.cli.run.pipe import kept
from penstock.cli.run.run_options import Ways
from penstock.cli.run.submitting import earlier, grow, hand_in
from penstock.cli.run.who_can_run import fit
from penstock.cli.run.work import Work, first_of, shown
from penstock.cli.streams import check_stdout
from penstock.errors import ConfigError
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock import Batch, Pipeline
    from penstock.cli.run.record_files import Recording
    from penstock.cli.run.summary import Summary
    from penstock.cli.run.wanted_jobs import Wanted
    from penstock.cli.run.watch import Asked


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
                raise ConfigError(
                    f"--halt {self._ways.halt}: a percentage needs the number of jobs, which is not known with --pipe"
                )
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
                stack.enter_context(closing(record)).begin()
        return 0

    def show(self, inputs: Iterator[Any]) -> int:
        """Print what would be run."""
        from penstock.cli.job_output import Tagged

        tag = self._ways.tagging(self._work)
        for place, item in enumerate(inputs):
            seq = self._seq(place) + 1
            line = self._shown(item, seq) + b"\n"
            write(Tagged(tag and tag(self._remembered(item), seq))(line))
        return 0

    def to_the_end(self, inputs: Iterator[Any]) -> int:
        """Run them; the exit code."""
        from penstock import Pipeline
        from penstock.cli.run.progress import Progress
        from penstock.cli.run.summary import shown_by
        from penstock.cli.run.watch import Watch
        from penstock.cli.why_waiting import Lookout
        from penstock.client.command_line import output_size

        check_stdout()
        ways, work = self._ways, self._work
        records = list(self._records())
        asked = self._asked(records)
        if asked is not None:
            inputs = asked.remember(inputs)
        with ExitStack() as stack:
            summary = stack.enter_context(self._summary(asked))
            slots = None if ways.url or ways.at_once is None else ways.at_once.slots(work)
            pipeline = Pipeline(
                ways.url or "local",
                slots=slots,
                data=ways.data,
                pass_output=False,
                ship=work.ship,
                grace=ways.grace,
            )
            stack.enter_context(pipeline)
            if ways.url:
                fit(pipeline, work, ways.at_once)
            for record in records:
                stack.enter_context(closing(record)).begin()
            say(_place(pipeline, ways, slots))
            wanted = self._submitted(pipeline, inputs)
            progress = stack.enter_context(Progress(wanted.total))
            wanted.when_complete(progress.expect)
            summary.begin(wanted)
            if ways.url:
                stack.enter_context(Lookout(pipeline, wanted.newest, lambda: summary.ended))
                summary.failed_hint = f"see them: {shown_by('results --failed', ways.url, wanted.newest.id)}"
            code = Watch(
                wanted,
                progress,
                as_json=ways.as_json,
                in_order=ways.keep_order,
                asked=asked,
                commands=(bool(ways.verbose), ways.verbose_stderr),
                records=records,
                halt=self._halt,
                summary=summary,
            ).to_the_end()
            if (most := output_size(ways.keep_output, "--keep-output")) is not None:
                wanted.trim(most)
            wanted.check()
            return code or (FAILURE if any(record.failure for record in records) else SUCCESS)

    def _asked(self, records: list[Recording]) -> Asked | None:
        """What remembers what jobs are given, where somebody wants to know."""
        from penstock.cli.run.watch import Asked

        ways = self._ways
        tag = ways.tagging(self._work)
        if ways.url and not (records or tag or ways.verbose or ways.verbose_stderr):
            return None
        return Asked(partial(shown, self._work, self._target), tag, self._seq, self._remembered)

    def _summary(self, asked: Asked | None) -> Summary:
        """What is said at the end, and what shows more."""
        from penstock.cli.run.summary import Summary

        ways = self._ways
        goes_on = "run the same line with --resume to go on"
        if ways.url:
            return Summary(left=goes_on)
        remembers = ways.data or ways.joblog
        return Summary(
            failed=f"{ways.joblog} lists all" if ways.joblog else "--joblog FILE lists all",
            again="run the same line with --resume-failed to run the failed ones again" if remembers else "",
            left=goes_on if remembers else "with --data DIR or --joblog FILE a run can be resumed (--resume)",
            names=None if asked is None else asked.name,
        )

    def _submitted(self, pipeline: Pipeline, inputs: Iterator[Any]) -> Wanted:
        """Hand in the jobs, with --resume only the missing ones."""
        from penstock.cli.run.resume import Resumed
        from penstock.cli.run.wanted_jobs import Wanted
        from penstock.client.command_line import Live

        ways, work, target = self._ways, self._work, self._target
        live = Live() if ways.shows_lines else None
        pace = ways.pacing.of(pipeline, work, ways.url)
        if self._logged is not None:
            target, inputs = self._numbered(self._logged, inputs)
        if self._logged is not None or not ways.resumes:
            return Wanted.all_of(grow(pipeline, work, target, inputs, live, pace))
        resumed = Resumed(earlier(pipeline, work, target), failed_too=ways.resume_failed)
        missing = first_of(resumed.missing(inputs))
        new: Batch | None = None
        if missing is not None and (live is not None or pace is not None):
            # Wanted must know the numbers of all of them
            new = grow(pipeline, work, target, iter(list(missing)), live, pace)
        elif missing is not None:
            new = hand_in(pipeline, work, target, missing)
        wanted = resumed.wanted(new, own=ways.url is None)
        say(f"resumed: {resumed.found} of {wanted.total} jobs had been submitted before")
        return wanted

    def _numbered(self, logged: Logged, inputs: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
        """Jobs that do not know their numbers by their places are told: of those that a joblog leaves."""
        say(f"resumed: {counted(logged.counts.of('done'), 'job')} done according to the joblog {logged.path}")
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

    def _records(self) -> Iterator[Recording]:
        """ConfigError: one cannot be written."""
        from penstock.cli.run.record_files import Recording, check_file, check_folder

        ways, work, logged = self._ways, self._work, self._logged
        if ways.results:
            files = ResultFiles(ways.results, work.columns, work.names)
            check_folder(ways.results)
            yield Recording(ways.results, lambda: files)
        if (path := ways.joblog) is not None:
            if path not in STDOUT:
                check_file(path.removeprefix("+"))
            host, resumed = "" if ways.url else ":", logged.size if logged is not None else None
            yield Recording(path, lambda: JobLog(path, host, resumed=resumed))

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
        from penstock.station.capacity import default_slots

        kept = f", data in {printable(str(ways.data))}" if ways.data else ""
        return f"embedded, {counted(slots or default_slots(), 'slot')}{kept}"
    workers = pipeline.workers()
    hosts = len({worker.host for worker in workers})
    return f"{ways.url}, {counted(sum(worker.slots for worker in workers), 'slot')} on {counted(hosts, 'host')}"
