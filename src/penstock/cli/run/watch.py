"""Outcomes to stdout as they come, until the last one or until the user has had enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from penstock.cli.job_output import Shown, Tagged, is_bare_exit, json_record
from penstock.cli.run.halt import Counts, Halt
from penstock.cli.run.interrupts import Interrupts
from penstock.cli.run.joblog import Ended
from penstock.cli.run.progress import Progress
from penstock.cli.run.tags import Tagging
from penstock.cli.run.wanted_jobs import Numbered, Wanted
from penstock.cli.signals import Told, exit_code
from penstock.cli.streams import CannotWrite
from penstock.exit_codes import FAILURE, SUCCESS
from penstock.job.display import text_of
from penstock.job.spans import SpanSet

if TYPE_CHECKING:
    from penstock import Outcome
    from penstock.cli.run.summary import Summary


class Record(Protocol):
    """Something beside stdout that is written as jobs end."""

    def add(self, ended: Ended) -> None:
        """One more has ended."""


class Asked:
    """What jobs are given, kept from the time they are submitted until they are shown."""

    def __init__(
        self,
        shown: Callable[[Any, int, int], bytes],
        tagging: Tagging | None = None,
        seq_of: Callable[[int], int] = int,
        kept: Callable[[Any], Any] | None = None,
    ) -> None:
        """`shown`: what a person would type for an item, its number from 1 and a slot from 1. `tagging`: what its lines
        begin with. `seq_of`: a job's place in the whole input, from 0, by its place in what is run of it. `kept`: what
        is kept of an item."""
        self._shown = shown
        self._tagging = tagging
        self._seq_of = seq_of
        self._kept = kept
        self._announced: set[int] = set()
        self._items: dict[int, Any] = {}

    def remember(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items, as they are drawn."""
        for number, item in enumerate(items):
            self._items[number] = self._kept(item) if self._kept is not None else item
            yield item

    def name(self, number: int) -> bytes:
        """What a person would type for a job that has not been shown yet."""
        return self._shown(self._items[number], self._seq_of(number) + 1, 1)

    def tag(self, number: int) -> bytes | None:
        """What its lines begin with."""
        return self._tagging and self._tagging(self._items[number], self._seq_of(number) + 1)

    def command(self, number: int, slot: int = 0) -> bytes:
        """Its command as a line; nothing if that was said before."""
        if number in self._announced:
            return b""
        self._announced.add(number)
        return self._shown(self._items[number], self._seq_of(number) + 1, slot + 1) + b"\n"

    def forget(self, number: int) -> None:
        """It has been shown."""
        self._items.pop(number, None)
        self._announced.discard(number)

    def ended(self, number: int, outcome: Shown) -> Ended:
        """What records are told."""
        item = self._items.pop(number, None)
        self._announced.discard(number)
        seq = self._seq_of(number)
        return Ended(seq, item, partial(self._shown, item, seq + 1), outcome)


