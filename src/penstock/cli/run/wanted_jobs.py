"""The jobs whose outcomes a command shows: those of a new batch, and with ``--resume`` some of earlier ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.cli.job_output import Shown
from penstock.errors import ConfigError
from penstock.job.spans import SpanSet

if TYPE_CHECKING:
    from penstock import Batch, Outcome
    from penstock.client.command_line import Growing, Onlooker, Printed, Seen

Numbered = tuple[int, "Outcome"]
"""A job's number in the input, from 0, and its outcome."""


class WantedPart:
    """Wanted jobs of one batch."""

    def __init__(self, batch: Batch, numbers: Mapping[int, int] | None = None, *, is_own: bool = True) -> None:
        """`numbers`: index -> number in the input; None: all jobs of the batch, in its order. `is_own`: may be
        cancelled when the user has had enough."""
        self.batch = batch
        self.is_own = is_own
        self._numbers = numbers
        self._position = 0
        self._seen = 0
        self._left = None if numbers is None else len(numbers)
        self._live: dict[int, Seen] = {}
        self._onlooker: Onlooker

    def arriving(self) -> Iterator[Numbered]:
        """As they are recorded. Called again, it goes on behind the last one that was used up."""
        if self._left == 0:
            return
        for outcome in self.batch.follow(after=self._position):
            if (number := self._number(outcome.index)) is not None:
                self._note(number, outcome.index)
                yield number, outcome
                if self._left is not None:
                    self._left -= 1
            self._position = outcome.position
            if self._left == 0:
                return

    def in_order(self) -> Iterator[Numbered]:
        """In the order of the batch; called again, it goes on likewise."""
        for outcome in itertools.islice(self.batch.outcomes(), self._seen, None):
            if (number := self._number(outcome.index)) is not None:
                self._note(number, outcome.index)
                yield number, outcome
            self._seen += 1

    def look_on(self, onlooker: Onlooker) -> None:
        """Show what its jobs write, by their numbers, while it is read."""
        self._onlooker = onlooker
        if self.batch.live is not None:
            self.batch.live.onlooker = self

    def is_turn(self, index: int) -> bool:
        """As an Onlooker does, which knows jobs by their numbers; those that nobody wants have none."""
        number = self._number(index)
        return number is not None and self._onlooker.is_turn(number)

    def show(self, index: int, stdout: bytes, stderr: bytes) -> None:
        """As an Onlooker does."""
        number = self._number(index)
        assert number is not None
        self._onlooker.show(number, stdout, stderr)

    def shown(self) -> None:
        """As an Onlooker does."""
        self._onlooker.shown()

    def seen(self, number: int) -> Seen:
        """How much was shown of a job that has ended. Forgets it."""
        return self._live.pop(number, (0, 0))

    def kept(self, outcome: Outcome, is_error: bool, start: int) -> Iterator[Printed]:
        """What is kept of the output of one of its jobs, from a byte on."""
        return self.batch.output(outcome, stderr=is_error, start=start)

    def _note(self, number: int, index: int) -> None:
        if self.batch.live is not None:
            self._live[number] = self.batch.live.seen(index)

    def _number(self, index: int) -> int | None:
        return index if self._numbers is None else self._numbers.get(index)


def streamed(batch: Batch) -> Growing | None:
    """The batch, if it is one whose input may still be coming."""
    from penstock.client.command_line import Growing

    return batch if isinstance(batch, Growing) else None


class Wanted:
    """The jobs of all parts; `places` names the part of each number, where there are several."""

    def __init__(
        self,
        parts: Sequence[WantedPart],
        total: int | None,
        places: Sequence[int] = (),
        earlier: SpanSet | None = None,
        *,
        has_new: bool = True,
    ) -> None:
        """`earlier`: the numbers of jobs that had ended before anything was asked for. `has_new`: the last part was
        handed in now; the others, the newest first, were before."""
        self.total = total
        self._ended_before = earlier
        self._has_new = has_new
        self._parts = parts
        self._streamed = [batch for part in parts if (batch := streamed(part.batch)) is not None]
        self._places = places
        self._next = 0
        self._early: dict[int, Outcome] = {}
        self._is_cancelled = False

    @classmethod
    def all_of(cls, batch: Batch) -> Wanted:
        """All jobs of one batch, which was handed in now."""
        coming = streamed(batch)
        return cls([WantedPart(batch)], batch.status().total if coming is None else coming.total)

    def arriving(self) -> Iterator[Numbered]:
        """As they are recorded, part by part; once cancelled, only those that were."""
        for part in self._parts:
            if part.is_own or not self._is_cancelled:
                yield from part.arriving()

    def in_order(self) -> Iterator[Numbered]:
        """In the order of the input."""
        if not self._places:
            yield from self._parts[0].in_order()
            return
        parts = [part.in_order() for part in self._parts]
        while self._next < len(self._places):
            number = self._next
            if self._is_cancelled and not self._parts[self._places[number]].is_own:
                self._next += 1
                continue
            if number not in self._early:
                for found, outcome in parts[self._places[number]]:
                    self._early[found] = outcome
                    if found == number:
                        break
            yield number, self._early[number]
            del self._early[number]
            self._next += 1

    def is_earlier(self, number: int) -> bool:
        """Whether this job had ended before anything was asked for."""
        return self._ended_before is not None and number in self._ended_before

    def look_on(self, onlooker: Onlooker) -> None:
        """Show what running jobs write, by their numbers, while they are read."""
        for part in self._parts:
            part.look_on(onlooker)

    def shown(self, number: int, outcome: Outcome, what: str | None = None) -> Shown:
        """The outcome of a job that has ended, to be shown; `what` it is. Forgets how much was shown already."""
        part = self._parts[self._places[number] if self._places else 0]
        return Shown(outcome, part.kept, part.seen(number), what)

    def whole(self, number: int, outcome: Outcome) -> Shown:
        """The same, as if nothing of it was shown yet: for records."""
        return Shown(outcome, self._parts[self._places[number] if self._places else 0].kept)

    @property
    def newest(self) -> Batch:
        """The batch that was handed in now, or the newest that was."""
        return self._parts[-1].batch if self._has_new else self._parts[0].batch

    def count(self) -> int | None:
        """How many jobs there are, as soon as that is known."""
        return self._streamed[0].total if self.total is None and self._streamed else self.total

    @property
    def is_cut(self) -> bool:
        """Whether there was more input, which nobody has read."""
        return any(batch.is_cut for batch in self._streamed)

    def when_complete(self, then: Callable[[int], None]) -> None:
        """Tell this how many jobs there are, if that is not known yet and as soon as it is."""
        for batch in self._streamed:
            batch.when_complete(then)

    def check(self) -> None:
        """ConfigError: the input ended early, with something that is no input."""
        for batch in self._streamed:
            if batch.error is not None:
                raise ConfigError(str(batch.error))

    def trim(self, keep: int) -> None:
        """All of them were shown: of their outputs no more than this need be kept any longer."""
        for part in self._parts:
            if part.is_own:
                part.batch.trim_output(keep)

    def cancel(self, *, running: bool) -> None:
        """Start no more of them; `running`: and end those that run. Those of others go on, and are not waited for."""
        self._is_cancelled = True
        for part in self._parts:
            if part.is_own:
                part.batch.cancel(running=running)
