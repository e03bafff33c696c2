"""Outcomes to stdout as they come, until the last one or until the user has had enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from penstock.cli.halt import Counts, Halt
from penstock.cli.interrupts import Interrupts
from penstock.cli.output import json_line, outcome_record
from penstock.cli.outputs import Shown, Tagged
from penstock.cli.progress import Progress
from penstock.cli.records import Ended
from penstock.cli.wanted import Numbered, Wanted
from penstock.core.spans import SpanSet

if TYPE_CHECKING:
    from penstock import Outcome

INTERRUPTED = 130


class Record(Protocol):
    """Something beside stdout that is written as jobs end."""

    def add(self, ended: Ended) -> None:
        """One more has ended."""


class Asked:
    """What jobs are given, kept from the time they are submitted until they are shown."""

    def __init__(
        self,
        shown: Callable[[Any, int, int], bytes],
        seq_of: Callable[[int], int] = int,
        kept: Callable[[Any], Any] | None = None,
    ) -> None:
        """`shown`: what a person would type for an item, its number from 1 and a slot from 1. `seq_of`: a job's place
        in the whole input, from 0, by its place in what is run of it. `kept`: what is kept of an item."""
        self._shown = shown
        self._seq_of = seq_of
        self._kept = kept
        self._items: dict[int, Any] = {}

    def remember(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items, as they are drawn."""
        for number, item in enumerate(items):
            self._items[number] = self._kept(item) if self._kept is not None else item
            yield item

    def tag(self, number: int) -> bytes:
        """What its lines begin with."""
        return tag_of(self._items[number])

    def ended(self, number: int, outcome: Shown) -> Ended:
        """What records are told."""
        item = self._items.pop(number, None)
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
        tag: bool = False,
        asked: Asked | None = None,
        records: Sequence[Record] = (),
        halt: Halt | None = None,
    ) -> None:
        """`asked` is needed for `tag` and `records`."""
        self._wanted = wanted
        self._progress = progress
        self._as_json = as_json
        self._in_order = in_order
        self._tag = tag
        self._asked = asked
        self._records = records
        self._halt = halt
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
        """Show all; the exit code. Ctrl-C lets finish what runs and starts no more; a second one ends that too."""
        self._wanted.look_on(self)
        with self._interrupts:
            try:
                self._show_all()
            except KeyboardInterrupt:
                self._stop()
                return INTERRUPTED
        is_enough = self._stopping and self._halt is not None and self._halt.kind == "success"
        return 1 if self._failed and not is_enough else 0

    def _stop(self) -> None:
        self._stopping = True
        try:
            self._wanted.cancel(running=False)
            self._say("running jobs finish, no more are started; Ctrl-C again ends them")
            self._show_all()
        except KeyboardInterrupt:
            self._wanted.cancel(running=True)

    def _say(self, text: str) -> None:
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
        if failed and self._is_stopped(outcome):
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
        tag = self._asked.tag(number) if self._asked is not None and self._tag else None
        self._progress.write(Tagged(tag)(stdout), Tagged(tag)(stderr))

    def shown(self) -> None:
        """It is noted."""
        self._interrupts.release()

    def _show(self, number: int, outcome: Outcome) -> None:
        self._turn = number + 1
        if self._is_stopped(outcome):
            return
        tag, ended = None, None
        if self._asked is not None:
            tag = self._asked.tag(number) if self._tag else None
            ended = self._asked.ended(number, self._wanted.whole(number, outcome))
        shown = self._wanted.shown(number, outcome)
        if self._as_json:
            json_line(outcome_record(shown.whole()))
        else:
            self._print(shown, tag)
        if ended is not None:
            for record in self._records:
                record.add(ended)  # what is in a joblog was shown: whoever resumes misses nothing
        self._progress.add(failed=outcome.state != "succeeded")

    def _print(self, shown: Shown, tag: bytes | None) -> None:
        """All of its output, however much it is."""
        tagged = Tagged(tag)
        for part in shown.stderr():
            self._progress.write(b"", tagged(part))
        tagged = Tagged(tag)
        for part in shown.stdout():
            self._progress.write(tagged(part))
        self._progress.write(b"", shown.remarks())


def tag_of(item: Any) -> bytes:
    """A job's arguments on one line."""
    return b" ".join(item) if isinstance(item, list) else str(item).encode("utf-8", "surrogateescape")