class Watch:
    """Shows outcomes and remembers whether all jobs succeeded."""

    def __init__(
        self,
        wanted: Wanted,
        progress: Progress,
        *,
        as_json: bool = False,
        in_order: bool = False,
        asked: Asked | None = None,
        commands: tuple[bool, bool] = (False, False),
        records: Sequence[Record] = (),
        halt: Halt | None = None,
        summary: Summary | None = None,
        ends_jobs: bool = True,
    ) -> None:
        """`asked` is needed for tags, `commands` (on stdout, on stderr) and `records`. `summary` is told of each job
        that ends. `ends_jobs`: who has had enough ends them; else only the watching."""
        self._wanted = wanted
        self._progress = progress
        self._as_json = as_json
        self._in_order = in_order
        self._commands = commands
        self._asked = asked
        self._records = records
        self._halt = halt
        self._summary = summary
        self._ends_jobs = ends_jobs
        self._is_heard = True
        self._counts = Counts()
        """Of what has ended while this was shown."""
        self._failed = 0
        self._stopping = False
        self._seen = SpanSet()
        self._interrupts = Interrupts()
        self._next = 0
        self._early: dict[int, Outcome] = {}
        self._turn = 0
        """The number whose turn it is to be shown, where there is an order."""

    def to_the_end(self) -> int:
        """Show all; the exit code. Ctrl-C lets finish what runs and starts no more; a second one, SIGTERM and SIGHUP
        end that too, gently, and are obeyed when it is gone; one more raises KeyboardInterrupt, as somebody is out of
        patience. CannotWrite, BrokenPipeError: nobody hears any more, and all has been ended likewise."""
        self._wanted.look_on(self)
        with self._interrupts:
            try:
                self._show_all()
            except KeyboardInterrupt as end:
                if not self._ends_jobs:
                    raise
                return self._stop(end)
            except (CannotWrite, BrokenPipeError):
                if self._ends_jobs:
                    self._end_unheard()
                raise
        is_enough = self._stopping and self._halt is not None and self._halt.kind == "success"
        return FAILURE if self._failed and not is_enough else SUCCESS

    def _stop(self, end: KeyboardInterrupt) -> int:
        self._stopping = True
        if not isinstance(end, Told):
            try:
                self._progress.interrupted()
                self._say("running jobs finish and no more are started; Ctrl-C again ends the running ones")
                self._wanted.cancel(running=False)
                self._show_all()
                return exit_code(end)
            except KeyboardInterrupt as again:
                end = again
            except (CannotWrite, BrokenPipeError):
                self._is_heard = False
        self._end_running()
        return exit_code(end)

    def _end_running(self) -> None:
        """End what runs, and wait until it is gone."""
        self._stopping = True
        self._say("running jobs are being ended; Ctrl-C once more leaves at once")
        self._wanted.cancel(running=True)
        try:
            self._show_all()
        except (CannotWrite, BrokenPipeError):  # its terminal was closed
            self._is_heard = False
            self._show_all()

    def _end_unheard(self) -> None:
        self._is_heard = False
        try:
            self._interrupts.release()
            self._end_running()
        except Told:  # a terminal that is closed is found so in two ways: by what is written to it, and by SIGHUP
            self._end_running()

    def _say(self, text: str) -> None:
        if self._is_heard:
            self._progress.write(b"", f"penstock: {text}\n".encode())

    def _show_all(self) -> None:
        for number, outcome in self._outcomes():
            self._show(number, outcome)
            self._interrupts.release()

    def _outcomes(self) -> Iterator[Numbered]:
        """What is to be shown next; jobs are counted as they end, also those that wait for their turn."""
        if self._halt is None or not self._in_order:
            yield from self._counted(self._wanted.in_order() if self._in_order else self._wanted.arriving())
            return
        for number, outcome in self._counted(self._wanted.arriving()):
            self._early[number] = outcome
            self._interrupts.release()
            while self._next in self._early:
                self._interrupts.hold()
                self._next += 1
                yield self._next - 1, self._early.pop(self._next - 1)

    def _counted(self, outcomes: Iterator[Numbered]) -> Iterator[Numbered]:
        """Each is counted once, also if an interrupt made its reader begin with it again; what follows is held back."""
        for number, outcome in outcomes:
            self._interrupts.hold()
            if number not in self._seen:
                self._seen.add(number, number + 1)
                self._count(number, outcome)
                yield number, outcome
            self._interrupts.release()

    def _count(self, number: int, outcome: Outcome) -> None:
        failed = outcome.state != "succeeded"
        stopped = failed and self._is_stopped(outcome)
        if self._summary is not None:
            self._summary.count(number, outcome, stopped=stopped)
        if stopped:
            return
        self._failed += failed
        if self._halt is None or self._stopping:
            return
        if self._wanted.is_earlier(number):
            self._halt = self._halt.after(self._halt.before.plus(failed=failed))
            return
        self._counts = self._counts.plus(failed=failed)
        if self._halt.is_due(self._counts):
            self._stopping = True
            self._say(self._halt.said(self._counts))
            self._wanted.cancel(running=self._halt.now)

    def _is_stopped(self, outcome: Outcome) -> bool:
        """Whether it ended because the user asked for it; there may be a million of them."""
        return self._stopping and outcome.state == "cancelled"

    def is_turn(self, number: int) -> bool:
        """Whether lines of this job are to be shown while it runs (`--lb`)."""
        return not self._in_order or number == self._turn

    def show(self, number: int, stdout: bytes, stderr: bytes) -> None:
        """These are its lines."""
        self._interrupts.hold()
        if not self._is_heard:
            return
        tag = None
        if self._asked is not None:
            tag = self._asked.tag(number)
            stdout, stderr = self._announced(number, stdout, stderr)
        self._progress.write(Tagged(tag)(stdout), Tagged(tag)(stderr))

    def _announced(self, number: int, stdout: bytes, stderr: bytes, slot: int = 0) -> tuple[bytes, bytes]:
        """The job's command before what it printed, where that is wanted (`-v`, `-t`)."""
        if self._asked is None or not any(self._commands):
            return stdout, stderr
        command = self._asked.command(number, slot)
        on_stdout, on_stderr = self._commands
        return (command if on_stdout else b"") + stdout, (command if on_stderr else b"") + stderr

    def shown(self) -> None:
        """What was shown is noted, so an interrupt may come again."""
        self._interrupts.release()

    def _show(self, number: int, outcome: Outcome) -> None:
        self._turn = number + 1
        if self._is_stopped(outcome) or not self._is_heard:
            return
        tag, ended = None, None
        before, what = (b"", b""), None
        if self._asked is not None:
            if outcome.state != "succeeded" and not is_bare_exit(outcome):
                what = text_of(self._asked.name(number))
            tag = self._asked.tag(number)
            before = self._announced(number, b"", b"", outcome.slot)
            if self._records:
                ended = self._asked.ended(number, self._wanted.whole(number, outcome))
            else:
                self._asked.forget(number)
        shown = self._wanted.shown(number, outcome, what)
        if self._as_json:
            json_record(shown)
        else:
            self._progress.write(Tagged(tag)(before[0]), Tagged(tag)(before[1]))
            self._print(shown, tag)
        if ended is not None:
            for record in self._records:
                record.add(ended)  # what is in a joblog was shown: whoever resumes misses nothing
        is_failure = outcome.state not in {"succeeded", "cancelled"}
        self._progress.add(failed=is_failure, earlier=self._wanted.is_earlier(number))

    def _print(self, shown: Shown, tag: bytes | None) -> None:
        """All of its output, however much it is."""
        tagged = Tagged(tag)
        for part in shown.stderr():
            self._progress.write(b"", tagged(part))
        tagged = Tagged(tag)
        for part in shown.stdout():
            self._progress.write(tagged(part))
        self._progress.write(b"", shown.remarks())
