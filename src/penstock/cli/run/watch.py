"""Outcomes are shown as they come, until the last one or until the user has had enough."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from penstock.cli.run.halt import Tally
from penstock.cli.run.outcome_printer import OutcomePrinter
from penstock.cli.run.wanted_jobs import Numbered, Wanted
from penstock.cli.signals import TOLD_BY, Told, exit_code, told
from penstock.cli.streams import CannotWrite
from penstock.job.spans import SpanSet

if TYPE_CHECKING:
    from penstock import Outcome


class Watch:
    """Reads the outcomes of the wanted jobs, in an order if one is wanted, gives each to the tally and to the printer,
    and ends the jobs when that is asked for: by ``--halt``, by a signal, or because nobody takes what they print."""

    def __init__(
        self, wanted: Wanted, printer: OutcomePrinter, tally: Tally, *, in_order: bool = False, ends_jobs: bool = True
    ) -> None:
        """`ends_jobs`: who has had enough ends them; else only the watching."""
        self._wanted = wanted
        self._printer = printer
        self._tally = tally
        self._in_order = in_order
        self._ends_jobs = ends_jobs
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
        return self._tally.exit_code

    def _stop(self, end: KeyboardInterrupt) -> int:
        self._tally.stopping = True
        if not isinstance(end, Told):
            try:
                self._printer.interrupted()
                self._printer.say("running jobs finish and no more are started; Ctrl-C again ends the running ones")
                self._wanted.cancel(running=False)
                self._show_all()
                return exit_code(end)
            except KeyboardInterrupt as again:
                end = again
            except (CannotWrite, BrokenPipeError):
                self._printer.is_heard = False
        self._end_running()
        return exit_code(end)

    def _end_running(self) -> None:
        """End what runs, and wait until it is gone."""
        self._tally.stopping = True
        self._printer.say("running jobs are being ended; Ctrl-C once more leaves at once")
        self._wanted.cancel(running=True)
        try:
            self._show_all()
        except (CannotWrite, BrokenPipeError):  # its terminal was closed
            self._printer.is_heard = False
            self._show_all()

    def _end_unheard(self) -> None:
        self._printer.is_heard = False
        try:
            self._interrupts.release()
            self._end_running()
        except Told:  # a terminal that is closed is found so in two ways: by what is written to it, and by SIGHUP
            self._end_running()

    def _show_all(self) -> None:
        for number, outcome in self._outcomes():
            self._turn = number + 1
            if not self._tally.is_stopped(outcome):
                self._printer.write_outcome(number, outcome)
            self._interrupts.release()

    def _outcomes(self) -> Iterator[Numbered]:
        """What is to be shown next; jobs are counted as they end, also those that wait for their turn."""
        if not (self._in_order and self._tally.waits_for_halt):
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
        halt = self._tally.count(number, outcome, earlier=self._wanted.is_earlier(number))
        if halt is not None:
            self._printer.say(halt.said(self._tally.counts))
            self._wanted.cancel(running=halt.now)

    # ------------------------------------------------------------------------------------- lines of running jobs

    def is_turn(self, number: int) -> bool:
        """Whether lines of this job are to be shown while it runs (`--lb`)."""
        return not self._in_order or number == self._turn

    def show(self, number: int, stdout: bytes, stderr: bytes) -> None:
        """A running job has printed these lines."""
        self._interrupts.hold()
        self._printer.write_lines(number, stdout, stderr)

    def shown(self) -> None:
        """What was shown is noted, so an interrupt may come again."""
        self._interrupts.release()


class Interrupts:
    """Ctrl-C, SIGTERM and SIGHUP while outcomes are shown: one that has begun to be shown is shown whole, and once.

    As a context manager it holds them back while `busy`, once; a second one comes through. Who ignores one, or has a
    handler of his own, keeps it."""

    def __init__(self) -> None:
        self._busy = False
        self._held: KeyboardInterrupt | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number, ours in ((signal.SIGINT, signal.default_int_handler), *((number, told) for number in TOLD_BY)):
            if signal.getsignal(number) is ours:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as the system calls it
        end = KeyboardInterrupt() if number == signal.SIGINT else Told(number)
        if not self._busy or self._held is not None:
            self._busy, self._held = False, None
            raise end
        self._held = end

    def hold(self) -> None:
        """From now on it waits."""
        self._busy = True

    def release(self) -> None:
        """No longer. Raises KeyboardInterrupt: it has come meanwhile."""
        self._busy = False
        if self._held is not None:
            end, self._held = self._held, None
            raise end
